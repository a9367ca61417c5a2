"""Batching rules of views: the same view of the batch, with its dimensions counted one further."""

from __future__ import annotations

from typing import Any

from flowtorch.func.batched import Call, rule
from flowtorch.func.rules_pointwise import align, shifted
from flowtorch.ops.families import normalize_dim
from flowtorch.ops.op import REGISTRY
from flowtorch.ops.view import infer_shape, sizes


@rule("alias", "_piecewise", "real", "imag", "view_as_real", "_view_dtype")
def same(call: Call) -> Any:
    return call.run()


@rule("view_as_complex")
def view_as_complex(call: Call) -> Any:
    if call.rank(0) == 0:
        raise RuntimeError("Input tensor must have one or more dimensions")
    return call.run()


@rule("view", "reshape")
def reshape(call: Call) -> Any:
    input, size = call.values
    shape = infer_shape(sizes((size,), call.op.name), call.logical[0].numel())
    return call.run([input, (call.size, *shape)])


@rule("transpose")
def transpose(call: Call) -> Any:
    input, dim0, dim1 = call.values
    rank = call.rank(0)
    dim0, dim1 = shifted(dim0, rank), shifted(dim1, rank)
    return call.run([input, dim0, dim1]) if rank else _alias(input)


def _alias(input: Any) -> Any:
    return REGISTRY["alias"].public(input)


@rule("t")
def t(call: Call) -> Any:
    rank = call.rank(0)
    if rank > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {rank}D")
    return call.values[0].transpose(1, 2) if rank == 2 else _alias(call.values[0])


@rule("permute")
def permute(call: Call) -> Any:
    input, dims = call.values
    rank = call.rank(0)
    dims = sizes((dims,), "permute")
    if len(dims) != rank:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the "
            f"desired ordering of dimensions i.e. input.dim() = {rank} is not equal to len(dims) = "
            f"{len(dims)}"
        )
    return call.run([input, (0, *shifted(dims, rank))])


@rule("expand")
def expand(call: Call) -> Any:
    input, size, implicit = call.values
    size = sizes((size,), "expand")
    return call.run([align(input, len(size)), (call.size, *size), implicit])


@rule("unsqueeze")
def unsqueeze(call: Call) -> Any:
    input, dim = call.values
    return call.run([input, normalize_dim(dim, call.rank(0) + 1) + 1])


@rule("squeeze")
def squeeze(call: Call) -> Any:
    input, dim = call.values
    rank = call.rank(0)
    if rank == 0:
        return _alias(input)
    if dim is None:
        dim = tuple(d for d in range(rank) if input.shape[d + 1] == 1)
    dim = shifted(dim, rank)
    return _alias(input) if dim == () else call.run([input, dim])


@rule("select")
def select(call: Call) -> Any:
    input, dim, index = call.values
    if call.rank(0) == 0:
        raise IndexError("select() cannot be applied to a 0-dim tensor.")
    return call.run([input, shifted(dim, call.rank(0)), index])


@rule("slice")
def slice_(call: Call) -> Any:
    input, dim, *rest = call.values
    if call.rank(0) == 0:
        raise RuntimeError("slice() cannot be applied to a 0-dim tensor.")
    return call.run([input, shifted(dim, call.rank(0)), *rest])


@rule("unbind", "split_with_sizes")
def pieces(call: Call) -> Any:
    values = list(call.values)
    if call.rank(0) == 0:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    values[-1] = shifted(values[-1], call.rank(0))
    return call.run(values)


@rule("diagonal")
def diagonal(call: Call) -> Any:
    input, offset, dim1, dim2 = call.values
    rank = call.rank(0)
    return call.run([input, offset, shifted(dim1, rank), shifted(dim2, rank)])


@rule("diag_embed")
def diag_embed(call: Call) -> Any:
    input, offset, dim1, dim2 = call.values
    rank = call.rank(0) + 1
    return call.run([input, offset, shifted(dim1, rank), shifted(dim2, rank)])


@rule("unfold")
def unfold(call: Call) -> Any:
    input, dimension, size, step = call.values
    if call.rank(0) == 0:
        return call.run([input.unsqueeze(-1), 1, size, step]).squeeze(1)
    return call.run([input, shifted(dimension, call.rank(0)), size, step])


@rule("as_strided")
def as_strided(call: Call) -> Any:
    input, size, stride, offset = call.values
    return call.run([input, (call.size, *size), (input.stride(0), *stride), offset])


@rule("getitem")
def getitem(call: Call) -> Any:
    input, index = call.values
    index = index if type(index) is tuple else (index,)
    return input[(slice(None), *index)]


@rule("getitem_backward")
def getitem_backward(call: Call) -> Any:
    input, index, shape = call.values
    index = index if type(index) is tuple else (index,)
    return call.run([input, (slice(None), *index), (call.size, *shape)])
