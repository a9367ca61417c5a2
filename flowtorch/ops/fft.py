"""Discrete Fourier transforms (torch.fft). Three kernels, complex to complex, real to half and back, carry all
forms."""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.arguments import int_tuple, need_int
from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.op import composite
from flowtorch.ops.pointwise import conj
from flowtorch.tensor import Tensor

# ---------------------------------------------------------------- kernels

@op(name="_fft_c2c", tensors=("input",), method=False, out=False, linear=True, node="FftC2CBackward0",
    vjp=(lambda g, dims, scale, forward: _fft_c2c(g, dims, scale, not forward),))
def _fft_c2c(input, dims, scale, forward):
    """The transform along ``dims``, times ``scale``."""
    import scipy.fft

    out = (scipy.fft.fftn(input, axes=dims) if forward else scipy.fft.ifftn(input, axes=dims, norm="forward"))
    return _stored(_scaled(out, scale), input, _by_stride(input, dims))


def _by_stride(x: np.ndarray, dims: Any) -> list:
    """``dims`` from the one with the widest stride to the one with the narrowest."""
    return sorted(dims, key=lambda d: -abs(x.strides[d]))


def _stored(out: np.ndarray, x: np.ndarray, dims: list) -> np.ndarray:
    """``out`` with the transformed ``dims`` innermost in memory, the others by the strides of ``x``, as in PyTorch."""
    order = _by_stride(x, [d for d in range(out.ndim) if d not in dims]) + dims
    if order == list(range(out.ndim)):
        return out
    inverse = sorted(range(out.ndim), key=order.__getitem__)
    return np.ascontiguousarray(out.transpose(order)).transpose(inverse)


def _scaled(out: np.ndarray, scale: float) -> np.ndarray:
    return out if scale == 1 else np.multiply(out, out.real.dtype.type(scale))


@op(name="_fft_r2c", tensors=("input",), method=False, out=False, linear=True, node="FftR2CBackward0",
    vjp=(lambda g, dims, scale, input_shape: _fft_r2c_backward(g, dims, scale, input_shape),))
def _fft_r2c(input, dims, scale):
    """The transform of real input, half of it along the last of ``dims`` (the rest is its mirror image)."""
    import scipy.fft

    out = _scaled(scipy.fft.rfftn(input, axes=dims), scale)
    return _stored(out, input, [*_by_stride(input, dims[:-1]), dims[-1]])


def _fft_r2c_backward(g, dims, scale, shape):
    return _fft_c2c(_resized(g, dims[-1:], shape[dims[-1]:dims[-1] + 1]), dims, scale, False).real


@op(name="_fft_c2r", tensors=("input",), method=False, out=False, linear=True, node="FftC2RBackward0",
    vjp=(lambda g, dims, scale, size: _fft_c2r_backward(g, dims, scale, size),))
def _fft_c2r(input, dims, scale, size):
    """The inverse transform of a half (of ``size`` elements when whole) along the last of ``dims``."""
    import scipy.fft

    sizes = [input.shape[d] for d in dims[:-1]] + [size]
    out = _scaled(scipy.fft.irfftn(input, s=sizes, axes=dims, norm="forward"), scale)
    if len(dims) == 1:
        return _stored(out, input, list(dims))
    first = _by_stride(input, dims[:-1])
    rest = _by_stride(input, [d for d in range(out.ndim) if d not in first]) + first   # the order after the first pass
    return _stored(out, _strided(rest, input.shape), [dims[-1]])


def _strided(order: list, shape: tuple) -> np.ndarray:
    """An array of this shape, without memory of its own, whose dimensions lie in memory in this order."""
    inverse = sorted(range(len(order)), key=order.__getitem__)
    return np.lib.stride_tricks.as_strided(np.empty(1), [shape[d] for d in order], np.cumprod(
        [1, *[max(shape[d], 1) for d in order[:0:-1]]])[::-1] * 8).transpose(inverse)


def _fft_c2r_backward(g, dims, scale, size):
    half = _fft_r2c(g, dims, scale)
    last, mirrored = dims[-1], size - (size // 2 + 1)
    if mirrored <= 0:
        return half
    from flowtorch.ops.join import cat

    # every element but the first (and the middle one of an even size) stands for two
    pieces = [
        half.narrow(last, 0, 1),
        half.narrow(last, 1, mirrored) * 2,
        half.narrow(last, 1 + mirrored, half.shape[last] - 1 - mirrored),
    ]
    return cat(pieces, last)


# ---------------------------------------------------------------- arguments

def _resized(x: Any, dims: Any, sizes: Any) -> Any:
    """``x`` cut or filled with zeros to ``sizes`` along ``dims``; -1 leaves a size alone."""
    from flowtorch.ops.join import cat

    for d, n in zip(dims, sizes, strict=True):
        have = x.shape[d]
        if n == -1 or n == have:
            continue
        if n < have:
            x = x.narrow(d, 0, n)
        else:
            shape = list(x.shape)
            shape[d] = n - have
            x = cat([x, x.new_zeros(shape)], d)
    return x


def _checked(name: str, x: Any, complex_: bool) -> Any:
    """``x`` in a type that transforms take: integers become floats, with ``complex_`` complex."""
    if not isinstance(x, Tensor):
        raise TypeError(f"fft_{name}(): argument 'input' (position 1) must be Tensor, not {type(x).__name__}")
    if x.dtype in dtypes.LOW_PRECISION:
        raise RuntimeError(f"Unsupported dtype {x.dtype.label}")
    d = x.dtype if x.dtype.rank >= 2 else dtypes.get_default_dtype()
    return x.to(d.to_complex() if complex_ else d)


def _scale(norm: Any, sizes: Any, forward: bool) -> float:
    if norm not in (None, "backward", "ortho", "forward"):
        raise RuntimeError(f'Invalid normalization mode: "{norm}"')
    count = math.prod(sizes)
    if norm == "ortho":
        return 1 / math.sqrt(count) if count else 1.0
    divided = norm == "forward" if forward else norm != "forward"
    return 1 / count if divided and count else 1.0


_OPPOSITE = {None: "forward", "backward": "forward", "forward": "backward", "ortho": "ortho"}


def _opposite(norm: Any) -> Any:
    """The mode by which the transform in the other direction scales alike."""
    _scale(norm, (1,), True)
    return _OPPOSITE[norm]


def _one(name: str, x: Any, n: Any, dim: Any) -> tuple[int, int]:
    """(dim, size) of a transform along one dimension."""
    if x.dim() == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if n is not None and (isinstance(n, bool) or not hasattr(n, "__index__")):
        raise TypeError(f"fft_{name}(): argument 'n' must be int, not {type(n).__name__}")
    d = normalize_dim(dim, x.dim())
    size = x.shape[d] if n is None else int(n)
    return d, size


def _check_size(n: int) -> int:
    if n < 1:
        raise RuntimeError(f"Invalid number of data points ({n}) specified")
    return n


def _several(name: str, x: Any, s: Any, dim: Any) -> tuple[tuple[int, ...], list[int]]:
    """(dims, sizes) of a transform along several dimensions, the sizes -1 where ``s`` leaves them open."""
    s = None if s is None else int_tuple(f"fft_{name}", "s", 2, s)
    dim = (dim,) if isinstance(dim, int) else dim
    if dim is not None:
        if x.dim() == 0 and len(dim):
            raise IndexError(f"Dimension specified as {dim[0]} but tensor has no dimensions")
        dims = tuple(normalize_dim(d, x.dim()) for d in dim)
        if len(set(dims)) != len(dims):
            raise RuntimeError("FFT dims must be unique")
        if s is not None and len(s) != len(dims):
            raise RuntimeError("When given, dim and shape arguments must have the same length")
    elif s is not None:
        if len(s) > x.dim():
            raise RuntimeError(f"Got shape with {len(s)} values but input tensor only has {x.dim()} dimensions.")
        dims = tuple(range(x.dim() - len(s), x.dim()))
    else:
        dims = tuple(range(x.dim()))
    sizes = [-1] * len(dims) if s is None else [int(n) for n in s]
    for d, n in zip(dims, sizes, strict=True):
        if n != -1 or x.shape[d] < 1:
            _check_size(x.shape[d] if n == -1 else n)
    return dims, sizes


def _sizes(x: Any, dims: Any) -> list[int]:
    return [x.shape[d] for d in dims]


# ---------------------------------------------------------------- one dimension

def _c2c_one(name: str, input: Any, n: Any, dim: Any, norm: Any, forward: bool) -> Any:
    x = _checked(name, input, True)
    d, size = _one(name, x, n, dim)
    _check_size(size)
    return _fft_c2c(_resized(x, (d,), (size,)), (d,), _scale(norm, (size,), forward), forward)


@composite(namespace="fft", out=True)
def fft(input, n=None, dim=-1, norm=None):
    """The discrete Fourier transform along ``dim``, of ``n`` points."""
    return _c2c_one("fft", input, n, dim, norm, True)


@composite(namespace="fft", out=True)
def ifft(input, n=None, dim=-1, norm=None):
    """The inverse discrete Fourier transform along ``dim``."""
    return _c2c_one("ifft", input, n, dim, norm, False)


def _r2c_one(name: str, input: Any, n: Any, dim: Any, norm: Any, forward: bool) -> Any:
    x = _checked(name, input, False)
    if x.is_complex():
        raise RuntimeError(f"{name} expects a real input tensor, but got {x.dtype.label}")
    d, size = _one(name, x, n, dim)
    _check_size(size)
    result = _fft_r2c(_resized(x, (d,), (size,)), (d,), _scale(norm, (size,), forward))
    return result if forward else conj(result)


@composite(namespace="fft", out=True)
def rfft(input, n=None, dim=-1, norm=None):
    """The first half of the transform of real input."""
    return _r2c_one("rfft", input, n, dim, norm, True)


@composite(namespace="fft", out=True)
def ihfft(input, n=None, dim=-1, norm=None):
    """The inverse of ``hfft``: the first half of the inverse transform of real input."""
    return _r2c_one("ihfft", input, n, dim, norm, False)


def _c2r_one(name: str, input: Any, n: Any, dim: Any, norm: Any, forward: bool) -> Any:
    x = _checked(name, input, True)
    d, size = _one(name, x, n, dim)
    size = _check_size(2 * (size - 1) if n is None else size)
    x = _resized(x, (d,), (size // 2 + 1,))
    return _fft_c2r(conj(x) if forward else x, (d,), _scale(norm, (size,), forward), size)


@composite(namespace="fft", out=True)
def irfft(input, n=None, dim=-1, norm=None):
    """The inverse of ``rfft``; ``n`` is the size of the real output (even by default)."""
    return _c2r_one("irfft", input, n, dim, norm, False)


@composite(namespace="fft", out=True)
def hfft(input, n=None, dim=-1, norm=None):
    """The real transform of the first half of a Hermitian signal."""
    return _c2r_one("hfft", input, n, dim, norm, True)


# ---------------------------------------------------------------- several dimensions

def _c2c_several(name: str, input: Any, s: Any, dim: Any, norm: Any, forward: bool) -> Any:
    x = _checked(name, input, True)
    dims, sizes = _several(name, x, s, dim)
    x = _resized(x, dims, sizes)
    scale = _scale(norm, _sizes(x, dims), forward)
    return _fft_c2c(x, dims, scale, forward) if dims else x.clone()


def _r2c_several(name: str, input: Any, s: Any, dim: Any, norm: Any) -> Any:
    x, dims = _real_several(name, input, s, dim)
    return _fft_r2c(x, dims, _scale(norm, _sizes(x, dims), True))


def _real_several(name: str, input: Any, s: Any, dim: Any) -> tuple[Any, tuple[int, ...]]:
    """(real input of the sizes ``s``, the dimensions to transform)."""
    x = _checked(name, input, False)
    if x.is_complex():
        raise RuntimeError(
            "Only supports floating-point dtypes, but found: " + x.dtype.label
            if name.startswith("ih")
            else f"rfftn expects a real-valued input tensor, but got {x.dtype.label}"
        )
    dims, sizes = _several(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{_family(name)} must transform at least one axis")
    return _resized(x, dims, sizes), dims


def _family(name: str) -> str:
    return name.replace("2", "n")


def _c2r_several(name: str, x: Any, s: Any, dim: Any, norm: Any) -> Any:
    dims, sizes = _several(name, x, s, dim)
    if not dims:
        raise RuntimeError(f"{_family(name)} must transform at least one axis")
    size = _check_size(2 * (x.shape[dims[-1]] - 1) if s is None or sizes[-1] == -1 else sizes[-1])
    x = _resized(x, dims, [*sizes[:-1], size // 2 + 1])
    return _fft_c2r(x, dims, _scale(norm, [*_sizes(x, dims[:-1]), size], False), size)


def _fftn(name, input, s, dim, norm):
    return _c2c_several(name, input, s, dim, norm, True)


def _ifftn(name, input, s, dim, norm):
    return _c2c_several(name, input, s, dim, norm, False)


def _irfftn(name, input, s, dim, norm):
    return _c2r_several(name, _checked(name, input, True), s, dim, norm)


def _hfftn(name, input, s, dim, norm):
    return _c2r_several(name, conj(_checked(name, input, True)), s, dim, _opposite(norm))


def _ihfftn(name, input, s, dim, norm):
    x, dims = _real_several(name, input, s, dim)
    scale = _scale(norm, _sizes(x, dims), False)
    half = conj(_fft_r2c(x, dims[-1:], scale if len(dims) == 1 else 1))
    return half if len(dims) == 1 else _fft_c2c(half, dims[:-1], scale, False)


def _define(name: str, body: Callable, doc: str) -> None:
    """``name``2 along the last two dimensions and ``name``n along any."""
    def two(input, s=None, dim=(-2, -1), norm=None):
        return body(name + "2", input, s, dim, norm)

    def several(input, s=None, dim=None, norm=None):
        return body(name + "n", input, s, dim, norm)

    for f, suffix, where in (
        (two, "2", "along the last two dimensions (or ``dim``)"),
        (several, "n", "along all dimensions (or ``dim``)"),
    ):
        f.__name__ = f.__qualname__ = name + suffix
        f.__doc__ = f"{doc} {where}, of the sizes ``s``."
        globals()[name + suffix] = composite(f, namespace="fft", out=True)


_define("fft", _fftn, "The discrete Fourier transform")
_define("ifft", _ifftn, "The inverse discrete Fourier transform")
_define("rfft", _r2c_several, "The first half of the transform of real input")
_define("irfft", _irfftn, "The inverse of ``rfftn``")
_define("hfft", _hfftn, "The real transform of the first half of a Hermitian signal")
_define("ihfft", _ihfftn, "The inverse of ``hfftn``")


# ---------------------------------------------------------------- frequencies and shifts

def _frequencies(
    name: str, values: Callable, n: int, d: float, out: Any, dtype: Any, device: Any, requires_grad: bool
) -> Any:
    from flowtorch.ops.factory import as_tensor

    kind = dtype or (out.dtype if out is not None else dtypes.get_default_dtype())
    if kind.rank < 2:
        raise RuntimeError(f"{name} requires a floating point or complex dtype")
    n = need_int(f"fft_{name}", "n", 1, n)
    if n < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension {n}: [{n}]")
    with np.errstate(all="ignore"):
        array = np.asarray(values(n) * np.float64(1) / np.float64(n * d) if n else np.empty(0))
    result = as_tensor(array, dtype=kind, device=device)
    if out is not None:
        from flowtorch.ops import dispatch

        return dispatch.write_out(type("Named", (), {"name": name})(), out, result)   # type: ignore[arg-type]
    return result.requires_grad_() if requires_grad else result


@composite(namespace="fft")
def fftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of the elements of an ``fft`` of ``n`` points, ``d`` apart."""
    return _frequencies(
        "fftfreq",
        lambda n: np.concatenate([np.arange((n + 1) // 2), np.arange(-(n // 2), 0)]),
        n,
        d,
        out,
        dtype,
        device,
        requires_grad,
    )


@composite(namespace="fft")
def rfftfreq(n, d=1.0, *, out=None, dtype=None, layout=None, device=None, requires_grad=False):
    """The frequencies of the elements of an ``rfft`` of ``n`` points, ``d`` apart."""
    return _frequencies("rfftfreq", lambda n: np.arange(n // 2 + 1), n, d, out, dtype, device, requires_grad)


def _shifted(input: Any, dim: Any, half: Callable) -> Any:
    dims = range(input.dim()) if dim is None else (dim,) if isinstance(dim, int) else dim
    dims = tuple(normalize_dim(d, input.dim()) for d in dims)
    return input.roll(tuple(half(input.shape[d]) for d in dims), dims) if dims else input.clone()


@composite(namespace="fft")
def fftshift(input, dim=None):
    """Move the zero frequency to the middle."""
    return _shifted(input, dim, lambda n: n // 2)


@composite(namespace="fft")
def ifftshift(input, dim=None):
    """The inverse of ``fftshift``."""
    return _shifted(input, dim, lambda n: (n + 1) // 2)
