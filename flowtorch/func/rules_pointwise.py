"""Batching rules of pointwise ops, copies and reductions."""

from __future__ import annotations

from typing import Any

from flowtorch.func.batched import Call, family_rules, rule
from flowtorch.ops.families import Pointwise, Reduction, normalize_dim, normalize_dims, result_dtype
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor


def align(t: Tensor, rank: int) -> Tensor:
    """A batch with dimensions of size 1 put in after the batch dimension, so that ``rank`` dimensions follow it."""
    missing = rank - (t.dim() - 1)
    if missing <= 0:
        return t
    shape = t.shape
    return t.reshape(shape[0], *(1,) * missing, *shape[1:])  # type: ignore[attr-defined]


def aligned(call: Call, indices: tuple[int, ...], promoted: tuple[int, ...] = ()) -> list:
    """The arguments with the batches among ``indices`` aligned, converted first where alignment would change promotion.

    An example without dimensions counts less in type promotion than one with; its batch has one dimension more.
    """
    values = list(call.values)
    tensors = [i for i in indices if isinstance(values[i], Tensor)]
    rank = max(call.rank(i) for i in tensors)
    given = [i for i in promoted if values[i] is not None]
    if len({values[i].dtype for i in given if isinstance(values[i], Tensor)}) > 1:
        dtype = result_dtype([call.logical[i] for i in given])
        for i in given:
            if isinstance(values[i], Tensor):
                values[i] = values[i].to(dtype)
    for i in tensors:
        if call.flags[i]:
            values[i] = align(values[i], rank)
    return values


def pointwise(call: Call) -> Any:
    indices = call.op.tensor_index
    if call.op.name == "where":
        return call.run(aligned(call, indices, indices[1:]))
    return call.run(aligned(call, indices, indices))


family_rules[Pointwise] = pointwise


@rule("clone")
def clone(call: Call) -> Any:
    from flowtorch.dtypes import channels_last, channels_last_3d, contiguous_format

    input, layout = call.values
    if layout in (channels_last, channels_last_3d):
        layout = contiguous_format
    return call.run([input, layout])


@rule("_to_copy")
def to_copy(call: Call) -> Any:
    from flowtorch.dtypes import channels_last, channels_last_3d, contiguous_format

    values = list(call.values)
    if values[2] in (channels_last, channels_last_3d):
        values[2] = contiguous_format
    return call.run(values)


@rule("copy")
def copy(call: Call) -> Any:
    target, source = call.values[:2]
    source = align(source, call.rank(0)) if call.flags[1] else source
    return source.to(target.dtype).expand(target.shape)


# ---------------------------------------------------------------- reductions


def shifted(dim: Any, rank: int) -> Any:
    """Dimensions of an example as dimensions of the batch."""
    if isinstance(dim, (tuple, list)):
        return tuple(normalize_dim(d, rank) + 1 for d in dim)
    return normalize_dim(dim, rank) + 1


_ONE_DIM = {"argmax", "argmin", "_prod_all"}  # with dim=None over the flattened tensor


def reduction(call: Call) -> Any:
    """``dim`` counted one further; all dimensions of an example where there is none."""
    values, names = list(call.values), call.op.names
    at = names.index("dim")
    rank, dim = call.rank(0), values[at]
    keep = names.index("keepdim") if "keepdim" in names else None
    if rank == 0:
        normalize_dims(dim, 0)
        values[0], values[at] = values[0].unsqueeze(-1), 1
        if keep is not None:
            values[keep] = False
        return call.run(values)
    if dim is None or (isinstance(dim, (tuple, list)) and not dim):
        if call.op.name not in _ONE_DIM:
            values[at] = tuple(range(1, rank + 1))
            return call.run(values)
        kept = keep is not None and values[keep]
        values[0], values[at] = values[0].flatten(1), 1
        if keep is not None:
            values[keep] = False
        result = call.run(values)
        return result.reshape(call.size, *(1,) * rank) if kept else result
    values[at] = shifted(dim, rank)
    return call.run(values)


family_rules[Reduction] = reduction
rule("_var", "_std", "_vector_norm")(reduction)


@rule("_median_all")
def median_all(call: Call) -> Any:
    return REGISTRY["_median_dim"].public(call.values[0].reshape(call.size, -1), 1)[0]


@rule("_nanmedian_all")
def nanmedian_all(call: Call) -> Any:
    return REGISTRY["_nanmedian_dim"].public(call.values[0].reshape(call.size, -1), 1)[0]


# ---------------------------------------------------------------- ops along one dimension


@rule(
    "_softmax",
    "_softmax_backward",
    "_log_softmax",
    "_log_softmax_backward",
    "cumsum",
    "cumprod",
    "cummax",
    "cummin",
    "logcumsumexp",
    "sort",
    "topk",
    "kthvalue",
    "_median_dim",
    "_nanmedian_dim",
    "mode",
    "_max_dim",
    "_min_dim",
)
def along(call: Call) -> Any:
    """Ops of one or more tensors of one shape that work along ``dim``."""
    values, at = list(call.values), call.op.names.index("dim")
    rank = call.rank(call.op.tensor_index[0])
    for i in call.op.tensor_index:
        values[i] = call.full(i)
        if rank == 0:
            values[i] = values[i].unsqueeze(-1)
    values[at] = shifted(values[at], rank)
    if rank:
        return call.run(values)
    if "keepdim" in call.op.names:
        values[call.op.names.index("keepdim")] = False
    result = call.run(values)
    if isinstance(result, Tensor):
        return result.reshape(call.size)  # type: ignore[attr-defined]
    return tuple(r.reshape(call.size) for r in result)


@rule("flip")
def flip(call: Call) -> Any:
    input, dims = call.values
    dims = (dims,) if isinstance(dims, int) else tuple(dims)
    return call.run([input, shifted(dims, call.rank(0))]) if call.rank(0) else input.clone()


@rule("roll")
def roll(call: Call) -> Any:
    input, shifts, dims = call.values
    if dims is None or (isinstance(dims, (tuple, list)) and not dims):
        return call.run([input.reshape(call.size, -1), shifts, (1,)]).reshape(input.shape)
    return call.run(
        [input, shifts, shifted(dims if isinstance(dims, (tuple, list)) else (dims,), call.rank(0))]
    )


@rule("_standardize", "_standardize_adjoint", "_moments")
def standardize(call: Call) -> Any:
    at = call.op.names.index("dims")
    values = [call.full(i) if i in call.op.tensor_index else v for i, v in enumerate(call.values)]
    values[at] = shifted(tuple(values[at]), call.rank(call.op.tensor_index[0]))
    return call.run(values)


@rule("repeat")
def repeat(call: Call) -> Any:
    from flowtorch.ops.view import sizes

    input, repeats = call.values
    repeats = sizes((repeats,), "repeat")
    return call.run([align(input, len(repeats)), (1, *repeats)])


@rule("constant_pad_nd")
def pad(call: Call) -> Any:
    return call.run()
