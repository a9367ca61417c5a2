"""Recurrent layers in numpy, step by step: the definition of what the C kernels of the native tier compute.

``sizes`` has the number of sequences at each step, longest sequences first; packed arrays have a row for each sequence
at each step. With ``reverse`` the last step comes first. ``dy``, ``dh`` and ``dc`` are gradients of the outputs and of
the last states, or None.
"""

from __future__ import annotations

import numpy as np


def steps_of(sizes: list, reverse: bool) -> list:
    """(slice of the packed rows, number of sequences) of each step, in the order of computation."""
    steps = []
    start = 0
    for n in sizes:
        steps.append((slice(start, start + n), n))
        start += n
    return steps[::-1] if reverse else steps


def previous(states: np.ndarray, initial: np.ndarray, sizes: list, reverse: bool) -> np.ndarray:
    """The state before each step, given the packed states after each step."""
    n = sizes[0]
    if n == sizes[-1]:  # and all between: they never grow
        return np.concatenate((states[n:], initial) if reverse else (initial, states[: len(states) - n]))
    before = np.empty_like(states)
    state = initial.copy()
    for rows, n in steps_of(sizes, reverse):
        before[rows] = state[:n]
        state[:n] = states[rows]
    return before


def _gradient_of_last(g: np.ndarray | None, state: np.ndarray) -> np.ndarray:
    """The gradient that enters a state from behind the last step, as an array to work in."""
    return np.zeros_like(state) if g is None else np.array(g, state.dtype)


def _filled(row: np.ndarray, n: int) -> np.ndarray:
    """``row`` repeated ``n`` times in memory: adding a matrix is several times faster than broadcasting a row."""
    return np.ascontiguousarray(np.broadcast_to(row, (n, row.size)))


def _gates_of(input: np.ndarray, w_ih: np.ndarray | None, bias: np.ndarray | None) -> np.ndarray:
    """The input's share of the gates: the input itself without weights."""
    if w_ih is None:
        return input
    gates = input @ w_ih.T
    if bias is not None:
        gates += bias
    return gates


def lstm_forward(input, h0, c0, w_hh, w_ih, bias, w_hr, sizes, reverse):
    """Packed outputs, last h and c; for backward the gates, cells and their tanh."""
    gates = _gates_of(input, w_ih, bias)
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
    for rows, n in steps_of(sizes, reverse):
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


def lstm_backward(dy, dh, dc, output, gates, cells, squashed, h0, c0, w_hh, w_ih, w_hr, sizes, reverse):
    """The gradients of the gates, of the first h and c, of the input (None without ``w_ih``), of what was projected."""
    hidden = c0.shape[1]
    before = previous(cells, c0, sizes, reverse)
    dh, dc = _gradient_of_last(dh, h0), _gradient_of_last(dc, c0)
    dgates = np.empty_like(gates)
    dprojected = None if w_hr is None else np.empty_like(output)
    slopes = np.empty((len(h0), 4 * hidden), gates.dtype)
    for rows, n in steps_of(sizes, not reverse):
        a, d, slope = gates[rows], dgates[rows], slopes[:n]
        new = a[:, 2 * hidden : 3 * hidden]
        np.subtract(1, a, slope)
        slope *= a
        np.subtract(1, new * new, slope[:, 2 * hidden : 3 * hidden])
        e = dh[:n] + (0 if dy is None else dy[rows])
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
    return dgates, dh, dc, None if w_ih is None else dgates @ w_ih, dprojected


def gru_forward(input, h0, w_hh, w_ih, b_ih, b_hh, sizes, reverse):
    """Packed outputs, last h; for backward the gates and the new gate's hidden share."""
    gates = _gates_of(input, w_ih, b_ih)
    if b_hh is None:
        b_hh = np.zeros(len(w_hh), gates.dtype)
    total, hidden = gates.shape[0], h0.shape[1]
    two = 2 * hidden
    active = np.empty_like(gates, order="C")
    share, output = np.empty((2, total, hidden), gates.dtype)
    h = h0.copy()
    w = np.ascontiguousarray(w_hh.T)
    bias = _filled(b_hh, len(h0))
    product = np.empty_like(bias)
    for rows, n in steps_of(sizes, reverse):
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


def gru_backward(dy, dh, output, gates, share, h0, w_hh, w_ih, sizes, reverse):
    """The gradients of the input's share of the gates, of the first h, of the hidden share, and of the input."""
    hidden = h0.shape[1]
    two = 2 * hidden
    before = previous(output, h0, sizes, reverse)
    dh = _gradient_of_last(dh, h0)
    dinput, dhidden = np.empty_like(gates), np.empty_like(gates)
    slopes = np.empty((len(h0), two), gates.dtype)
    for rows, n in steps_of(sizes, not reverse):
        a, b, d = dinput[rows], dhidden[rows], dh[:n] + (0 if dy is None else dy[rows])
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
    return dinput, dh, dhidden, None if w_ih is None else dinput @ w_ih


def rnn_forward(input, h0, w_hh, w_ih, bias, relu, sizes, reverse):
    """Packed outputs and the last h."""
    gates = _gates_of(input, w_ih, bias)
    output = np.empty_like(gates, order="C")
    h = h0.copy()
    w = np.ascontiguousarray(w_hh.T)
    for rows, n in steps_of(sizes, reverse):
        a = np.matmul(h[:n], w, output[rows])
        a += gates[rows]
        if relu:
            np.maximum(a, 0, out=a)
        else:
            np.tanh(a, a)
        h[:n] = a
    return output, h


def rnn_backward(dy, dh, output, h0, w_hh, w_ih, relu, sizes, reverse):
    """The gradients of the gates, of the first h and of the input."""
    slope = (output > 0).astype(output.dtype) if relu else 1 - output * output
    dh = _gradient_of_last(dh, h0)
    dgates = np.empty_like(output)
    for rows, n in steps_of(sizes, not reverse):
        a = dgates[rows]
        np.multiply(dh[:n] + (0 if dy is None else dy[rows]), slope[rows], a)
        dh[:n] = a @ w_hh
    return dgates, dh, None if w_ih is None else dgates @ w_ih
