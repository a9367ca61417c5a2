"""Sums, means and maxima of bags of embeddings."""

from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops import factory
from flowtorch.ops.families import op
from flowtorch.ops.index_select import embedding
from flowtorch.ops.op import composite
from flowtorch.tensor import wrap as wrap_host


def _first_of_run(index: np.ndarray) -> np.ndarray:
    """Where runs of equal numbers start."""
    return np.concatenate([[0], np.flatnonzero(np.diff(index)) + 1]) if index.size else index[:0]


@op(
    name="segment_sum",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    vjp=(lambda g, bag: segment_rows(g, bag),),  # type: ignore[has-type]
)
def segment_sum(input, bag, count):
    """Sums (count, D) of the rows of (n, D) ``input`` by bag; ``bag`` never decreases."""
    out = np.zeros((count, input.shape[1]), input.dtype)
    if bag.size:
        starts = _first_of_run(bag)
        out[bag[starts]] = np.add.reduceat(input, starts, axis=0)
    return out


@op(
    name="segment_rows",
    tensors=("input",),
    namespace="_nn",
    method=False,
    out=False,
    low="keep",
    vjp=(lambda g, bag, input_shape: segment_sum(g, bag, input_shape[0]),),
)
def segment_rows(input, bag):
    """The adjoint of ``segment_sum``: to every element the row of its bag."""
    return input.take(bag, axis=0)


def _highest(rows: np.ndarray, bag: np.ndarray, count: int) -> np.ndarray:
    """(count, D) places in ``rows`` of the first maximum of each bag; -1 for empty bags."""
    out = np.full((count, rows.shape[1]), -1, np.int64)
    if bag.size:
        starts = _first_of_run(bag)
        top = np.repeat(np.maximum.reduceat(rows, starts, axis=0), np.diff(np.append(starts, len(bag))), axis=0)
        place = np.where(rows == top, np.arange(len(bag))[:, None], len(bag))
        out[bag[starts]] = np.minimum.reduceat(place, starts, axis=0)
    return out


def _host(t: Any) -> np.ndarray:
    """The elements of an index tensor, whose values decide the shapes of results."""
    if t._type.device.type != "cuda":
        return t._array
    from flowtorch.array.cuda import to_host

    return to_host(t._array)


def _highest_on_device(rows: Any, bag: Any, count: int) -> Any:
    """``_highest`` of tensors, by reductions at indices."""
    at = bag.unsqueeze(1).expand(rows.shape)
    top = rows.new_zeros((count, rows.shape[1])).scatter_reduce(0, at, rows, "amax", include_self=False)
    number = factory.arange(rows.shape[0], device=rows.device).unsqueeze(1)
    place = number.expand(rows.shape).masked_fill(rows != top.gather(0, at), rows.shape[0])
    return bag.new_full((count, rows.shape[1]), -1).scatter_reduce(0, at, place, "amin", include_self=False)


def _check(weight: Any, indices: Any, offsets: Any, include_last_offset: bool) -> None:
    names = ("torch.int32", "torch.int64")
    for what, t in (("indices", indices), ("offsets", offsets)):
        if str(t.dtype).replace("flowtorch", "torch") not in names:
            raise RuntimeError(
                f"Expected tensor for argument #1 '{what}' to have one of the following scalar types: Long, Int; "
                f"but got torch.{t.dtype.label}Tensor instead (while checking arguments for embedding_bag)"
            )
    if include_last_offset and not offsets.shape[0]:
        raise RuntimeError("include_last_offset: number of offsets should be at least 1")
    starts, n = _host(offsets), indices.shape[0]
    if starts.size:
        if starts[0] != 0:
            raise RuntimeError(
                "offsets[0] has to be 0, i.e., the first sequence in the mini-batch has to start from position 0. "
                f"However, got {starts[0]}\n[ torch.{offsets.dtype.label}Tensor{{}} ]"
            )
        if starts[-1] > n:
            raise RuntimeError(
                f"offsets[-1] can not be greater than input's length {n} but got offsets[-1] of {starts[-1]}"
            )
    rows = _host(indices)
    if rows.size and (rows.min() < 0 or rows.max() >= weight.shape[0]):
        bad = rows[(rows < 0) | (rows >= weight.shape[0])][0]
        raise RuntimeError(f"embedding_bag: Expected idx >= 0 && idx < num_embeddings but found idx to be {bad}")


@composite
def embedding_bag(
    weight,
    indices,
    offsets,
    scale_grad_by_freq=False,
    mode=0,
    sparse=False,
    per_sample_weights=None,
    include_last_offset=False,
    padding_idx=None,
):
    """Sums (mode 0), means (1) or maxima (2) of the rows of ``weight`` that ``indices`` name, by bag.

    Bags start at ``offsets``. Returns the bags, the bag of every index, the sizes of the bags, and for maxima where
    they come from.
    """
    _check(weight, indices, offsets, include_last_offset)
    if padding_idx is not None:
        if not -weight.shape[0] <= padding_idx < weight.shape[0]:
            raise RuntimeError(
                "padding_idx must be within the number of embeddings, "
                f"{-weight.shape[0]} through {weight.shape[0] - 1}, but got {padding_idx}"
            )
        padding_idx %= weight.shape[0]
    def wrap(array: np.ndarray) -> Any:
        made = wrap_host(array)
        return made if weight._type.device.type == "cpu" else made.to(weight.device)

    rows = _host(indices).astype(np.int64)
    starts = _host(offsets).astype(np.int64)
    ends = starts[1:] if include_last_offset or not starts.size else np.append(starts[1:], len(rows))
    count = len(ends)
    sizes = ends - starts[:count]
    bag = np.repeat(np.arange(count), sizes)
    rows = rows[: len(bag)]
    if padding_idx is not None:
        keep = rows != padding_idx
        rows, bag = rows[keep], bag[keep]
        sizes = np.bincount(bag, minlength=count)
        if per_sample_weights is not None:
            per_sample_weights = per_sample_weights[: len(keep)][wrap(keep)]
    elif per_sample_weights is not None:
        per_sample_weights = per_sample_weights[: len(rows)]
    elements = embedding(weight, wrap(rows), -1, scale_grad_by_freq, sparse)
    if per_sample_weights is not None:
        elements = elements * per_sample_weights.unsqueeze(1)
    highest = wrap(np.zeros(0, np.int64))
    if mode == 2 and len(rows) and not elements._type.plain:       # a batch's examples have maxima of their own
        places = _highest_on_device(elements.detach(), wrap(bag), count)
        out = elements.gather(0, places.clamp(min=0)).masked_fill(places < 0, 0)
        highest = wrap(rows)[places.clamp(min=0)].masked_fill(places < 0, -1)
    elif mode == 2:
        if elements._type.device.type == "cuda":
            place = _host(_highest_on_device(elements.detach(), wrap(bag), count))
        else:
            place = _highest(elements._array, bag, count)
        chosen = (
            elements.gather(0, wrap(np.maximum(place, 0)))
            if len(rows)
            else elements.new_zeros((count, weight.shape[1]))
        )
        out = chosen.masked_fill(wrap(place < 0), 0)
        highest = wrap(np.where(place < 0, -1, rows[np.maximum(place, 0)] if len(rows) else -1))
    else:
        out = segment_sum(elements, bag, count)
        if mode == 1:
            out = out / wrap(np.maximum(sizes, 1)).to(out.dtype).unsqueeze(1)
    return out, wrap(bag), wrap(sizes), highest
