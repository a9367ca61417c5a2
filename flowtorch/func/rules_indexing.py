"""Batching rules of indexing, gathering and scattering."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from flowtorch.func.batched import Call, rule
from flowtorch.func.rules_pointwise import align, aligned, shifted
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor, wrap

_DYNAMIC = (
    "vmap: We do not support batching operators that can output dynamic shape: aten::{} may give each example "
    "a result of another size"
)


@rule("masked_select")
def masked_select(call: Call) -> Any:
    """One mask for all examples takes as many elements of each."""
    input, mask = call.values
    if call.flags[1]:
        return dynamic(call)
    shape = np.broadcast_shapes(tuple(call.logical[0].shape), tuple(mask.shape))
    rows = align(input, len(shape)).expand(call.size, *shape).reshape(call.size, -1)
    places = mask.expand(shape).reshape(-1).nonzero().squeeze(1)
    return REGISTRY["index_select"].public(rows, 1, places)


@rule("_nonzero", "_unique", "_unique_consecutive")
def dynamic(call: Call) -> Any:
    name = {"_nonzero": "nonzero", "_unique": "_unique2", "_unique_consecutive": "unique_consecutive"}.get(
        call.op.name
    )
    raise RuntimeError(_DYNAMIC.format(name or call.op.name))


def positions(call: Call, rank: int = 0) -> Any:
    """The numbers of the examples, with ``rank`` dimensions of size 1 after them, on the device of the op's tensors."""
    numbers = wrap(np.arange(call.size).reshape(call.size, *(1,) * rank))
    device = next(value.device for value in call.values if isinstance(value, Tensor))
    return numbers if device.type == "cpu" else numbers.to(device)


# ---------------------------------------------------------------- along one dimension


@rule("gather", "_scatter", "scatter_add", "scatter_reduce")
def along_index(call: Call) -> Any:
    """Ops of input, index and perhaps source, all of one rank. Examples without dimensions get one meanwhile."""
    values = list(call.values)
    rank = call.rank(0)
    number = call.op.name == "_scatter" and call.rank(3) == 0 and rank > 0
    for i in call.op.tensor_index:
        if number and i == 3:
            continue
        values[i] = call.full(i)
        if call.rank(i) == 0:
            values[i] = values[i].unsqueeze(-1)
    if number and call.flags[3]:
        values[3] = align(values[3], rank).expand(values[2].shape)
    values[1] = shifted(values[1], rank)
    result = call.run(values)
    shape = call.logical[2].shape if call.op.name == "gather" else call.logical[0].shape
    return result.reshape(call.size) if not shape else result


@rule("index_select")
def index_select(call: Call) -> Any:
    input, dim, index = call.values
    rank = call.rank(0)
    if not call.flags[2] and rank:
        return call.run([input, shifted(dim, rank), index])
    if rank == 0:
        return call.full(0)
    at = shifted(dim, rank)
    input = call.full(0).movedim(at, 1)
    index = index if call.flags[2] else call.full(2)
    single = call.rank(2) == 0
    index = index.unsqueeze(-1) if single else index
    return input[positions(call, 1), index].movedim(1, at)


@rule("index_add", "index_copy", "index_fill", "index_reduce")
def index_write(call: Call) -> Any:
    at = call.op.names.index("index")
    rank = call.rank(0)
    last = call.op.tensor_index[-1]
    if rank == 0:  # one place in one element
        for i in call.op.tensor_index:
            if i != at and not (call.op.name == "index_fill" and i == last) and call.rank(i) == 0:
                call.values[i] = call.full(i).unsqueeze(-1)
                call.flags[i], call.logical[i] = True, call.logical[i].unsqueeze(-1)
        return index_write(call).squeeze(1)
    if call.op.name == "index_reduce" and call.flags[at]:
        return _reduce_at(call, at)
    if call.flags[at] or (call.op.name == "index_fill" and call.flags[last]):
        return _own_index(call, at, last)
    values = list(call.values)
    values[0] = call.full(0)
    if call.op.name != "index_fill":
        values[last] = call.full(last)
    values[1] = shifted(values[1], rank)
    return call.run(values)


def _reduce_at(call: Call, at: int) -> Any:
    """``index_reduce`` where each example has its own index."""
    _input, dim, _index, _source, reduce, include_self = call.values
    dim = shifted(dim, call.rank(0))
    source = call.full(3).movedim(dim, 1)
    places = call.full(at).reshape(call.size, -1, *(1,) * (source.dim() - 2)).expand(source.shape)
    target = call.full(0).movedim(dim, 1)
    reduced = REGISTRY["scatter_reduce"].public(target, 1, places, source, reduce, include_self=include_self)
    return reduced.movedim(1, dim)


def _own_index(call: Call, at: int, last: int) -> Any:
    """Slices written where each example's own index says."""
    dim = shifted(call.values[1], call.rank(0))
    target = call.full(0).movedim(dim, 1)
    index = call.full(at).reshape(call.size, -1)
    source = call.values[last]
    if call.op.name == "index_fill":
        ones = (1,) * (target.dim() - 1)
        source = (
            source.to(target.dtype).reshape(-1, *ones).expand(call.size, index.shape[1], *target.shape[2:])
        )
    else:
        source = (
            call.full(last).movedim(dim, 1)
            if call.rank(last)
            else call.full(last).reshape(call.size, *(1,) * call.rank(0))
        )
    if "alpha" in call.op.names:
        source = source * call.values[call.op.names.index("alpha")]
    put = REGISTRY["_index_put"].public
    written = put(target, source, [positions(call, 1), index], (0, 1), call.op.name == "index_add")
    return written.movedim(1, dim)


@rule("take")
def take(call: Call) -> Any:
    input, index = call.values
    if not call.flags[0]:
        return call.run()
    n = call.logical[0].numel()
    index = index if call.flags[1] else call.full(1)
    index = index.where(index >= 0, index + n)
    return call.run([input, index + positions(call, call.rank(1)) * n])


@rule("put")
def put(call: Call) -> Any:
    n = call.logical[0].numel()
    input, index, source = (call.full(i) for i in range(3))
    index = index.where(index >= 0, index + n) + positions(call, call.rank(1)) * n
    return call.run([input, index, source, *call.values[3:]])


@rule("select_scatter", "diagonal_scatter", "slice_scatter")
def scatter_view(call: Call) -> Any:
    values = [call.full(i) if i in call.op.tensor_index else v for i, v in enumerate(call.values)]
    for i, name in enumerate(call.op.names):
        if name.startswith("dim"):
            values[i] = shifted(values[i], call.rank(0))
    return call.run(values)


@rule("_masked_fill")
def masked_fill(call: Call) -> Any:
    values = aligned(call, (0, 1, 2))
    input, mask, value = values
    shape = (call.size, *np.broadcast_shapes(tuple(call.logical[0].shape), tuple(call.logical[1].shape)))
    return REGISTRY["where"].public(mask, value.to(input.dtype), input).expand(shape)


# ---------------------------------------------------------------- index tensors


class Places:
    """Index tensors over a batch: with the numbers of the examples as one more index where they are needed.

    ``many``   whether the batch dimension is part of the block of indexed dimensions
    ``front``  where the block's dimensions stand in an example's result
    """

    def __init__(self, call: Call, at: int, input_batched: bool) -> None:
        indices, dims = call.values[at], call.values[at + 1]
        logical, flags = call.logical[at], call.flags[at]
        if any(f and t.dtype.name in ("bool", "uint8") for f, t in zip(flags, logical, strict=True)):
            raise RuntimeError(
                "vmap: We do not support batching operators that can support dynamic shape. Attempting to "
                "batch "
                "over indexing with a boolean mask."
            )
        masks = [t for t in logical if t.dtype.name in ("bool", "uint8")]
        self.rank = max([1 if t.dtype.name in ("bool", "uint8") else t.dim() for t in logical])
        spans = [t.dim() if t.dtype.name in ("bool", "uint8") else 1 for t in logical]
        together = all(d + n == e for d, n, e in zip(dims, spans, dims[1:], strict=False))
        self.front = dims[0] if together else 0
        self.many = any(flags) or (input_batched and not together)
        if masks and self.many:
            indices, flags, dims = _without_masks(indices, flags, dims)
        indices = [align(t, self.rank) if f else t for t, f in zip(indices, flags, strict=True)]
        if self.many and input_batched:
            indices = [positions(call, self.rank), *indices]
            dims = (0, *[d + 1 for d in dims])
        elif input_batched:
            dims = tuple(d + 1 for d in dims)
        self.indices, self.dims = list(indices), tuple(dims)
        if not self.many:
            self.block = -1
        else:
            inner = self.dims
            adjacent = all(d + 1 == e for d, e in itertools.pairwise(inner))
            self.block = inner[0] if adjacent else 0  # where numpy puts (batch, *block)

    def to_front(self, result: Any) -> Any:
        """What indexing gave, with the batch first and the block where an example has it."""
        if not self.many:
            return result
        result = result.movedim(self.block, 0)
        block = (
            tuple(range(self.block + 1, self.block + 1 + self.rank))
            if self.block
            else tuple(range(1, 1 + self.rank))
        )
        return result.movedim(block, tuple(range(1 + self.front, 1 + self.front + self.rank)))

    def from_front(self, values: Any) -> Any:
        """The inverse of ``to_front``: values for the places, laid out as indexing would give them."""
        if not self.many:
            return values
        values = values.movedim(
            tuple(range(1 + self.front, 1 + self.front + self.rank)), tuple(range(1, 1 + self.rank))
        )
        return values.movedim(
            tuple(range(1 + self.rank)), tuple(range(self.block, self.block + 1 + self.rank))
        )


def _without_masks(indices: list, flags: list, dims: tuple) -> tuple:
    """Masks as the index tensors of their true places."""
    found: list = []
    for t, f, d in zip(indices, flags, dims, strict=True):
        if t.dtype.name in ("bool", "uint8"):
            found += [(i, False, d + k) for k, i in enumerate(t.nonzero(as_tuple=True))]
        else:
            found.append((t, f, d))
    return [x[0] for x in found], [x[1] for x in found], tuple(x[2] for x in found)


@rule("index")
def index(call: Call) -> Any:
    places = Places(call, 1, call.flags[0])
    return places.to_front(call.run([call.values[0], places.indices, places.dims]))


@rule("index_backward")
def index_backward(call: Call) -> Any:
    _input, _, _, shape = call.values
    places = Places(call, 1, True)
    return call.run([places.from_front(call.full(0)), places.indices, places.dims, (call.size, *shape)])


@rule("_index_put")
def index_put(call: Call) -> Any:
    _input, values, _, _, accumulate = call.values
    places = Places(call, 2, True)
    wanted = _result_rank(call, places)
    if call.flags[1]:
        values = align(values, wanted)
    elif places.many:
        values = values.expand(call.size, *values.shape)
        values = align(values, wanted)
    values = places.from_front(values) if places.many else values
    return call.run([call.full(0), values, places.indices, places.dims, accumulate])


def _result_rank(call: Call, places: Places) -> int:
    """The number of dimensions of an example's indexing result."""
    indexed = sum(t.dim() if t.dtype.name in ("bool", "uint8") else 1 for t in call.logical[2])
    return call.rank(0) - indexed + places.rank


# ---------------------------------------------------------------- embedding


@rule("embedding")
def embedding(call: Call) -> Any:
    weight, indices, padding_idx, *rest = call.values
    if not call.flags[0]:
        return call.run()
    rows = weight.shape[1]
    indices = call.full(1)
    places = indices + positions(call, call.rank(1)) * rows
    chosen = call.run([weight.flatten(0, 1), places, -1, *rest])
    if padding_idx is None or padding_idx < 0:
        return chosen
    padding = (indices == padding_idx).unsqueeze(-1)
    return REGISTRY["where"].public(padding, chosen.detach(), chosen)  # no gradient reaches the row of the padding


@rule("embedding_dense_backward")
def embedding_backward(call: Call) -> Any:
    grad, indices, rows, padding_idx, *rest = call.values
    grad, indices = call.full(0), call.full(1)
    if padding_idx is not None and padding_idx >= 0:
        grad = grad.masked_fill((indices == padding_idx).unsqueeze(-1), 0)
    places = indices + positions(call, call.rank(1)) * rows
    result = call.run([grad, places, rows * call.size, -1, *rest])
    return result.reshape(call.size, rows, result.shape[-1])
