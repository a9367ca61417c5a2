"""Reductions over consecutive stretches of a dimension."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.op import composite

_UFUNCS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum, "prod": np.multiply}
_STARTS = {"sum": 0.0, "mean": 0.0, "max": -np.inf, "min": np.inf, "prod": 1.0}


@op(name="_segment_reduce", tensors=("input", "starts", "ends"), method=False, out=False,
    node="SegmentReduceBackward0", rejects=("integer", "bool", "complex"),
    vjp=(lambda g, input, starts, ends, out, reduce, initial: _spread(g, input, starts, ends, out, reduce, initial),
         None, None))
def _segments(input, starts, ends, reduce, initial=None):
    """Each result is the reduction of the rows ``starts[i]:ends[i]`` of (rows, *) ``input``."""
    ufunc, counts = _UFUNCS[reduce], ends - starts
    first = _STARTS[reduce] if initial is None else initial
    out = np.full((len(starts), *input.shape[1:]), first, input.dtype)
    some = np.flatnonzero(counts > 0)
    if some.size:
        # between the stretches lie others that nobody asked for; what ends at the end needs no stretch after it
        bounds = np.stack([starts[some], ends[some]], 1).reshape(-1)
        parts = ufunc.reduceat(np.concatenate([input, input[:1]]), bounds, axis=0)[::2]
        out[some] = ufunc(out[some], parts)
    if reduce == "mean":
        size = counts.astype(input.dtype).reshape(-1, *(1,) * (input.ndim - 1))
        out = np.where(size > 0, out / np.maximum(size, 1), np.nan if initial is None else out).astype(input.dtype)
    return out


def _spread(g: Any, input: Any, starts: Any, ends: Any, out: Any, reduce: str, initial: Any) -> Any:
    """The gradient of ``_segments``: to each row of a stretch what its result got; equal extremes share it."""
    import flowtorch as torch

    if g.is_meta:
        return torch.empty_like(input)
    counts = ends - starts
    which = torch.repeat_interleave(torch.arange(len(starts), device=g.device), counts)
    rows = torch.arange(len(which), device=g.device) + (starts - (counts.cumsum(0) - counts))[which]

    def totals(x: Any) -> Any:
        return torch.zeros_like(g).index_add(0, which, x)

    share, x = g[which], input[rows]
    if reduce == "mean":
        share = share / counts[which].to(g.dtype).view(-1, *[1] * (g.dim() - 1))
    elif reduce in ("max", "min"):
        chosen = ((x == out[which]) | x.isnan()).to(g.dtype)
        share = share * chosen / totals(chosen).clamp_min(1)[which]
    elif reduce == "prod":
        zero = x == 0
        zeros = totals(zero.to(g.dtype))[which]
        others = _segments(input.masked_fill(input == 0, 1), starts, ends, "prod", initial)[which]
        alone = others.where(zero & (zeros == 1), torch.zeros_like(x))
        share = share * (out[which] / x.masked_fill(zero, 1)).where(zeros == 0, alone)
    return torch.zeros_like(input).index_add(0, rows, share)


@composite
def segment_reduce(data, reduce, *, lengths=None, indices=None, offsets=None, axis=0, unsafe=False, initial=None):
    """The sum, mean, max, min or prod of stretches along ``axis``, given by their ``lengths`` or ``offsets``."""
    reduce = {"amax": "max", "amin": "min"}.get(reduce, reduce)
    if reduce not in _UFUNCS:
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}")
    if indices is not None:
        raise RuntimeError("segment_reduce(): indices based reduction is not supported yet.")
    if offsets is None and lengths is None:
        raise RuntimeError("segment_reduce(): Either lengths or offsets must be defined.")
    given = lengths if offsets is None else offsets
    axis = normalize_dim(axis, data.dim())
    if data.dim() < given.dim():
        raise RuntimeError("Expected data.dim() >= lengths_value.dim() to be true, but got false.")
    if axis != given.dim() - 1:
        what = "lengths" if offsets is None else "offsets"
        raise RuntimeError(f"segment_reduce(): Expected axis to be the last dimension of {what} but got {axis}.")
    if given.dtype.name not in ("int32", "int64"):
        raise NotImplementedError(f"\"_segment_reduce_lengths_cpu_kernel1\" not implemented for '{given.dtype.label}'")
    given, n = given.long(), data.size(axis)
    if offsets is None:
        if not unsafe:
            _check_lengths(given, n)
        ends = given.cumsum(-1)
        starts = ends - given
    else:
        starts, ends = given[..., :-1], given[..., 1:]
    outer = 1
    for size in data.shape[:axis]:
        outer *= size
    first = given.new_tensor(range(0, outer * n, n) if n else [0] * outer).view(*data.shape[:axis], 1)
    shape = (*starts.shape, *data.shape[axis + 1:])
    flat = data.reshape(outer * n, *data.shape[axis + 1:])
    initial = None if initial is None else float(initial)
    out = _segments(flat, (starts + first).reshape(-1), (ends + first).reshape(-1), reduce, initial)
    return out.view(shape)


def _check_lengths(lengths: Any, n: int) -> None:
    if lengths.is_meta:
        return
    if lengths.numel() and int(lengths.min()) < 0:
        raise RuntimeError("lengths contains negative value!")
    if not bool((lengths.sum(-1) == n).all()):
        raise RuntimeError("segment_reduce(): Expected all rows of lengths along axis to sum to "
                           "data.size(lengths.dim()-1) when !unsafe.")
