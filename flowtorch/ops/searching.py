"""Values among values: unique, searchsorted, bucketize, isin, bincount and histograms."""
from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops import dispatch
from flowtorch.ops.arguments import need_bool, need_int, need_ints, need_number
from flowtorch.ops.factory import arange
from flowtorch.ops.families import named_result, normalize_dim, op, result_dtype
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.ranges import linspace
from flowtorch.tensor import Tensor


def _label(a: np.ndarray) -> str:
    return dtypes.from_numpy_dtype(a.dtype).label


# ---------------------------------------------------------------- unique

def _runs(changed: np.ndarray, order: np.ndarray | None, n: int) -> tuple:
    """(starts of runs, run number of each element in the original order, run lengths)."""
    starts = np.flatnonzero(np.concatenate(([True], changed))) if n else np.zeros(0, np.int64)
    inverse = np.zeros(n, np.int64)
    number = np.concatenate(([0], np.cumsum(changed))).astype(np.int64) if n else inverse
    if order is not None:
        inverse = np.empty(n, np.int64)
        inverse[order] = number
    else:
        inverse = number
    return starts, inverse, np.diff(np.append(starts, n)).astype(np.int64)


def _rows(input: np.ndarray, dim: int) -> np.ndarray:
    """The slices along ``dim`` as rows of a matrix."""
    if input.ndim == 0:
        raise IndexError(f"Dimension specified as {dim} but tensor has no dimensions")
    if input.size == 0 and any(n == 0 for d, n in enumerate(input.shape) if d != dim):
        raise RuntimeError("There are 0 sized dimensions, and they aren't selected, so unique cannot be applied")
    moved = np.moveaxis(input, dim, 0)
    return moved.reshape(len(moved), input.size // max(len(moved), 1))


def _slices(input: np.ndarray, which: np.ndarray, dim: int) -> np.ndarray:
    """These slices along ``dim``, one after the other in memory."""
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(input, dim, 0)[which]), 0, dim)


def _refuse_complex(input: np.ndarray) -> None:
    if input.dtype.kind == "c":
        raise NotImplementedError(f'"unique" not implemented for \'{_label(input)}\'')


@op(name="_unique", tensors=("input",), method=False, out=False, low="keep")
def _unique(input, dim=None, inverse=True):
    """The distinct values (or slices along ``dim``) in ascending order, where each element went, and how many each
    has."""
    _refuse_complex(input)
    if dim is None:
        flat = input.reshape(-1)
        if not inverse:
            ordered = np.sort(flat)
            starts, _, counts = _runs(ordered[1:] != ordered[:-1], None, flat.size)
            return ordered[starts], starts, counts
        order = flat.argsort(kind="stable")
        ordered = flat[order]
        starts, inverse, counts = _runs(ordered[1:] != ordered[:-1], order, flat.size)
        return ordered[starts], inverse.reshape(input.shape), counts
    dim = normalize_dim(dim, input.ndim)
    rows = _rows(input, dim)
    order = np.lexsort(rows.T[::-1]) if rows.shape[1] else np.arange(len(rows))
    ordered = rows[order]
    starts, inverse, counts = _runs((ordered[1:] != ordered[:-1]).any(axis=1), order, len(rows))
    return _slices(input, order[starts], dim), inverse, counts


@op(name="_unique_consecutive", tensors=("input",), method=False, out=False, low="keep")
def _unique_consecutive(input, dim=None):
    """Runs of equal values (or slices along ``dim``) as one each, where each element went, and the run lengths."""
    if dim is None:
        flat = input.reshape(-1)
        starts, inverse, counts = _runs(flat[1:] != flat[:-1], None, flat.size)
        return flat[starts], inverse.reshape(input.shape), counts
    dim = normalize_dim(dim, input.ndim)
    rows = _rows(input, dim)
    starts, inverse, counts = _runs((rows[1:] != rows[:-1]).any(axis=1), None, len(rows))
    return _slices(input, starts, dim), inverse, counts


def _parts(result: tuple, inverse: bool, counts: bool) -> Any:
    chosen = [result[0]] + [r for r, wanted in zip(result[1:], (inverse, counts), strict=True) if wanted]
    return tuple(chosen) if len(chosen) > 1 else chosen[0]


@composite(method=True)
def unique(input, sorted=True, return_inverse=False, return_counts=False, dim=None):
    """The distinct elements (or slices along ``dim``) in ascending order; on demand also the inverse and the counts.

    >>> torch.unique(torch.tensor([3, 1, 3]), return_counts=True)
    (tensor([1, 3]), tensor([1, 2]))
    """
    for k, flag in enumerate(("sorted", "return_inverse", "return_counts")):
        need_bool("unique", flag, k + 2, (sorted, return_inverse, return_counts)[k])
    return _parts(_unique(input.detach(), dim, return_inverse), return_inverse, return_counts)


@composite(method=True)
def unique_consecutive(input, return_inverse=False, return_counts=False, dim=None):
    """The elements (or slices along ``dim``) with repetitions of their predecessor left out."""
    return _parts(_unique_consecutive(input.detach(), dim), return_inverse, return_counts)


# ---------------------------------------------------------------- searchsorted, isin

@op(name="_searchsorted", tensors=("sorted_sequence", "input", "sorter"), method=False)
def _searchsorted(sorted_sequence, input, sorter=None, right=False, out_int32=False):
    """Where each value of ``input`` belongs in the ascending rows of ``sorted_sequence``."""
    edges = sorted_sequence if sorter is None else np.take_along_axis(sorted_sequence, sorter, -1)
    side = "right" if right else "left"
    if edges.ndim == 1:
        found = np.searchsorted(edges, input, side)
    else:
        found = np.zeros(input.shape, np.int64)
        if not found.size:
            return found.astype(np.int32 if out_int32 else np.int64)
        flat_edges = edges.reshape(math.prod(edges.shape[:-1]), edges.shape[-1])
        flat_input, flat_found = input.reshape(len(flat_edges), -1), found.reshape(len(flat_edges), -1)
        for row in range(len(flat_edges)):
            flat_found[row] = np.searchsorted(flat_edges[row], flat_input[row], side)
    return np.asarray(found).astype(np.int32 if out_int32 else np.int64)


def _check_search(edges: Any, values: Any, side: Any, right: bool, sorter: Any, out_int32: bool, out: Any) -> bool:
    """The checks of searchsorted; whether to search from the right."""
    name = "torch.searchsorted()"
    if side is not None and side not in ("left", "right"):
        raise RuntimeError(f"{name}: side can only be 'left' or 'right' but got {side}")
    if side == "left" and right:
        raise RuntimeError(f"{name}: side and right can't be set to opposites, got side of left while right was True")
    if edges.dim() == 0:
        raise RuntimeError(f"{name}: boundaries tensor should have positive dimension, but got 0 dimension")
    if values.dim() == 0 and edges.dim() != 1:
        raise RuntimeError(f"{name}: input value can be a scalar only when boundaries tensor dimension is 1, but we "
                           "got "
                           f"boundaries tensor dim({edges.dim()}) and input value's dim(0) numel({values.numel()})")
    if edges.dim() != 1 and edges.shape[:-1] != values.shape[:-1]:
        raise RuntimeError(f"{name}: boundaries tensor should be 1 dimension or the first N-1 dimensions of "
                           "boundaries tensor "
                           f"and input value tensor must match, but we got boundaries tensor {list(edges.shape)} and "
                           "input "
                           f"value tensor {list(values.shape)}")
    if sorter is not None:
        if sorter.shape != edges.shape:
            raise RuntimeError(f"{name}: boundary and sorter must have the same size, but got boundary tensor "
                               f"{list(edges.shape)}and got sorter tensor {list(sorter.shape)}")
        if sorter.dtype.name != "int64":
            raise RuntimeError(f"{name}: sorter must be a tensor of long dtype but got dtype {sorter.dtype.label}")
        if sorter.numel() and (int(sorter.min()) < 0 or int(sorter.max()) >= edges.size(-1)):
            raise RuntimeError(f"{name}: sorter index out of range")
    if out is not None and out.dtype.name != ("int32" if out_int32 else "int64"):
        raise RuntimeError(f"{name}: output tensor's dtype is wrong, it can only be Int(int32) or Long(int64) "
                           "depending on "
                           f"whether out_int32 flag is True, but we got output tensor's dtype {out.dtype.label} and "
                           "out_int32 "
                           f"flag is {out_int32}")
    return right or side == "right"


def _search(edges: Any, values: Any, sorter: Any, right: bool, out_int32: bool, out: Any) -> Any:
    common = result_dtype([edges, values]) if edges.dtype is not values.dtype else edges.dtype
    if edges.dtype is not common or values.dtype is not common:
        edges, values = edges.to(common), values.to(common)
    return _searchsorted(edges.detach(), values.detach(), sorter, right, out_int32, out=out)


@composite
def searchsorted(sorted_sequence, input, *, out_int32=False, right=False, side=None, sorter=None, out=None):
    """Where each value of ``input`` belongs in the ascending last dimension of ``sorted_sequence``."""
    if not isinstance(input, Tensor):
        input = sorted_sequence.new_tensor(input) if isinstance(input, (int, float, bool)) else input
    right = _check_search(sorted_sequence, input, side, right, sorter, out_int32, out)
    return _search(sorted_sequence, input, sorter, right, out_int32, out)


@composite
def bucketize(input, boundaries, *, out_int32=False, right=False, out=None):
    """The number of the interval between the ascending ``boundaries`` that each value falls into."""
    if boundaries.dim() != 1:
        raise RuntimeError(f"boundaries tensor must be 1 dimension, but got dim({boundaries.dim()})")
    if not isinstance(input, Tensor):
        need_number("bucketize", "input", 1, input)
        input = boundaries.new_tensor(input)
    _check_search(boundaries, input, None, right, None, out_int32, out)
    return _search(boundaries, input, None, right, out_int32, out)


@op(name="_isin", tensors=("elements", "test_elements"), method=False, low="keep")
def _isin(elements, test_elements, assume_unique=False, invert=False):
    """Whether each element is among the test elements."""
    if elements.dtype.kind == "c":
        raise RuntimeError(f"Unsupported input type encountered for isin(): {_label(elements)}")
    common = np.result_type(elements, test_elements) if elements.dtype != test_elements.dtype else elements.dtype
    return np.isin(elements.astype(common), test_elements.astype(common), assume_unique=False, invert=invert)


@composite
def isin(elements, test_elements, *, assume_unique=False, invert=False, out=None):
    """Whether each element of ``elements`` is among ``test_elements``."""
    given = [x for x in (elements, test_elements) if isinstance(x, Tensor)]
    if not given or any(isinstance(x, (list, tuple, str)) or x is None for x in (elements, test_elements)):
        raise TypeError("isin() received an invalid combination of arguments - got "
                        f"({type(elements).__name__}, {type(test_elements).__name__}), but expected one of: (Tensor "
                        "elements, "
                        "Tensor test_elements), (Number element, Tensor test_elements), (Tensor elements, Number "
                        "test_element)")
    first, second = (x if isinstance(x, Tensor) else given[0].new_tensor(x, dtype=result_dtype([given[0], x]))
                     for x in (elements, test_elements))
    return _isin(first.detach(), second.detach(), assume_unique, invert, out=out)


# ---------------------------------------------------------------- bincount and histograms

@op(tensors=("input", "weights"), out=False, low="keep")
def bincount(input, weights=None, minlength=0):
    """How often each non-negative integer occurs, or the sum of its weights."""
    if input.dtype.kind in "fcb":
        raise NotImplementedError(f'"bincount_cpu" not implemented for \'{_label(input)}\'')
    if minlength < 0:
        raise RuntimeError("minlength should be >= 0")
    if input.ndim != 1 or (input.size and input.min() < 0):
        raise RuntimeError("bincount only supports 1-d non-negative integral inputs.")
    if weights is None or not input.size:
        return np.bincount(input.astype(np.int64), minlength=minlength).astype(np.int64)
    if weights.shape != input.shape:
        raise RuntimeError("weights should be 1-d and have the same length as input")
    d = weights.dtype if weights.dtype == np.float32 else np.dtype(np.float64)
    return np.bincount(input.astype(np.int64), weights.astype(np.float64), minlength).astype(d)


# ---------------------------------------------------------------- indices of sparse layouts

@composite(out=True)
def _convert_indices_from_coo_to_csr(input, size, *, out_int32=False):
    """Where each of ``size`` rows starts among the sorted row numbers ``input``, and where the last one ends."""
    size = need_int("_convert_indices_from_coo_to_csr", "size", 2, size)
    if input.dim() > 1:
        raise RuntimeError(f"Input is supposed to be a vector, but got {input.dim()} dimensional tensor.")
    if size < -1:
        raise RuntimeError(f"Trying to create tensor with negative dimension {size + 1}: [{size + 1}]")
    if input.dtype.is_floating_point or input.dtype.is_complex:
        raise NotImplementedError(f'"convert_indices_from_coo_to_csr_cpu" not implemented for \'{input.dtype.label}\'')
    rows = arange(size + 1, dtype=input.dtype, device=input.device)
    return searchsorted(input.reshape(-1), rows, out_int32=out_int32)


@composite(out=True)
def _convert_indices_from_csr_to_coo(crow_indices, col_indices, *, out_int32=False, transpose=False):
    """The coordinates (batch dimensions, row, column; or column, row) of a compressed layout's entries."""
    *batch, bounds = crow_indices.shape
    counts = crow_indices.diff(dim=-1).reshape(-1)
    row = arange(bounds - 1, device=counts.device).repeat(math.prod(batch)).repeat_interleave(counts)
    column = col_indices.reshape(-1)
    where = [column, row] if transpose else [row, column]
    if batch:
        pages = [[i] * col_indices.shape[-1] for i in np.ndindex(*batch)]
        where = [*counts.new_tensor(pages).reshape(-1, len(batch)).T, *where]
    return REGISTRY["stack"].public(where).to(dtypes.int32 if out_int32 else dtypes.int64)


@op(name="_histc", tensors=("input",), method=False, low="keep")     # half precision rounds each step, as PyTorch does
def _histc(input, bins, low, high):
    """How many values fall into each of ``bins`` equal intervals of [low, high]."""
    flat = input.reshape(-1)
    inside = flat[(flat >= low) & (flat <= high)]
    low, high, count = (np.asarray(x, input.dtype) for x in (low, high, bins))
    place = ((inside - low) * count / (high - low)).astype(np.int64)
    return np.bincount(np.clip(place, 0, bins - 1), minlength=bins).astype(input.dtype)


@composite(method=True, out=True)
def histc(input, bins=100, min=0, max=0):
    """How many values fall into each of ``bins`` equal intervals of [min, max] (of the values' own range by
    default)."""
    if not input.dtype.is_floating_point:
        raise NotImplementedError(f'"histogram_cpu" not implemented for \'{input.dtype.label}\'')
    if bins <= 0:
        raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {bins} for dimension 0")
    low, high = float(min), float(max)
    if not (np.isfinite(low) and np.isfinite(high)):
        raise RuntimeError(f"torch.histc: range of [{low:g}, {high:g}] is not finite")
    if low > high:
        raise RuntimeError("torch.histc: max must be larger than min")
    if low == high and input.numel() and not input.is_meta:
        low, high = float(input.min()), float(input.max())
        if not (np.isfinite(low) and np.isfinite(high)):
            shown = ["-nan" if v != v else f"{v:g}" for v in (low, high)]
            raise RuntimeError(f"torch.histc: range of [{shown[0]}, {shown[1]}] is not finite")
    if low == high:
        low, high = low - 1, high + 1
    return _histc(input.detach(), bins, low, high)


@op(name="_histogramdd_counts", tensors=("input", "weight", "edges"), many=True, method=False, out=False)
def _histogram_counts(input, weight, edges, density=False):
    """The counts (or sums of weights) of the rows of ``input`` in the boxes between ``edges``, one vector per
    dimension."""
    sizes = [len(e) - 1 for e in edges]
    inside = np.ones(len(input), bool)
    flat = np.zeros(len(input), np.int64)
    for d, e in enumerate(edges):
        x = input[:, d]
        inside &= (x >= e[0]) & (x <= e[-1])
        flat = flat * sizes[d] + np.clip(np.searchsorted(e, x, "right") - 1, 0, sizes[d] - 1)
    total = int(np.prod(sizes))
    weights = None if weight.size == 0 and len(input) else weight.reshape(-1)[inside].astype(np.float64)
    if weight.size == 0:
        weights = None
    counts = np.bincount(flat[inside], weights, total).reshape(sizes)
    if density:
        counts = counts / counts.sum()
        for d, e in enumerate(edges):
            shape = [1] * len(sizes)
            shape[d] = -1
            counts = counts / np.diff(e).astype(np.float64).reshape(shape)
    return counts.astype(input.dtype)


def _histogram_edges(input: Any, bins: Any, range_: Any) -> list:
    """One vector of bin edges per column of ``input``."""
    n = input.size(-1)
    if isinstance(bins, int):
        bins = [bins] * n
    if len(bins) != n:
        need_ints("histogramdd", "bins", 2, bins)
        raise RuntimeError("histogramdd: The size of bins must be equal to the innermost dimension of the input.")
    if isinstance(bins[0], Tensor):
        for d, b in enumerate(bins):
            if b.dim() != 1:
                raise RuntimeError(f"torch.histogramdd: bins tensor should have one dimension, but got {b.dim()} "
                                   "dimensions in "
                                   f"the bins tensor for dimension {d}")
            if b.size(0) < 2:
                raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {b.size(0) - 1} for dimension {d}")
            if b.dtype is not input.dtype:
                raise RuntimeError("torch.histogramdd: input tensor and bins tensors should have the same dtype, but "
                                   "got input "
                                   f"with dtype {input.dtype.label} and bins for dimension {d} with dtype "
                                   f"{b.dtype.label}")
        return [b.detach() for b in bins]
    if range_ is not None and len(range_) != 2 * n:
        raise RuntimeError(f"torch.histogramdd: for a {n}-dimensional histogram range should have {2 * n} elements, "
                           "but got "
                           f"{len(range_)}")
    edges = []
    for d, k in enumerate(bins):
        if k <= 0:
            raise RuntimeError(f"torch.histogram(): bins must be > 0, but got {k} for dimension {d}")
        if range_ is not None:
            low, high = range_[2 * d], range_[2 * d + 1]
            if low > high:
                raise RuntimeError(f"torch.histogramdd: min should not exceed max, but got min {low:g} max {high:g} "
                                   "for "
                                   f"dimension {d}")
        elif input.numel():
            low, high = float(input[:, d].min()), float(input[:, d].max())
        else:
            low, high = 0.0, 1.0
        if not (np.isfinite(low) and np.isfinite(high)):
            raise RuntimeError(f"torch.histogramdd: dimension {d}'s range [{low:g}, {high:g}] is not finite")
        if low == high:
            low, high = low - 0.5, high + 0.5
        edges.append(linspace(low, high, k + 1, dtype=input.dtype, device=input.device))
    return edges


def _histogram(name: str, input: Any, bins: Any, range_: Any, weight: Any, density: bool) -> tuple:
    if input.dtype.name not in ("float32", "float64"):
        raise NotImplementedError(f'"histogramdd" not implemented for \'{input.dtype.label}\'')
    shape = input.shape
    if weight is not None:
        if weight.shape != shape[:-1]:
            raise RuntimeError("torch.histogramdd: if weight tensor is provided it should have the same shape as the "
                               "input tensor "
                               f"excluding its innermost dimension, but got input with shape {list(shape)} and weight "
                               "with "
                               f"shape {list(weight.shape)}")
        if weight.dtype is not input.dtype:
            raise RuntimeError("torch.histogramdd: if weight tensor is provided, input tensor and weight tensor "
                               "should have the "
                               f"same dtype, but got input({input.dtype.label}), and weight({weight.dtype.label})")
    rows = input.detach().reshape(-1, shape[-1]) if input.numel() else input.detach().reshape(0, shape[-1])
    edges = _histogram_edges(rows, bins, range_)
    weight = rows.new_empty(0) if weight is None else weight.detach()
    return _histogram_counts(rows, weight, edges, density), edges


_HISTOGRAM_OUT = dispatch.OutRule("histogram")


@composite(method=True)
def histogram(input, bins, *, range=None, weight=None, density=False, out=None):
    """The histogram of all values: counts, sums of weights or densities, and the edges of the bins."""
    flat = input.reshape(-1, 1)
    if weight is not None and weight.shape == input.shape:
        weight = weight.reshape(-1)
    counts, edges = _histogram("histogram", flat, [bins], range, weight, density)
    result = (counts, edges[0].clone())
    if out is not None:
        result = tuple(
            [dispatch.write_out(_HISTOGRAM_OUT, o, r) for o, r in zip(out, result, strict=True)]
        )
    return named_result("histogram", ("hist", "bin_edges"))(result)


@composite
def histogramdd(input, bins, range=None, weight=None, density=False):
    """The histogram of points, whose coordinates are the last dimension, in as many dimensions."""
    if input.dim() < 2:
        raise RuntimeError("torch.histogramdd: input tensor should have at least 2 dimensions")
    if input.dim() > 2 and weight is not None:
        weight = weight.reshape(-1) if weight.shape == input.shape[:-1] else weight
    counts, edges = _histogram(
        "histogramdd", input if input.dim() == 2 else input.flatten(0, -2), bins, range, weight, density
    )
    return named_result("histogramdd", ("hist", "bin_edges"))((counts, tuple(edges)))

