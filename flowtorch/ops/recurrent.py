"""Recurrent layers over whole sequences: one op runs all steps of one direction of one layer.

Sequences come packed: ``gates`` (total steps, gates) holds the input's share of every gate, computed by one product
beforehand; ``batch_sizes`` says how many sequences have each step, longest sequences first. Dense batches are the
case of equal sizes. The backward kernels are written by hand; a gradient that must itself be differentiated runs the
layer again step by step (``steps`` in ``functional_recurrent``).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops import recurrent_native as native
from flowtorch.ops.families import op
from flowtorch.ops.second_order import by_hand, gradients_of
from flowtorch.tensor import Tensor, wrap


def _layer(**options: Any) -> Any:
    return op(namespace="_nn", method=False, out=False, **options)


def _steps(batch_sizes: list, reverse: bool) -> list:
    """(slice of the packed rows, number of sequences) of each step, in the order of computation."""
    steps = []
    start = 0
    for n in batch_sizes:
        steps.append((slice(start, start + n), n))
        start += n
    return steps[::-1] if reverse else steps


def _previous(states: np.ndarray, initial: np.ndarray, steps: list) -> np.ndarray:
    """The state before each step, given the packed states after each step."""
    before = np.empty_like(states)
    state = initial.copy()
    for rows, n in steps:
        before[rows] = state[:n]
        state[:n] = states[rows]
    return before


def _gradient_of_last(g: Any, state: np.ndarray) -> np.ndarray:
    """The gradient that enters a state from behind the last step, as an array to work in."""
    return np.zeros_like(state) if g is None else np.array(g._array, state.dtype)


def _array(g: Any, like: np.ndarray) -> np.ndarray:
    return np.zeros_like(like) if g is None else g._array


def _filled(row: np.ndarray, n: int) -> np.ndarray:
    """``row`` repeated ``n`` times in memory: adding a matrix is several times faster than broadcasting a row."""
    return np.ascontiguousarray(np.broadcast_to(row, (n, row.size)))


def _composite(kind: str, g: list, inputs: tuple, needs: tuple, **options: Any) -> tuple:
    from flowtorch.functional_recurrent import steps

    return gradients_of(lambda *aliases: steps(kind, *aliases, **options), g, inputs, needs)


# ---------------------------------------------------------------- LSTM


@_layer(name="lstm_layer", tensors=("gates", "h0", "c0", "w_hh", "w_hr"), node="LstmBackward0")
def lstm_layer(gates, h0, c0, w_hh, w_hr=None, batch_sizes=(), reverse=False):
    """All steps of one LSTM layer: packed outputs, last h and c; for backward the gates, cells and their tanh."""
    code = native.library(gates.dtype, gates.size) if w_hr is None else None
    if code is not None:
        return native.lstm_forward(code, gates, h0, c0, w_hh, _steps(batch_sizes, reverse))
    total, hidden = gates.shape[0], c0.shape[1]
    third = slice(2 * hidden, 3 * hidden)
    # One tanh serves all gates: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2. The first half goes into the weights.
    half = np.full(4 * hidden, 0.5, gates.dtype)
    half[third] = 1
    w = np.ascontiguousarray(w_hh.T) * half
    half, shift = _filled(half, len(h0)), _filled(1 - half, len(h0))
    active = np.empty_like(gates, order="C")
    cells, squashed = np.empty((2, total, hidden), gates.dtype)
    output = np.empty((total, h0.shape[1]), gates.dtype)
    h, c = h0.copy(), c0.copy()
    product = np.empty_like(half)
    for rows, n in _steps(batch_sizes, reverse):
        a = np.multiply(gates[rows], half[:n], active[rows])
        a += np.matmul(h[:n], w, product[:n])
        np.tanh(a, a)
        a *= half[:n]
        a += shift[:n]
        cell = np.multiply(c[:n], a[:, hidden : 2 * hidden], cells[rows])
        cell += a[:, :hidden] * a[:, third]
        c[:n] = cell
        y = np.tanh(cell, squashed[rows]) * a[:, 3 * hidden :]
        if w_hr is not None:
            y = y @ w_hr.T
        output[rows] = y
        h[:n] = y
    return output, h, c, active, cells, squashed


@lstm_layer.derivative
def _lstm_gradient(g, out, gates, h0, c0, w_hh, w_hr, batch_sizes, reverse, needs):
    inputs = (gates, h0, c0, w_hh, w_hr)
    if not by_hand(*g, *inputs):
        return _composite("lstm", g[:3], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [None if t is None else t._array for t in (h0, c0, w_hh, w_hr)]
    saved = [t._array for t in (out[0], out[3], out[4], out[5])]
    results = _lstm_backward(g, *saved, *arrays, _steps(batch_sizes, reverse))
    return tuple(None if a is None else wrap(a) for a in results)


def _lstm_backward(g, output, gates, cells, squashed, h0, c0, w_hh, w_hr, steps):
    hidden = c0.shape[1]
    before = _previous(cells, c0, steps)
    dh, dc = _gradient_of_last(g[1], h0), _gradient_of_last(g[2], c0)
    dy = _array(g[0], output)
    code = native.library(gates.dtype, gates.size) if w_hr is None else None
    if code is not None:
        dgates = native.lstm_backward(code, dy, dh, dc, (gates, squashed, before), w_hh, steps)
        return dgates, dh, dc, dgates.T @ _previous(output, h0, steps), None
    dgates = np.empty_like(gates)
    dprojected = None if w_hr is None else np.empty_like(output)
    slopes = np.empty((len(h0), 4 * hidden), gates.dtype)
    for rows, n in steps[::-1]:
        a, d, slope = gates[rows], dgates[rows], slopes[:n]
        new = a[:, 2 * hidden : 3 * hidden]
        np.subtract(1, a, slope)
        slope *= a
        np.subtract(1, new * new, slope[:, 2 * hidden : 3 * hidden])
        e = dh[:n] + dy[rows]
        if w_hr is not None:
            dprojected[rows] = e
            e = e @ w_hr
        t = squashed[rows]
        np.multiply(t, e, d[:, 3 * hidden :])
        e *= a[:, 3 * hidden :]
        cell = dc[:n]
        cell += e
        e *= t
        e *= t
        cell -= e
        np.multiply(new, cell, d[:, :hidden])
        np.multiply(before[rows], cell, d[:, hidden : 2 * hidden])
        np.multiply(a[:, :hidden], cell, d[:, 2 * hidden : 3 * hidden])
        cell *= a[:, hidden : 2 * hidden]
        d *= slope
        np.matmul(d, w_hh, dh[:n])
    dw_hh = dgates.T @ _previous(output, h0, steps)
    dw_hr = None if w_hr is None else dprojected.T @ (gates[:, 3 * hidden :] * squashed)
    return dgates, dh, dc, dw_hh, dw_hr


# ---------------------------------------------------------------- GRU


@_layer(name="gru_layer", tensors=("gates", "h0", "w_hh", "b_hh"), node="GruBackward0")
def gru_layer(gates, h0, w_hh, b_hh=None, batch_sizes=(), reverse=False):
    """All steps of one GRU layer: packed outputs, last h; for backward the gates and the new gate's hidden share."""
    total, hidden = gates.shape[0], h0.shape[1]
    if b_hh is None:
        b_hh = np.zeros(3 * hidden, gates.dtype)
    code = native.library(gates.dtype, gates.size)
    if code is not None:
        return native.gru_forward(code, gates, h0, w_hh, b_hh, _steps(batch_sizes, reverse))
    two = 2 * hidden
    active = np.empty_like(gates, order="C")
    share, output = np.empty((2, total, hidden), gates.dtype)
    h = h0.copy()
    w = np.ascontiguousarray(w_hh.T)
    bias = _filled(b_hh, len(h0))
    product = np.empty_like(bias)
    for rows, n in _steps(batch_sizes, reverse):
        x, a = gates[rows], active[rows]
        b = np.matmul(h[:n], w, product[:n])
        b += bias[:n]
        both = np.add(x[:, :two], b[:, :two], a[:, :two])
        both *= 0.5
        np.tanh(both, both)
        both *= 0.5
        both += 0.5
        share[rows] = b[:, two:]
        new = np.multiply(a[:, :hidden], b[:, two:], a[:, two:])
        new += x[:, two:]
        np.tanh(new, new)
        now = h[:n]
        now -= new
        now *= a[:, hidden:two]
        now += new
        output[rows] = now
    return output, h, active, share


@gru_layer.derivative
def _gru_gradient(g, out, gates, h0, w_hh, b_hh, batch_sizes, reverse, needs):
    inputs = (gates, h0, w_hh, b_hh)
    if not by_hand(*g, *inputs):
        return _composite("gru", g[:2], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [t._array for t in (out[0], out[2], out[3], h0, w_hh)]
    dinput, dh, dhidden, dw_hh = _gru_backward(g, *arrays, _steps(batch_sizes, reverse))
    return wrap(dinput), wrap(dh), wrap(dw_hh), None if b_hh is None else wrap(dhidden.sum(0))


def _gru_backward(g, output, gates, share, h0, w_hh, steps):
    hidden = h0.shape[1]
    two = 2 * hidden
    before = _previous(output, h0, steps)
    dh = _gradient_of_last(g[1], h0)
    dy = _array(g[0], output)
    code = native.library(gates.dtype, gates.size)
    if code is not None:
        dinput, dhidden = native.gru_backward(code, dy, dh, (gates, share, before), w_hh, steps)
        return dinput, dh, dhidden, dhidden.T @ before
    dinput, dhidden = np.empty_like(gates), np.empty_like(gates)
    slopes = np.empty((len(h0), two), gates.dtype)
    for rows, n in steps[::-1]:
        a, b, d = dinput[rows], dhidden[rows], dh[:n] + dy[rows]
        r, z, new = (gates[rows, k * hidden : (k + 1) * hidden] for k in range(3))
        slope = np.subtract(1, gates[rows, :two], slopes[:n])
        to_new = np.multiply(d, slope[:, hidden:], a[:, two:])
        to_new *= 1 - new * new
        np.multiply(d, before[rows] - new, a[:, hidden:two])
        np.multiply(to_new, share[rows], a[:, :hidden])
        slope *= gates[rows, :two]
        a[:, :two] *= slope
        b[:, :two] = a[:, :two]
        np.multiply(to_new, r, b[:, two:])
        d *= z
        d += b @ w_hh
        dh[:n] = d
    return dinput, dh, dhidden, dhidden.T @ before


# ---------------------------------------------------------------- plain recurrence


@_layer(name="rnn_layer", tensors=("gates", "h0", "w_hh"), node="RnnBackward0")
def rnn_layer(gates, h0, w_hh, batch_sizes=(), reverse=False, relu=False):
    """All steps of one plain recurrent layer: packed outputs and the last h."""
    output = np.empty_like(gates, order="C")
    h = h0.copy()
    w = np.ascontiguousarray(w_hh.T)
    for rows, n in _steps(batch_sizes, reverse):
        a = np.matmul(h[:n], w, output[rows])
        a += gates[rows]
        if relu:
            np.maximum(a, 0, out=a)
        else:
            np.tanh(a, a)
        h[:n] = a
    return output, h


@rnn_layer.derivative
def _rnn_gradient(g, out, gates, h0, w_hh, batch_sizes, reverse, relu, needs):
    if not by_hand(*g, gates, h0, w_hh):
        kind = "rnn_relu" if relu else "rnn_tanh"
        return _composite(kind, g, (gates, h0, w_hh), needs, batch_sizes=batch_sizes, reverse=reverse)
    output, initial, w = out[0]._array, h0._array, w_hh._array
    steps = _steps(batch_sizes, reverse)
    slope = (output > 0).astype(output.dtype) if relu else 1 - output * output
    dh = _gradient_of_last(g[1], initial)
    dy = _array(g[0], output)
    dgates = np.empty_like(output)
    for rows, n in steps[::-1]:
        a = dgates[rows]
        np.multiply(dh[:n] + dy[rows], slope[rows], a)
        dh[:n] = a @ w
    return wrap(dgates), wrap(dh), wrap(dgates.T @ _previous(output, initial, steps))


def supported(*tensors: Tensor | None) -> bool:
    """Whether these ops run on the tensors: real floating point on the CPU."""
    return all(t is None or (t.device.type == "cpu" and t.dtype.is_floating_point) for t in tensors)
