"""Window functions: torch.hann_window and its like, and torch.signal.windows."""
from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.factory import as_tensor
from flowtorch.ops.op import composite


def _finish(values: np.ndarray, dtype: Any, device: Any, requires_grad: bool) -> Any:
    t = as_tensor(values, dtype=dtype or dtypes.get_default_dtype(), device=device)
    return t.requires_grad_() if requires_grad else t


def _cosines(n: int, last: int, coefficients: Iterable[float]) -> np.ndarray:
    """The sum of ``a_k cos(k pi (2 i / last - 1))``: alternating signs put the peak in the middle."""
    angle = 2 * math.pi / max(last, 1) * np.arange(n)
    return sum(((-1) ** k * a * np.cos(k * angle) for k, a in enumerate(coefficients)), np.zeros(n))


# ---------------------------------------------------------------- torch.*_window

def _window(
    name: str, length: Any, periodic: bool, shape: Callable, dtype: Any, layout: Any, device: Any, requires_grad: bool
) -> Any:
    if isinstance(length, bool) or not hasattr(length, "__index__"):
        raise TypeError(f"{name}(): argument 'window_length' (position 1) must be int, not {type(length).__name__}")
    if layout is not None and layout is not dtypes.strided:
        raise RuntimeError(f"{name} is not implemented for sparse types, got: {layout}")
    if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
        raise RuntimeError(f"{name} expects floating point dtypes, got: {dtype}")
    if length < 0:
        raise RuntimeError(f"{name} requires non-negative window_length, got window_length={length}")
    n = length.__index__()
    values = np.ones(n) if n <= 1 else shape(n, n if periodic else n - 1)
    return _finish(values, dtype, device, requires_grad)


@composite
def hann_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """The Hann window: a raised cosine."""
    return _window(
        "hann_window",
        window_length,
        periodic,
        lambda n, m: _cosines(n, m, (0.5, 0.5)),
        dtype,
        layout,
        device,
        requires_grad,
    )


@composite
def hamming_window(
    window_length,
    periodic=True,
    alpha=0.54,
    beta=0.46,
    *,
    dtype=None,
    layout=None,
    device=None,
    pin_memory=False,
    requires_grad=False,
):
    """The Hamming window ``alpha - beta cos``."""
    return _window(
        "hamming_window",
        window_length,
        periodic,
        lambda n, m: _cosines(n, m, (alpha, beta)),
        dtype,
        layout,
        device,
        requires_grad,
    )


@composite
def blackman_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """The Blackman window."""
    return _window(
        "blackman_window",
        window_length,
        periodic,
        lambda n, m: _cosines(n, m, (0.42, 0.5, 0.08)),
        dtype,
        layout,
        device,
        requires_grad,
    )


def _triangle(n: int, last: int) -> np.ndarray:
    return 1 - np.abs(2 * np.arange(n) / last - 1)


@composite
def bartlett_window(
    window_length, periodic=True, *, dtype=None, layout=None, device=None, pin_memory=False, requires_grad=False
):
    """The triangular window that is 0 at its ends."""
    return _window("bartlett_window", window_length, periodic, _triangle, dtype, layout, device, requires_grad)


def _kaiser(n: int, last: int, beta: float) -> np.ndarray:
    return np.i0(beta * np.sqrt(np.maximum(1 - (2 * np.arange(n) / last - 1) ** 2, 0))) / np.i0(beta)


@composite
def kaiser_window(window_length, periodic=True, beta=12.0, *, dtype=None, layout=None, device=None, pin_memory=False,
                  requires_grad=False):
    """The Kaiser window with shape ``beta``."""
    return _window(
        "kaiser_window", window_length, periodic, lambda n, m: _kaiser(n, m, beta), dtype, layout, device, requires_grad
    )


# ---------------------------------------------------------------- torch.signal.windows

def _signal(
    name: str, M: Any, sym: bool, shape: Callable, dtype: Any, layout: Any, device: Any, requires_grad: bool
) -> Any:
    if M < 0:
        raise ValueError(f"{name} requires non-negative window length, got M={M}")
    if layout is not dtypes.strided:
        raise ValueError(f"{name} is implemented for strided tensors only, got: {layout}")
    dtype = dtype or dtypes.get_default_dtype()
    if dtype not in (dtypes.float32, dtypes.float64):
        raise ValueError(f"{name} expects float32 or float64 dtypes, got: {dtype}")
    return _finish(shape(M, M - 1 if sym else M) if M > 1 else np.ones(M), dtype, device, requires_grad)


def _window_of(name: str, doc: str, coefficients: tuple) -> Any:
    def window(M, *, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
        return _signal(
            "general_cosine", M, sym, lambda n, m: _cosines(n, m, coefficients), dtype, layout, device, requires_grad
        )
    window.__name__ = window.__qualname__ = name
    window.__doc__ = doc
    return window


hann = _window_of("hann", "The Hann window: a raised cosine.", (0.5, 0.5))
hamming = _window_of("hamming", "The Hamming window.", (0.54, 0.46))
blackman = _window_of("blackman", "The Blackman window.", (0.42, 0.5, 0.08))
nuttall = _window_of(
    "nuttall", "The minimum 4-term Blackman-Harris window of Nuttall.", (0.3635819, 0.4891775, 0.1365995, 0.0106411)
)


def general_cosine(M, *, a, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """The sum of cosines with the coefficients ``a``."""
    if not isinstance(a, Iterable):
        raise TypeError("Coefficients must be a list/tuple")
    a = list(a)
    if not a:
        raise ValueError("Coefficients cannot be empty")
    return _signal("general_cosine", M, sym, lambda n, m: _cosines(n, m, a), dtype, layout, device, requires_grad)


def general_hamming(M, *, alpha=0.54, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """The window ``alpha - (1 - alpha) cos``."""
    return general_cosine(
        M, a=[alpha, 1 - alpha], sym=sym, dtype=dtype, layout=layout, device=device, requires_grad=requires_grad
    )


def bartlett(M, *, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """The triangular window that is 0 at its ends."""
    return _signal("bartlett", M, sym, _triangle, dtype, layout, device, requires_grad)


def cosine(M, *, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """Half a period of a sine."""
    return _signal(
        "cosine",
        M,
        sym,
        lambda n, m: np.sin(math.pi * (np.arange(n) + 0.5) / (m + 1)),
        dtype,
        layout,
        device,
        requires_grad,
    )


def exponential(
    M, *, center=None, tau=1.0, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False
):
    """exp(-|i - center| / tau)."""
    if tau <= 0:
        raise ValueError(f"Tau must be positive, got: {tau} instead.")
    if sym and center is not None:
        raise ValueError("Center must be None for symmetric windows")
    return _signal(
        "exponential",
        M,
        sym,
        lambda n, m: np.exp(-np.abs(np.arange(n) - (m / 2 if center is None else center)) / tau),
        dtype,
        layout,
        device,
        requires_grad,
    )


def gaussian(M, *, std=1.0, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """The bell curve with standard deviation ``std``."""
    if std <= 0:
        raise ValueError(f"Standard deviation must be positive, got: {std} instead.")
    return _signal(
        "gaussian",
        M,
        sym,
        lambda n, m: np.exp(-0.5 * ((np.arange(n) - m / 2) / std) ** 2),
        dtype,
        layout,
        device,
        requires_grad,
    )


def kaiser(M, *, beta=12.0, sym=True, dtype=None, layout=dtypes.strided, device=None, requires_grad=False):
    """The Kaiser window with shape ``beta``."""
    if beta < 0:
        raise ValueError(f"beta must be non-negative, got: {beta} instead.")
    return _signal("kaiser", M, sym, lambda n, m: _kaiser(n, m, beta), dtype, layout, device, requires_grad)
