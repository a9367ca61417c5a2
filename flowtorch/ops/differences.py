"""Differences between elements, rows and samples: diff, gradient, cdist, cov, corrcoef."""
from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.families import normalize_dim, normalize_dims, op
from flowtorch.ops.op import composite
from flowtorch.ops.pointwise import conj
from flowtorch.ops.pointwise_ternary import complex_
from flowtorch.tensor import Tensor


def _cat(tensors: Any, dim: int) -> Any:
    from flowtorch.ops.join import cat

    return cat(tensors, dim)


# ---------------------------------------------------------------- diff, gradient

@composite(method=True, out=True)
def diff(input, n=1, dim=-1, prepend=None, append=None):
    """The ``n``-th differences of neighbours along ``dim``, after joining ``prepend`` and ``append``."""
    if input.dim() < 1:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    if n < 0:
        raise RuntimeError(f"order must be non-negative but got {n}")
    dim = normalize_dim(dim, input.dim())
    for extra in (prepend, append):
        if extra is not None:
            _check_joined(input, extra, dim)
    if n == 0:
        return input.clone()
    parts = [t for t in (prepend, input, append) if t is not None]
    x = _cat(parts, dim) if len(parts) > 1 else input
    n = min(n, x.shape[dim])
    for _ in range(n):
        size = max(x.shape[dim] - 1, 0)
        later, earlier = x.narrow(dim, min(1, x.shape[dim]), size), x.narrow(dim, 0, size)
        x = later.logical_xor(earlier) if x.dtype is dtypes.bool_ else later - earlier
    return x


def _check_joined(input: Any, extra: Any, dim: int) -> None:
    if extra.dim() != input.dim():
        raise RuntimeError("diff expects prepend or append to be the same dimension as input")
    for d in range(input.dim()):
        if d != dim and extra.shape[d] != input.shape[d]:
            raise RuntimeError("diff expects the shape of tensor to prepend or append to match that of input except "
                               "along the "
                               f"differencing dimension; input.size({d}) = {input.shape[d]}, but got tensor.size({d}) "
                               "= "
                               f"{extra.shape[d]}")


def _along(x: Any, dim: int, start: int, count: int) -> Any:
    return x.narrow(dim, start, count)


def _even_gradient(x: Any, dim: int, h: Any, edge_order: int) -> Any:
    n = x.shape[dim]
    middle = (_along(x, dim, 2, n - 2) - _along(x, dim, 0, n - 2)) / (2 * h)
    at = [_along(x, dim, i, 1) for i in (0, 1, n - 2, n - 1)]
    if edge_order == 1:
        first, last = (at[1] - at[0]) / h, (at[3] - at[2]) / h
    else:
        first = (-1.5 * at[0] + 2 * at[1] - 0.5 * _along(x, dim, 2, 1)) / h
        last = (1.5 * at[3] - 2 * at[2] + 0.5 * _along(x, dim, n - 3, 1)) / h
    return _cat([first, middle, last], dim)


def _uneven_gradient(x: Any, dim: int, places: Any, edge_order: int) -> Any:
    n = x.shape[dim]
    shape = [1] * x.dim()
    shape[dim] = n - 1
    step = (places[1:] - places[:-1]).reshape(shape)
    left, right = _along(step, dim, 0, n - 2), _along(step, dim, 1, n - 2)
    total = left + right
    middle = (
        _along(x, dim, 0, n - 2) * (-right / (left * total))
        + _along(x, dim, 1, n - 2) * ((right - left) / (left * right))
        + _along(x, dim, 2, n - 2) * (left / (right * total))
    )
    if edge_order == 1:
        first = (_along(x, dim, 1, 1) - _along(x, dim, 0, 1)) / _along(step, dim, 0, 1)
        last = (_along(x, dim, n - 1, 1) - _along(x, dim, n - 2, 1)) / _along(step, dim, n - 2, 1)
    else:
        first = _edge(*(_along(x, dim, i, 1) for i in (0, 1, 2)), _along(step, dim, 0, 1), _along(step, dim, 1, 1))  # type: ignore[call-arg]
        last = -_edge(  # type: ignore[call-arg]
            *(_along(x, dim, n - i, 1) for i in (1, 2, 3)), _along(step, dim, n - 2, 1), _along(step, dim, n - 3, 1)
        )
    return _cat([first, middle, last], dim)


def _edge(a: Any, b: Any, c: Any, near: Any, far: Any) -> Any:
    """The slope at the end of the parabola through three points."""
    return (a * (-(2 * near + far) / (near * (near + far))) + b * ((near + far) / (near * far))
            - c * (near / (far * (near + far))))


@composite
def gradient(input, *, spacing=1, dim=None, edge_order=1):
    """The derivative along every ``dim`` by central differences; ``spacing`` gives the steps or the coordinates."""
    head = "torch.gradient expected"
    if input.dtype.name == "uint8":
        raise RuntimeError("torch.gradient does not support uint8 input.")
    spacing = 1 if spacing is None else spacing
    if edge_order not in (1, 2):
        raise RuntimeError("torch.gradient only supports edge_order=1 and edge_order=2.")
    if isinstance(dim, (list, tuple)) and len({d % max(input.dim(), 1) for d in dim}) != len(dim):
        twice = [d % input.dim() for d in dim]
        raise RuntimeError(f"dim {next(d for d in twice if twice.count(d) > 1)} appears multiple times in the list of "
                           "dims")
    dims = normalize_dims(dim, input.dim())
    if isinstance(spacing, Tensor):
        raise TypeError("gradient(): argument 'spacing' must be a number, a tuple of numbers or a tuple of Tensors, "
                        "not Tensor")
    spacings = list(spacing) if isinstance(spacing, (list, tuple)) else [spacing] * len(dims)
    if len(spacings) != len(dims):
        counted = "number" if dim is None else "length"
        raise RuntimeError(
            f"{head} spacing to be unspecified, a scalar, or a list of length equal to 'self.dim() = "
            f"{input.dim()}', "
            f"since dim argument was not given, but got a list of length {len(spacings)}"
            if counted == "number"
            else f"{head} spacing to be unspecified, a scalar or it's spacing and dim arguments to have the "
            "same length, "
            f"but got a spacing argument of length {len(spacings)} and a dim argument of length "
            f"{len(dims)}."
        )
    for d in dims:
        if input.shape[d] < edge_order + 1:
            raise RuntimeError(f"{head} each dimension size to be at least edge_order+1")
    results = []
    for d, h in zip(dims, spacings, strict=True):
        if isinstance(h, Tensor):
            results.append(_uneven_gradient(input, d, h, edge_order))
        else:
            results.append(_even_gradient(input, d, h, edge_order))
    return tuple(results)


# ---------------------------------------------------------------- distances

@op(name="_cdist", tensors=("x1", "x2"), method=False, out=False, node="CdistBackward0")
def _cdist(x1, x2, p, product):
    """The distances between the rows of two batches of matrices."""
    if product:
        square = (x1 * x1).sum(-1)[..., :, None] + (x2 * x2).sum(-1)[..., None, :] - 2 * (x1 @ x2.swapaxes(-2, -1))
        return np.sqrt(np.maximum(square, 0))
    batch = np.broadcast_shapes(x1.shape[:-2], x2.shape[:-2])
    out = np.empty((*batch, x1.shape[-2], x2.shape[-2]), x1.dtype)
    other = np.broadcast_to(x2, batch + x2.shape[-2:])
    first = np.broadcast_to(x1, batch + x1.shape[-2:])
    for i in range(x1.shape[-2]):                            # row by row: all differences at once may not fit
        size = np.abs(first[..., i:i + 1, :] - other)
        out[..., i, :] = _length(size, p)
    return out


def _length(size: np.ndarray, p: float) -> np.ndarray:
    if p == 0:
        return (size != 0).sum(-1)
    if p == 1:
        return size.sum(-1)
    if p == 2:
        return np.sqrt((size * size).sum(-1))
    if math.isinf(p):
        return size.max(-1, initial=0)
    return (size ** p).sum(-1) ** (1 / p)


@_cdist.derivative
def _cdist_backward(g, x1, x2, p, product, out, needs):
    if product:
        weight = (g / out).masked_fill(out == 0, 0)
        back = weight.transpose(-2, -1)
        return (x1 * weight.sum(-1, True) - weight @ x2 if needs[0] else None,
                x2 * back.sum(-1, True) - back @ x1 if needs[1] else None)
    change = x1.unsqueeze(-2) - x2.unsqueeze(-3)
    length, weight = out.unsqueeze(-1), g.unsqueeze(-1)
    if p == 0:
        part = change * 0 * weight
    elif p == 1:
        part = change.sgn() * weight
    elif p == 2:
        part = change * (weight / length).masked_fill(length == 0, 0)
    elif math.isinf(p):
        part = change.sgn() * weight * (change.abs() == length)
    elif p < 2:
        part = (
            change.sgn()
            * change.abs().pow(p - 1).masked_fill(change == 0, 0)
            * (weight / length.pow(p - 1)).masked_fill(length == 0, 0)
        )
    else:
        part = change * change.abs().pow(p - 2) * (weight / length.pow(p - 1)).masked_fill(length == 0, 0)
    return part.sum(-2) if needs[0] else None, -part.sum(-3) if needs[1] else None


_MODES = ("use_mm_for_euclid_dist_if_necessary", "use_mm_for_euclid_dist", "donot_use_mm_for_euclid_dist")


@composite
def cdist(x1, x2, p=2.0, compute_mode=_MODES[0]):
    """The ``p``-distance between every row of ``x1`` (..., n, d) and every row of ``x2`` (..., m, d): (..., n, m).

    >>> torch.cdist(torch.tensor([[0.0, 0.0]]), torch.tensor([[3.0, 4.0], [0.0, 1.0]]))
    tensor([[5., 1.]])
    """
    if compute_mode not in _MODES:
        raise ValueError(f"{compute_mode} is not a valid value for compute_mode")
    for word, x in (("X1", x1), ("X2", x2)):
        if not x.is_floating_point():
            raise RuntimeError(f"cdist only supports floating-point dtypes, {word} got: {x.dtype.label}")
    for word, x in (("X1", x1), ("X2", x2)):
        if x.dim() < 2:
            raise RuntimeError(f"cdist only supports at least 2D tensors, {word} got: {x.dim()}D")
    if x1.shape[-1] != x2.shape[-1]:
        raise RuntimeError(f"X1 and X2 must have the same number of columns. X1: {x1.shape[-1]} X2: {x2.shape[-1]}")
    if p < 0:
        raise RuntimeError("cdist only supports non-negative p values")
    if x1.dtype is not x2.dtype:
        common = dtypes.promote_types(x1.dtype, x2.dtype)
        x1, x2 = x1.to(common), x2.to(common)
    many = x1.shape[-2] > 25 or x2.shape[-2] > 25
    product = p == 2 and (compute_mode == _MODES[1] or (compute_mode == _MODES[0] and many))
    return _cdist(x1, x2, float(p), product)


# ---------------------------------------------------------------- covariance

@composite(method=True)
def cov(input, *, correction=1, fweights=None, aweights=None):
    """The covariances of the rows; columns are observations, ``fweights`` times each, weighted by ``aweights``."""
    if input.dim() > 2:
        raise RuntimeError("cov(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.dim()} dimensions")
    if input.dtype is dtypes.bool_:
        raise RuntimeError("cov(): bool dtype is not supported for input")
    x = input.reshape(1, -1) if input.dim() < 2 else input
    count = x.shape[1]
    weight = _weights(x, fweights, aweights)
    if weight is None:
        mean, total = x.sum(1) / count if count else x.sum(1) / 0, count
        factor = total - correction
    else:
        total = weight.sum()
        if not total.is_complex() and float(total) == 0:
            raise RuntimeError("cov(): weights sum to zero, can't be normalized")
        mean = (x * weight).sum(1) / total
        factor = total - correction
        if aweights is not None and correction != 0:
            factor = total - correction * (weight * aweights).sum() / total
    if float(factor) <= 0:
        warnings.warn("cov(): degrees of freedom is <= 0. Correction should be strictly less than the number of "
                      "observations.",
                      stacklevel=2)
        factor = 0
    x = x - mean.unsqueeze(1)
    weighted = x if weight is None else x * weight
    return (x @ conj(weighted.transpose(0, 1)) / factor).squeeze()


def _weights(x: Any, fweights: Any, aweights: Any) -> Any:
    count = x.shape[1]
    for word, w in (("fweights", fweights), ("aweights", aweights)):
        if w is None:
            continue
        if w.dim() > 1:
            raise RuntimeError(f"cov(): expected {word} to have one or fewer dimensions but got {word} with {w.dim()} "
                               "dimensions")
        if word == "fweights" and w.dtype.rank >= 2:
            raise RuntimeError("cov(): expected fweights to have integral dtype but got fweights with "
                               f"{w.dtype.label} dtype")
        if word == "aweights" and not w.dtype.is_floating_point:
            raise RuntimeError("cov(): expected aweights to have floating point dtype but got aweights with "
                               f"{w.dtype.label} dtype")
        if w.numel() != count:
            raise RuntimeError(f"cov(): expected {word} to have the same numel as there are observations in the input "
                               "but got "
                               f"{w.numel()} != {count}")
        if count and float(w.min()) < 0:
            raise RuntimeError(f"cov(): {word} cannot be negative")
    if fweights is None or aweights is None:
        return aweights if fweights is None else fweights
    return fweights * aweights


@composite(method=True)
def corrcoef(input):
    """The correlation coefficients of the rows."""
    if input.dim() > 2:
        raise RuntimeError("corrcoef(): expected input to have two or fewer dimensions but got an input with "
                           f"{input.dim()} dimensions")
    c = cov(input)
    if c.dim() == 0:
        return c / c
    spread = c.diagonal()
    spread = (spread.real if c.is_complex() else spread).sqrt()
    c = c / spread.unsqueeze(1) / spread
    return complex_(c.real.clamp(-1, 1), c.imag.clamp(-1, 1)) if c.is_complex() else c.clamp(-1, 1)


@composite(method=True)
def trace(input):
    """The sum of the diagonal of a matrix."""
    if input.dtype.name == "bool":
        raise NotImplementedError("\"trace\" not implemented for 'Bool'")
    if input.dim() != 2:
        raise RuntimeError(f"trace: expected a matrix, but got tensor with dim {input.dim()}")
    return input.diagonal().sum()
