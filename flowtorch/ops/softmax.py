"""Softmax and log-softmax, with their adjoints as ops of their own so that every order of derivative exists."""
from __future__ import annotations

import numpy as np

from flowtorch.array import sums
from flowtorch.array.blocks import by_rows
from flowtorch.ops.families import normalize_dims, op
from flowtorch.ops.op import composite
from flowtorch.ops.reduction import along

_add_reduce = np.add.reduce
_NEAR = 32.0  # beyond, the logarithm of a sum loses digits to a shift that is added to it
_TINY = 8192  # elements
_FAR = 0.1  # a row whose sum of exponentials is less lies too far below the largest element for its digits


def _axis(dim, ndim: int) -> int:
    """``along``, without a call for the two dimensions that are asked for most."""
    return -1 if dim == -1 or dim == ndim - 1 else along(dim, ndim)


def _softmax_rows(rows: np.ndarray, out: np.ndarray) -> None:
    add = sums.ones(rows.shape[1], rows.dtype.char)
    # One shift for all rows is faster than the largest element of each, and as good unless rows lie far apart.
    np.subtract(rows, np.maximum.reduce(rows, axis=None), out)
    np.exp(out, out)
    total = out.dot(add)
    if not np.minimum.reduce(total) > _FAR:
        np.subtract(rows, np.maximum.reduce(rows, axis=1, keepdims=True), out)
        np.exp(out, out)
        total = out.dot(add)
    out /= total[:, None]


def _softmax_slope_rows(grad: np.ndarray, output: np.ndarray, out: np.ndarray) -> None:
    np.multiply(grad, output, out)
    np.subtract(grad, out.dot(sums.ones(grad.shape[1], grad.dtype.char))[:, None], out)
    out *= output


def _log_softmax_rows(rows: np.ndarray, out: np.ndarray, room: np.ndarray) -> None:
    add = sums.ones(rows.shape[1], rows.dtype.char)
    top = np.maximum.reduce(rows, axis=None)
    np.subtract(rows, top, room)
    np.exp(room, room)
    total = room.dot(add)
    if np.minimum.reduce(total) > _FAR and abs(top) < _NEAR:
        np.subtract(rows, (np.log(total) + top)[:, None], out)
        return
    np.subtract(rows, np.maximum.reduce(rows, axis=1, keepdims=True), out)
    np.exp(out, room)
    out -= np.log(room.dot(add))[:, None]


def _log_softmax_slope_rows(grad: np.ndarray, output: np.ndarray, out: np.ndarray) -> None:
    np.exp(output, out)
    out *= grad.dot(sums.ones(grad.shape[1], grad.dtype.char))[:, None]
    np.subtract(grad, out, out)


def _in_rows(dim: int, *arrays: np.ndarray) -> bool:
    """Whether these are large matrices of floating-point numbers, ``dim`` their last dimension and their rows whole."""
    first = arrays[0]
    return first.size > sums.FEW and dim in (-1, first.ndim - 1) and 0 < first.shape[-1] <= sums.CHUNK and all(
        a.dtype.char in "fd" and a.flags.c_contiguous and a.shape == first.shape for a in arrays)


def _softmax_kernel(input: np.ndarray, d: int) -> np.ndarray:
    if input.size == 0:
        return input.copy()
    if not input.flags.c_contiguous:
        input = np.ascontiguousarray(input)
    if _in_rows(d, input):
        return by_rows(_softmax_rows, input)
    e = np.subtract(input, np.maximum.reduce(input, axis=d, keepdims=True))
    np.exp(e, e)
    e /= _add_reduce(e, axis=d, keepdims=True)
    return e


def _few_rows(dim: int, a: np.ndarray) -> bool:
    """Whether this is a small matrix of floating-point numbers, ``dim`` its last dimension and its rows whole."""
    return (a.ndim == 2 and (dim == -1 or dim == 1) and 0 < a.size <= _TINY and a.dtype.char in "fd"
            and a.flags.c_contiguous)


def _softmax_few(input: np.ndarray) -> np.ndarray | None:
    """Softmax of rows of numbers that need no shift (numpy's reductions take longest), else None."""
    e = np.exp(input)
    total = e.dot(sums.spread(input.shape[1], input.dtype.char))
    return np.divide(e, total, e) if sums.between(total[:, 0], _FAR, 1e30) else None


@op(name="_softmax", tensors=("input",), method=False, node="SoftmaxBackward0", rejects=("integer", "bool", "complex"),
    vjp=(lambda g, out, dim: _softmax_backward(g, out, dim),))
def _softmax(input, dim):
    """Scale the slices of ``input`` along ``dim`` to be positive and sum to one."""
    if _few_rows(dim, input):
        result = _softmax_few(input)
        if result is not None:
            return result
    if input.ndim == 0:
        normalize_dims(dim, 0)
        return np.exp(input - input)             # 1, but nan for nan and infinities
    return _softmax_kernel(input, _axis(dim, input.ndim))


@op(
    name="_softmax_backward",
    method=False,
    tensors=("grad", "output"),
    low="upcast",
    vjp=(
        lambda g, output, dim: _softmax_backward(g, output, dim),
        lambda g, grad, output, dim: g * grad - (grad * output).sum(dim, True) * g - grad * (g * output).sum(dim, True),
    ),
)
def _softmax_backward(grad, output, dim):
    """The gradient of softmax from its output."""
    if grad.ndim == 0:
        return np.zeros_like(grad)
    if _few_rows(dim, grad) and _few_rows(dim, output) and grad.shape == output.shape:
        t = grad * output
        t -= output * t.dot(sums.spread(t.shape[1], t.dtype.char))
        return t
    if _in_rows(dim, grad, output):
        return by_rows(_softmax_slope_rows, grad, output)
    t = grad * output
    t -= output * _add_reduce(t, axis=along(dim, grad.ndim), keepdims=True)
    return t


@op(
    name="_log_softmax",
    tensors=("input",),
    method=False,
    node="LogSoftmaxBackward0",
    rejects=("integer", "bool", "complex"),
    vjp=(lambda g, out, dim: _log_softmax_backward(g, out, dim),),
)
def _log_softmax(input, dim):
    """The logarithm of softmax, without overflow."""
    if input.ndim == 0:
        normalize_dims(dim, 0)
        return input - input                     # 0, but nan for nan and infinities
    if input.size == 0:
        return input.copy()
    d = _axis(dim, input.ndim)
    if not input.flags.c_contiguous:
        input = np.ascontiguousarray(input)
    if _in_rows(d, input):
        return by_rows(_log_softmax_rows, input, rooms=1)
    shifted = input - np.maximum.reduce(input, axis=d, keepdims=True)
    shifted -= np.log(_add_reduce(np.exp(shifted), axis=d, keepdims=True))
    return shifted


@op(name="_log_softmax_backward", method=False, tensors=("grad", "output"),
    vjp=(lambda g, output, dim: g - (g * output.exp()).sum(dim, True),
         lambda g, grad, output, dim: -(g * output.exp()) * grad.sum(dim, True)))
def _log_softmax_backward(grad, output, dim):
    """The gradient of log_softmax from its output."""
    if grad.ndim == 0:
        return np.zeros_like(grad)
    if _in_rows(dim, grad, output):
        return by_rows(_log_softmax_slope_rows, grad, output)
    return grad - np.exp(output) * _add_reduce(grad, axis=along(dim, grad.ndim), keepdims=True)


@composite(method=True, out=True)
def softmax(input, dim, dtype=None):
    """``exp(input)`` divided by its sum along ``dim``: every slice is positive and sums to one.

    The largest element is subtracted first, so nothing overflows. Integers are refused unless ``dtype`` is given.

    >>> torch.softmax(torch.tensor([[0.0, 0.0], [0.0, 1000.0]]), dim=1)
    tensor([[0.5000, 0.5000],
            [0.0000, 1.0000]])
    """
    if dtype is not None:
        input = input.to(dtype)
    try:
        return _softmax(input, dim)
    except NotImplementedError:  # raised again, but for a tensor without elements
        return _of_nothing(_softmax, input)


def _of_nothing(f, input):
    """What ``f`` refuses to do: without elements, PyTorch looks neither at the dtype nor for a kernel."""
    if input.numel():
        raise
    if input.requires_grad:
        raise RuntimeError(f"{f.__name__} does not support automatic differentiation for outputs with complex "
                           "dtype.") from None
    return input.clone()


@composite(method=True, out=True)
def log_softmax(input, dim, dtype=None):
    """The logarithm of softmax along ``dim``."""
    if dtype is not None:
        input = input.to(dtype)
    try:
        return _log_softmax(input, dim)
    except NotImplementedError:  # raised again, but for a tensor without elements
        return _of_nothing(_log_softmax, input)
