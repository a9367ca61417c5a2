"""Quantiles, with and without NaN, made of sort, gather and interpolation."""
from __future__ import annotations

from typing import Any

from flowtorch.ops import dispatch
from flowtorch.ops.families import normalize_dim
from flowtorch.ops.op import composite
from flowtorch.ops.sorting import sort
from flowtorch.tensor import Tensor

_OUT = dispatch.OutRule("quantile")
_INTERPOLATIONS = ("linear", "lower", "higher", "midpoint", "nearest")


def _check(name: str, input: Any, q: Any, interpolation: str) -> None:
    if input.numel() == 0:
        raise RuntimeError(f"{name}() input tensor must be non-empty")
    if q.dim() > 1:
        raise RuntimeError(f"{name}() q must be a scalar or 1D tensor")
    if input.dtype.name not in ("float32", "float64"):
        raise RuntimeError(f"{name}() input tensor must be either float or double dtype")
    if q.dtype is not input.dtype:
        raise RuntimeError(f"{name}() q tensor must be same dtype as the input tensor")
    if interpolation not in _INTERPOLATIONS:
        raise RuntimeError(f"{name}() interpolation must be one of linear, lower, higher, midpoint or nearest, but got "
                           f"{interpolation}")
    if q.device != input.device:
        raise RuntimeError(f"{name}() q tensor must be on the same device as the input tensor")
    if q.numel() and not q.is_meta and not bool(((q >= 0) & (q <= 1)).all()):
        raise RuntimeError(f"{name}() q values must be in the range [0, 1]")


def _quantile(name: str, input: Any, q: Any, dim: Any, keepdim: bool, interpolation: str, ignore_nan: bool) -> Any:
    if not isinstance(q, Tensor):
        if not 0 <= q <= 1:
            raise RuntimeError(f"{name}() q must be in the range [0, 1] but got {q}")
        q = input.new_tensor(q)
    _check(name, input, q, interpolation)
    wrapped = 0 if dim is None else normalize_dim(dim, input.dim())
    shape = [1] * input.dim() if dim is None else [1 if d == wrapped else n for d, n in enumerate(input.shape)]
    if not keepdim:
        shape = [] if dim is None else shape[:wrapped] + shape[wrapped + 1:]
    flat = input.reshape(-1) if dim is None or input.dim() == 0 else input.movedim(wrapped, -1)
    ordered = sort(flat, -1)[0]
    n = ordered.size(-1)
    positions = q.reshape(-1)                                       # one column of results per q
    if ignore_nan:
        count = (~ordered.isnan()).sum(-1, True)
        rank = (positions * (count - 1).to(q.dtype)).clamp(min=0)
    else:
        rank = positions * (n - 1)
        rank = rank.expand(*ordered.shape[:-1], rank.size(-1))
        rank = rank.masked_fill(ordered.isnan().any(-1, True), n - 1)
    result = _interpolate(ordered, rank, interpolation)
    result = result.movedim(-1, 0)
    return result.reshape([positions.size(0), *shape]) if q.dim() else result.reshape(shape)


def _interpolate(ordered: Any, rank: Any, interpolation: str) -> Any:
    """The values of ``ordered`` at fractional places."""
    from flowtorch.dtypes import int64

    if interpolation in ("lower", "higher", "nearest"):
        rank = rank.floor() if interpolation == "lower" else rank.ceil() if interpolation == "higher" else rank.round()
        return ordered.gather(-1, rank.to(int64))
    below = rank.detach().floor()
    low = ordered.gather(-1, below.to(int64))
    high = ordered.gather(-1, rank.detach().ceil().to(int64))
    if interpolation == "midpoint":
        return low.lerp(high, 0.5)
    return low.lerp(high, rank - below)


@composite(method=True)
def quantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """The ``q``-quantiles of all elements or along ``dim``; several q make a new first dimension."""
    result = _quantile("quantile", input, q, dim, keepdim, interpolation, False)
    return result if out is None else dispatch.write_out(_OUT, out, result.contiguous())


@composite(method=True)
def nanquantile(input, q, dim=None, keepdim=False, *, interpolation="linear", out=None):
    """``quantile`` of the elements that are not NaN."""
    result = _quantile("nanquantile", input, q, dim, keepdim, interpolation, True)
    return result if out is None else dispatch.write_out(_OUT, out, result.contiguous())
