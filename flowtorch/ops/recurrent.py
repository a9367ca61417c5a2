"""Recurrent layers over whole sequences: one op runs all steps of one direction of one layer.

Sequences come packed, with a row of ``input`` for each sequence at each step; without ``w_ih`` these rows are the
input's share of every gate themselves. ``batch_sizes`` says how many sequences have each step, longest sequences
first. Dense batches are the case of equal sizes. The kernels (``recurrent_steps``) are written by hand, forward and
backward; a gradient that must itself be differentiated runs the layer again step by step (``steps`` in
``functional_recurrent``).
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


def _of_input(dgates: np.ndarray, input: Tensor, w_ih: Tensor | None, needs: tuple) -> tuple:
    """The gradients of w_ih and of its bias; ``needs`` says which."""
    if w_ih is None:
        return None, None
    dw_ih = dgates.T @ input._array if needs[0] else None
    return dw_ih, _sum_of_rows(dgates) if needs[1] else None


def _sum_of_rows(x: np.ndarray) -> np.ndarray:
    """A product with ones, which is faster than numpy's sum."""
    return np.ones(len(x), x.dtype) @ x


def _wrapped(*arrays: np.ndarray | None) -> tuple:
    return tuple([None if a is None else wrap(a) for a in arrays])


@_layer(name="lstm_layer", tensors=("input", "h0", "c0", "w_hh", "w_ih", "bias", "w_hr"), node="LstmBackward0")
def lstm_layer(input, h0, c0, w_hh, w_ih=None, bias=None, w_hr=None, batch_sizes=(), reverse=False):
    """All steps of one LSTM layer: packed outputs, last h and c; for backward the gates, cells and their tanh."""
    return lstm_forward(input, h0, c0, w_hh, w_ih, bias, w_hr, batch_sizes, reverse)


@lstm_layer.derivative
def _lstm_gradient(g, out, input, h0, c0, w_hh, w_ih, bias, w_hr, batch_sizes, reverse, needs):
    inputs = (input, h0, c0, w_hh, w_ih, bias, w_hr)
    if not by_hand(*g, *inputs):
        return _composite("lstm", g[:3], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    output, active, cells, squashed = (out[k]._array for k in (0, 3, 4, 5))
    arrays = [_array(t) for t in (h0, c0, w_hh, w_ih if needs[0] else None, w_hr)]
    dgates, dh, dc, dinput, dprojected = lstm_backward(
        *map(_array, g[:3]), output, active, cells, squashed, *arrays, batch_sizes, reverse
    )
    dw_hh = dgates.T @ previous(output, h0._array, batch_sizes, reverse) if needs[3] else None
    dw_hr = None
    if dprojected is not None:
        dw_hr = dprojected.T @ (active[:, 3 * squashed.shape[1] :] * squashed)
    of_input = _of_input(dgates, input, w_ih, needs[4:6])
    return _wrapped(dgates if w_ih is None else dinput, dh, dc, dw_hh, *of_input, dw_hr)


@_layer(name="gru_layer", tensors=("input", "h0", "w_hh", "w_ih", "b_ih", "b_hh"), node="GruBackward0")
def gru_layer(input, h0, w_hh, w_ih=None, b_ih=None, b_hh=None, batch_sizes=(), reverse=False):
    """All steps of one GRU layer: packed outputs, last h; for backward the gates and the new gate's hidden share."""
    return gru_forward(input, h0, w_hh, w_ih, b_ih, b_hh, batch_sizes, reverse)


@gru_layer.derivative
def _gru_gradient(g, out, input, h0, w_hh, w_ih, b_ih, b_hh, batch_sizes, reverse, needs):
    inputs = (input, h0, w_hh, w_ih, b_ih, b_hh)
    if not by_hand(*g, *inputs):
        return _composite("gru", g[:2], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [_array(t) for t in (*g[:2], out[0], out[2], out[3], h0, w_hh, w_ih if needs[0] else None)]
    dgates, dh, dhidden, dinput = gru_backward(*arrays, batch_sizes, reverse)
    dw_hh = dhidden.T @ previous(out[0]._array, h0._array, batch_sizes, reverse) if needs[2] else None
    of_input = _of_input(dgates, input, w_ih, needs[3:5])
    return _wrapped(
        dgates if w_ih is None else dinput, dh, dw_hh, *of_input, _sum_of_rows(dhidden) if needs[5] else None
    )


@_layer(name="rnn_layer", tensors=("input", "h0", "w_hh", "w_ih", "bias"), node="RnnBackward0")
def rnn_layer(input, h0, w_hh, w_ih=None, bias=None, batch_sizes=(), reverse=False, relu=False):
    """All steps of one plain recurrent layer: packed outputs and the last h."""
    return rnn_forward(input, h0, w_hh, w_ih, bias, relu, batch_sizes, reverse)


@rnn_layer.derivative
def _rnn_gradient(g, out, input, h0, w_hh, w_ih, bias, batch_sizes, reverse, relu, needs):
    inputs = (input, h0, w_hh, w_ih, bias)
    if not by_hand(*g, *inputs):
        kind = "rnn_relu" if relu else "rnn_tanh"
        return _composite(kind, g, inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    output, initial = out[0]._array, h0._array
    arrays = [_array(t) for t in (*g, out[0], h0, w_hh, w_ih if needs[0] else None)]
    dgates, dh, dinput = rnn_backward(*arrays, relu, batch_sizes, reverse)
    dw_hh = dgates.T @ previous(output, initial, batch_sizes, reverse) if needs[2] else None
    return _wrapped(
        dgates if w_ih is None else dinput, dh, dw_hh, *_of_input(dgates, input, w_ih, needs[3:5])
    )


def supported(*tensors: Tensor | None) -> bool:
    """Whether these ops run on the tensors: real floating point on the CPU."""
    return all(t is None or (t.device.type == "cpu" and t.dtype.is_floating_point) for t in tensors)
