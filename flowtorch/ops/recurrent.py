"""Recurrent layers over whole sequences: one op runs all steps of one direction of one layer.

Sequences come packed: ``gates`` (total steps, gates) holds the input's share of every gate, computed by one product
beforehand; ``batch_sizes`` says how many sequences have each step, longest sequences first. Dense batches are the
case of equal sizes. The backward kernels are written by hand; a gradient that must itself be differentiated runs the
layer again step by step (``steps`` in ``nn.functional.recurrent``).
"""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.autograd.mode import grad_mode
from flowtorch.ops.families import op
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


def _sigmoid_row(gates: int, hidden: int, dtype: np.dtype, tanh_at: int | None) -> tuple:
    """Factors that turn one tanh over all gates into the sigmoid for most: sigmoid(x) = tanh(x / 2) / 2 + 1 / 2."""
    factor = np.full(gates * hidden, 0.5, dtype)
    shift = np.full(gates * hidden, 0.5, dtype)
    if tanh_at is not None:
        factor[tanh_at * hidden:(tanh_at + 1) * hidden] = 1
        shift[tanh_at * hidden:(tanh_at + 1) * hidden] = 0
    return factor, shift


def _composite(kind: str, g: list, inputs: tuple, needs: tuple, **options: Any) -> tuple:
    """Gradients with a graph of their own: run the layer again as single ops and differentiate that."""
    from flowtorch.autograd.engine import grad
    from flowtorch.nn.functional.recurrent import steps

    outputs = steps(kind, *inputs, **options)
    pairs = [(o, v) for o, v in zip(outputs, g, strict=False) if v is not None]
    wanted = [t for t, need in zip(inputs, needs, strict=True) if need]
    found = iter(grad([o for o, _ in pairs], wanted, [v for _, v in pairs], create_graph=True, allow_unused=True))
    return tuple(next(found) if need else None for need in needs)


# ---------------------------------------------------------------- LSTM

@_layer(name="lstm_layer", tensors=("gates", "h0", "c0", "w_hh", "w_hr"), node="LstmBackward0")
def lstm_layer(gates, h0, c0, w_hh, w_hr=None, batch_sizes=(), reverse=False):
    """All steps of one LSTM layer: packed outputs, last h and c, and the activated gates and cells for backward."""
    hidden = c0.shape[1]
    factor, shift = _sigmoid_row(4, hidden, gates.dtype, 2)
    gates = gates.copy()
    cells = np.empty((gates.shape[0], hidden), gates.dtype)
    output = np.empty((gates.shape[0], h0.shape[1]), gates.dtype)
    h, c = h0.copy(), c0.copy()
    w = w_hh.T
    for rows, n in _steps(batch_sizes, reverse):
        a = gates[rows]
        a += h[:n] @ w
        a *= factor
        np.tanh(a, a)
        a *= factor
        a += shift
        now = c[:n]
        now *= a[:, hidden:2 * hidden]
        now += a[:, :hidden] * a[:, 2 * hidden:3 * hidden]
        cells[rows] = now
        y = np.tanh(now)
        y *= a[:, 3 * hidden:]
        if w_hr is not None:
            y = y @ w_hr.T
        output[rows] = y
        h[:n] = y
    return output, h, c, gates, cells


@lstm_layer.derivative
def _lstm_gradient(g, out, gates, h0, c0, w_hh, w_hr, batch_sizes, reverse, needs):
    if grad_mode.enabled:
        inputs = (gates, h0, c0, w_hh, w_hr)
        return _composite("lstm", g[:3], inputs, needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [None if t is None else t._array for t in (h0, c0, w_hh, w_hr)]
    return tuple(None if a is None else wrap(a) for a in _lstm_backward(
        g, *[t._array for t in (out[0], out[3], out[4])], *arrays, _steps(batch_sizes, reverse)))


def _lstm_backward(g, output, gates, cells, h0, c0, w_hh, w_hr, steps):
    hidden = c0.shape[1]
    i, f, new, o = (gates[:, k * hidden:(k + 1) * hidden] for k in range(4))
    before = _previous(cells, c0, steps)
    squashed = np.tanh(cells)
    # What a gradient of c (three gates) or of h (the output gate) becomes at each gate's input.
    slope = np.empty_like(gates)
    s = [slope[:, k * hidden:(k + 1) * hidden] for k in range(4)]
    np.multiply(new * i, 1 - i, s[0])
    np.multiply(before * f, 1 - f, s[1])
    np.multiply(i, 1 - new * new, s[2])
    np.multiply(squashed * o, 1 - o, s[3])
    through = o * (1 - squashed * squashed)
    dh, dc = _gradient_of_last(g[1], h0), _gradient_of_last(g[2], c0)
    dy = _array(g[0], output)
    dgates = np.empty_like(gates)
    dprojected = np.empty_like(output) if w_hr is not None else None
    for rows, n in steps[::-1]:
        d = dh[:n] + dy[rows]
        if w_hr is not None:
            dprojected[rows] = d
            d = d @ w_hr
        cell = dc[:n]
        cell += d * through[rows]
        a = dgates[rows]
        k = slope[rows]
        np.multiply(k[:, :3 * hidden].reshape(n, 3, hidden), cell[:, None], a[:, :3 * hidden].reshape(n, 3, hidden))
        np.multiply(k[:, 3 * hidden:], d, a[:, 3 * hidden:])
        cell *= gates[rows, hidden:2 * hidden]
        dh[:n] = a @ w_hh
    dw_hh = dgates.T @ _previous(output, h0, steps)
    dw_hr = None if w_hr is None else dprojected.T @ (o * squashed)
    return dgates, dh, dc, dw_hh, dw_hr


# ---------------------------------------------------------------- GRU

@_layer(name="gru_layer", tensors=("gates", "h0", "w_hh", "b_hh"), node="GruBackward0")
def gru_layer(gates, h0, w_hh, b_hh=None, batch_sizes=(), reverse=False):
    """All steps of one GRU layer: packed outputs, last h, and the activated gates and hidden shares for backward."""
    hidden = h0.shape[1]
    gates = gates.copy()
    share = np.empty_like(h0, shape=(gates.shape[0], hidden))
    output = np.empty_like(share)
    h = h0.copy()
    w = w_hh.T
    for rows, n in _steps(batch_sizes, reverse):
        a = gates[rows]
        b = h[:n] @ w
        if b_hh is not None:
            b += b_hh
        rz = a[:, :2 * hidden]
        rz += b[:, :2 * hidden]
        rz *= 0.5
        np.tanh(rz, rz)
        rz *= 0.5
        rz += 0.5
        share[rows] = b[:, 2 * hidden:]
        new = a[:, 2 * hidden:]
        new += a[:, :hidden] * b[:, 2 * hidden:]
        np.tanh(new, new)
        now = h[:n]
        now -= new
        now *= a[:, hidden:2 * hidden]
        now += new
        output[rows] = now
    return output, h, gates, share


@gru_layer.derivative
def _gru_gradient(g, out, gates, h0, w_hh, b_hh, batch_sizes, reverse, needs):
    if grad_mode.enabled:
        return _composite("gru", g[:2], (gates, h0, w_hh, b_hh), needs, batch_sizes=batch_sizes, reverse=reverse)
    arrays = [t._array for t in (out[0], out[2], out[3], h0, w_hh)]
    dinput, dh, dhidden, dw_hh = _gru_backward(g, *arrays, _steps(batch_sizes, reverse))
    return wrap(dinput), wrap(dh), wrap(dw_hh), None if b_hh is None else wrap(dhidden.sum(0))


def _gru_backward(g, output, gates, share, h0, w_hh, steps):
    hidden = h0.shape[1]
    r, z, new = (gates[:, k * hidden:(k + 1) * hidden] for k in range(3))
    before = _previous(output, h0, steps)
    to_new = (1 - z) * (1 - new * new)                       # d new-gate input / d h
    to_z = (before - new) * z * (1 - z)
    to_r = share * r * (1 - r)                               # d reset-gate input / d new-gate input
    dh = _gradient_of_last(g[1], h0)
    dy = _array(g[0], output)
    dinput, dhidden = np.empty_like(gates), np.empty_like(gates)
    for rows, n in steps[::-1]:
        d = dh[:n] + dy[rows]
        a, b = dinput[rows], dhidden[rows]
        np.multiply(d, to_new[rows], a[:, 2 * hidden:])
        np.multiply(d, to_z[rows], a[:, hidden:2 * hidden])
        np.multiply(a[:, 2 * hidden:], to_r[rows], a[:, :hidden])
        b[:, :2 * hidden] = a[:, :2 * hidden]
        np.multiply(a[:, 2 * hidden:], r[rows], b[:, 2 * hidden:])
        d *= z[rows]
        d += b @ w_hh
        dh[:n] = d
    return dinput, dh, dhidden, dhidden.T @ before


# ---------------------------------------------------------------- plain recurrence

@_layer(name="rnn_layer", tensors=("gates", "h0", "w_hh"), node="RnnBackward0")
def rnn_layer(gates, h0, w_hh, batch_sizes=(), reverse=False, relu=False):
    """All steps of one plain recurrent layer: packed outputs and the last h."""
    output = gates.copy()
    h = h0.copy()
    w = w_hh.T
    for rows, n in _steps(batch_sizes, reverse):
        a = output[rows]
        a += h[:n] @ w
        if relu:
            np.maximum(a, 0, out=a)
        else:
            np.tanh(a, a)
        h[:n] = a
    return output, h


@rnn_layer.derivative
def _rnn_gradient(g, out, gates, h0, w_hh, batch_sizes, reverse, relu, needs):
    if grad_mode.enabled:
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
