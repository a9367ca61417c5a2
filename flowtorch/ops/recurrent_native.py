"""The gates of recurrent steps as machine code, where there is a C compiler; products stay with BLAS.

A step of an LSTM is about fifteen small numpy calls beside its product; here it is one. The code is built in the
background once recurrent layers had enough work; until then, in double precision and without a compiler numpy works.
"""

from __future__ import annotations

import ctypes
import os
import threading
from pathlib import Path
from typing import Any

import numpy as np

ENOUGH = 1 << 22  # gate elements after which machine code is built

SOURCE = """
INLINE float sigmoid(float x) { return 1.0f / (1.0f + fast_expf(-x)); }

/* m of the cells of a row. Rows of x (from the input) and p (from the hidden state) have the gates i, f, g, o side
 * by side, h numbers each. */
#define GATE(k) (v_load_part(x + (k) * h, m, 0) + v_load_part(p + (k) * h, m, 0))
INLINE void lstm_cells(const long m, int64_t h, const float *x, const float *p, float *c, float *gates, float *cells,
                       float *squashed, float *y, float *state) {
    vf i = v_sigmoid(GATE(0)), f = v_sigmoid(GATE(1)), g = v_tanh(GATE(2)), o = v_sigmoid(GATE(3));
    vf cell = v_load_part(c, m, 0) * f + i * g, t = v_tanh(cell), out = t * o;
    v_store_part(gates, i, m), v_store_part(gates + h, f, m);
    v_store_part(gates + 2 * h, g, m), v_store_part(gates + 3 * h, o, m);
    v_store_part(c, cell, m), v_store_part(cells, cell, m), v_store_part(squashed, t, m);
    v_store_part(y, out, m), v_store_part(state, out, m);
}

void lstm_forward(int64_t n, int64_t h, const float *restrict x, const float *restrict p, float *restrict c,
                  float *restrict gates, float *restrict cells, float *restrict squashed, float *restrict y,
                  float *restrict state) {
    for (int64_t r = 0; r < n; r++, x += 4 * h, p += 4 * h, gates += 4 * h) {
        int64_t j = 0, k = r * h;
        for (; j + LANES <= h; j += LANES, k += LANES)
            lstm_cells(LANES, h, x + j, p + j, c + k, gates + j, cells + k, squashed + k, y + k, state + k);
        if (j < h) lstm_cells(h - j, h, x + j, p + j, c + k, gates + j, cells + k, squashed + k, y + k, state + k);
    }
}

/* e is the gradient of h at this step, dc that of c, which becomes the one of the step before. */
void lstm_backward(int64_t n, int64_t h, const float *restrict gates, const float *restrict squashed,
                   const float *restrict before, const float *restrict e, const float *restrict dy,
                   float *restrict dc, float *restrict d) {
    for (int64_t r = 0; r < n; r++, gates += 4 * h, d += 4 * h) {
        for (int64_t j = 0; j < h; j++) {
            int64_t k = r * h + j;
            float i = gates[j], f = gates[h + j], g = gates[2 * h + j], o = gates[3 * h + j];
            float t = squashed[k], grad = e[k] + dy[k];
            float cell = dc[k] + grad * o * (1.0f - t * t);
            d[j] = cell * g * i * (1.0f - i);
            d[h + j] = cell * before[k] * f * (1.0f - f);
            d[2 * h + j] = cell * i * (1.0f - g * g);
            d[3 * h + j] = grad * t * o * (1.0f - o);
            dc[k] = cell * f;
        }
    }
}

/* Rows have the gates r, z, n side by side. */
void gru_forward(int64_t n, int64_t h, const float *restrict x, const float *restrict p,
                 const float *restrict bias, float *restrict gates, float *restrict share, float *restrict y,
                 float *restrict state) {
    for (int64_t r = 0; r < n; r++, x += 3 * h, p += 3 * h, gates += 3 * h) {
        for (int64_t j = 0; j < 2 * h; j++) gates[j] = sigmoid(x[j] + p[j] + bias[j]);
        for (int64_t j = 0; j < h; j++) {
            int64_t k = r * h + j;
            share[k] = p[2 * h + j] + bias[2 * h + j];
            float new = fast_tanhf(x[2 * h + j] + gates[j] * share[k]);
            gates[2 * h + j] = new;
            y[k] = state[k] = (state[k] - new) * gates[h + j] + new;
        }
    }
}

/* dinput and dhidden are the gradients of both shares; e, the gradient of h, becomes its direct part. */
void gru_backward(int64_t n, int64_t h, const float *restrict gates, const float *restrict share,
                  const float *restrict before, const float *restrict dy, float *restrict e,
                  float *restrict dinput, float *restrict dhidden) {
    for (int64_t row = 0; row < n; row++, gates += 3 * h, dinput += 3 * h, dhidden += 3 * h) {
        for (int64_t j = 0; j < h; j++) {
            int64_t k = row * h + j;
            float r = gates[j], z = gates[h + j], new = gates[2 * h + j], grad = e[k] + dy[k];
            float to_new = grad * (1.0f - z) * (1.0f - new * new);
            float to_r = to_new * share[k] * r * (1.0f - r), to_z = grad * (before[k] - new) * z * (1.0f - z);
            dinput[j] = dhidden[j] = to_r;
            dinput[h + j] = dhidden[h + j] = to_z;
            dinput[2 * h + j] = to_new;
            dhidden[2 * h + j] = to_new * r;
            e[k] = grad * z;
        }
    }
}
"""

ARITY = {"lstm_forward": 8, "lstm_backward": 7, "gru_forward": 7, "gru_backward": 7}

_state: dict[str, Any] = {"work": 0, "started": False, "library": None}


def library(dtype: np.dtype, elements: int) -> Any:
    """The functions if they are ready for this dtype; starts to build them when it is time."""
    if dtype != np.float32:
        return None
    if _state["library"] is None and not _state["started"]:
        _state["work"] += elements
        if _state["work"] >= ENOUGH:
            _state["started"] = True
            if os.environ.get("FLOWTORCH_NATIVE", "1") != "0":
                threading.Thread(target=build, daemon=True).start()
    return _state["library"]


def build() -> bool:
    """Compile and load the functions; without a compiler nothing changes."""
    from flowtorch.codegen import c_renderer, native

    _state["started"] = True
    try:
        loaded = native.load(c_renderer._prelude() + _vectors() + SOURCE)
    except (native.BuildError, OSError):  # no compiler: the steps run one by one on numpy
        return False
    for name, pointers in ARITY.items():
        function = getattr(loaded, name)
        function.restype = None
        function.argtypes = [ctypes.c_int64] * 2 + [ctypes.c_void_p] * pointers
    _state["library"] = loaded
    return True


def _vectors() -> str:
    """The functions on vectors of float32 that the C kernels have too."""
    text = (Path(__file__).parent.parent / "native" / "vector.h").read_text()
    return text.replace('#include "prelude.h"', "")


class Rows:
    """Where the rows of a contiguous float32 matrix are in memory."""

    __slots__ = ("start", "step")

    def __init__(self, array: np.ndarray) -> None:
        self.start = array.__array_interface__["data"][0]
        self.step = array.shape[1] * 4

    def at(self, row: int) -> int:
        """The address of a row."""
        return self.start + row * self.step


def lstm_forward(code: Any, gates: np.ndarray, h0: np.ndarray, c0: np.ndarray, w_hh: np.ndarray, steps: list) -> tuple:
    """The results of ``lstm_layer``."""
    total, hidden = len(gates), c0.shape[1]
    gates, w = np.ascontiguousarray(gates), np.ascontiguousarray(w_hh.T)
    active = np.empty_like(gates)
    cells, squashed, output = np.empty((3, total, hidden), np.float32)
    h, c = h0.copy(), c0.copy()
    product = np.empty((len(h0), 4 * hidden), np.float32)
    x, a, y, t, o = map(Rows, (gates, active, cells, squashed, output))
    fixed = Rows(product).start, Rows(c).start, Rows(h).start
    for rows, n in steps:
        r = rows.start
        np.matmul(h[:n], w, product[:n])
        code.lstm_forward(n, hidden, x.at(r), fixed[0], fixed[1], a.at(r), y.at(r), t.at(r), o.at(r), fixed[2])
    return output, h, c, active, cells, squashed


def lstm_backward(
    code: Any, dy: np.ndarray, dh: np.ndarray, dc: np.ndarray, saved: tuple, w_hh: np.ndarray, steps: list
) -> np.ndarray:
    """The gradient of the gates; ``dh`` and ``dc`` become those of the first state. ``saved``: gates, tanh, before."""
    gates, squashed, before = saved
    hidden = dc.shape[1]
    dy, w = np.ascontiguousarray(dy), np.ascontiguousarray(w_hh)
    dgates = np.empty_like(gates)
    a, t, b, g, d = map(Rows, (gates, squashed, before, dy, dgates))
    fixed = Rows(dh).start, Rows(dc).start
    for rows, n in steps[::-1]:
        r = rows.start
        code.lstm_backward(n, hidden, a.at(r), t.at(r), b.at(r), fixed[0], g.at(r), fixed[1], d.at(r))
        np.matmul(dgates[rows], w, dh[:n])
    return dgates


def gru_forward(
    code: Any, gates: np.ndarray, h0: np.ndarray, w_hh: np.ndarray, bias: np.ndarray, steps: list
) -> tuple:
    """The results of ``gru_layer``."""
    total, hidden = len(gates), h0.shape[1]
    gates, w = np.ascontiguousarray(gates), np.ascontiguousarray(w_hh.T)
    active = np.empty_like(gates)
    share, output = np.empty((2, total, hidden), np.float32)
    h = h0.copy()
    product, bias = np.empty((len(h0), 3 * hidden), np.float32), np.ascontiguousarray(bias)
    x, a, s, o = map(Rows, (gates, active, share, output))
    fixed = Rows(product).start, bias.__array_interface__["data"][0], Rows(h).start
    for rows, n in steps:
        r = rows.start
        np.matmul(h[:n], w, product[:n])
        code.gru_forward(n, hidden, x.at(r), fixed[0], fixed[1], a.at(r), s.at(r), o.at(r), fixed[2])
    return output, h, active, share


def gru_backward(
    code: Any, dy: np.ndarray, dh: np.ndarray, saved: tuple, w_hh: np.ndarray, steps: list
) -> tuple[np.ndarray, np.ndarray]:
    """The gradients of both shares of the gates; ``dh`` becomes that of the first state."""
    gates, share, before = saved
    hidden = dh.shape[1]
    dy, w = np.ascontiguousarray(dy), np.ascontiguousarray(w_hh)
    dinput, dhidden = np.empty_like(gates), np.empty_like(gates)
    a, s, b, g, di, dd = map(Rows, (gates, share, before, dy, dinput, dhidden))
    state = Rows(dh).start
    for rows, n in steps[::-1]:
        r = rows.start
        code.gru_backward(n, hidden, a.at(r), s.at(r), b.at(r), g.at(r), state, di.at(r), dd.at(r))
        dh[:n] += dhidden[rows] @ w
    return dinput, dhidden
