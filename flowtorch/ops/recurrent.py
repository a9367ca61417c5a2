"""Recurrent layers over whole sequences: one op runs all steps of one direction of one layer.

Sequences come packed: ``gates`` (total steps, gates) holds the input's share of every gate, computed by one product
beforehand; ``batch_sizes`` says how many sequences have each step, longest sequences first. Dense batches are the
case of equal sizes. The kernels (``recurrent_steps``) are written by hand, forward and backward; a gradient that must
itself be differentiated runs the layer again step by step (``steps`` in ``functional_recurrent``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import op
from flowtorch.ops.recurrent_steps import (
    gru_backward,
    gru_forward,
    lstm_backward,
    lstm_forward,
    previous,
    rnn_backward,
    rnn_forward,
)
from flowtorch.ops.second_order import by_hand, gradients_of
from flowtorch.tensor import Tensor, wrap


def _layer(**options: Any) -> Any:
    return op(namespace="_nn", method=False, out=False, **options)


def _array(t: Tensor | None) -> Any:
    return None if t is None else t._array


def _composite(kind: str, g: list, inputs: tuple, needs: tuple, **options: Any) -> tuple:
    from flowtorch.functional_recurrent import steps

    return gradients_of(lambda *aliases: steps(kind, *aliases, **options), g, inputs, needs)


@_layer(name="lstm_layer", tensors=("gates", "h0", "c0", "w_hh", "w_hr"), node="LstmBackward0")
def lstm_layer(gates, h0, c0, w_hh, w_hr=None, batch_sizes=(), reverse=False):
    """All steps of one LSTM layer: packed outputs, last h and c; for backward the gates, cells and their tanh."""
    return lstm_forward(gates, h0, c0, w_hh, w_hr, batch_sizes, reverse)


@lstm_layer.derivative
def _lstm_gradient(g, out, gates, h0, c0, w_hh, w_hr, batch_sizes, reverse, needs):
    inputs = (gates, h0, c0, w_hh, w_hr)
    if not by_hand(*g, *inputs):
        return _composite("lstm", g[:3], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    output, active, squashed = out[0]._array, out[3]._array, out[5]._array
    arrays = [_array(t) for t in (*g[:3], out[0], out[3], out[4], out[5], *inputs[1:])]
    dgates, dh, dc, dprojected = lstm_backward(*arrays, batch_sizes, reverse)
    dw_hh = dgates.T @ previous(output, h0._array, batch_sizes, reverse)
    dw_hr = None
    if dprojected is not None:
        dw_hr = wrap(dprojected.T @ (active[:, 3 * squashed.shape[1] :] * squashed))
    return wrap(dgates), wrap(dh), wrap(dc), wrap(dw_hh), dw_hr


@_layer(name="gru_layer", tensors=("gates", "h0", "w_hh", "b_hh"), node="GruBackward0")
def gru_layer(gates, h0, w_hh, b_hh=None, batch_sizes=(), reverse=False):
    """All steps of one GRU layer: packed outputs, last h; for backward the gates and the new gate's hidden share."""
    if b_hh is None:
        b_hh = np.zeros(len(w_hh), gates.dtype)
    return gru_forward(gates, h0, w_hh, b_hh, batch_sizes, reverse)


@gru_layer.derivative
def _gru_gradient(g, out, gates, h0, w_hh, b_hh, batch_sizes, reverse, needs):
    inputs = (gates, h0, w_hh, b_hh)
    if not by_hand(*g, *inputs):
        return _composite("gru", g[:2], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [_array(t) for t in (*g[:2], out[0], out[2], out[3], h0, w_hh)]
    dinput, dh, dhidden = gru_backward(*arrays, batch_sizes, reverse)
    dw_hh = dhidden.T @ previous(out[0]._array, h0._array, batch_sizes, reverse)
    return wrap(dinput), wrap(dh), wrap(dw_hh), None if b_hh is None else wrap(dhidden.sum(0))


@_layer(name="rnn_layer", tensors=("gates", "h0", "w_hh"), node="RnnBackward0")
def rnn_layer(gates, h0, w_hh, batch_sizes=(), reverse=False, relu=False):
    """All steps of one plain recurrent layer: packed outputs and the last h."""
    return rnn_forward(gates, h0, w_hh, relu, batch_sizes, reverse)


@rnn_layer.derivative
def _rnn_gradient(g, out, gates, h0, w_hh, batch_sizes, reverse, relu, needs):
    if not by_hand(*g, gates, h0, w_hh):
        kind = "rnn_relu" if relu else "rnn_tanh"
        return _composite(kind, g, (gates, h0, w_hh), needs, batch_sizes=batch_sizes, reverse=reverse)
    output, initial = out[0]._array, h0._array
    dgates, dh = rnn_backward(*map(_array, g), output, initial, w_hh._array, relu, batch_sizes, reverse)
    return wrap(dgates), wrap(dh), wrap(dgates.T @ previous(output, initial, batch_sizes, reverse))


def supported(*tensors: Tensor | None) -> bool:
    """Whether these ops run on the tensors: real floating point on the CPU."""
    return all(t is None or (t.device.type == "cpu" and t.dtype.is_floating_point) for t in tensors)
