"""Ops on jagged tensors that are not pointwise: reductions, softmax, products, shapes, attention."""
from __future__ import annotations

import math
from typing import Any

from flowtorch import dtypes
from flowtorch.nested.dispatch import filled, handles, inner, on_values, pieces
from flowtorch.nested.padding import from_padded, padded, rows_first
from flowtorch.nested.tensor import NestedInt, NestedTensor, build, values_of
from flowtorch.ops.families import normalize_dim, normalize_dims
from flowtorch.ops.op import REGISTRY

# ---------------------------------------------------------------- reductions

def _dims(t: NestedTensor, dim: Any, name: str) -> tuple[str, list[int]]:
    """("all" | "ragged" | "inner", the dimensions as the values count them)."""
    if dim is None or dim == ():
        return "all", []
    dims = normalize_dims(dim, t._array.ndim)
    if len(dims) == t._array.ndim:
        return "all", []
    if 0 in dims and t._at not in dims:
        raise RuntimeError(f"{name}(): reducing along the batch dimension but not the ragged dimension is not "
                           "supported for nested tensors")
    if t._at in dims and len(dims) > 1:
        raise RuntimeError(f"{name}(): reducing along a ragged and non-batch dimension is not supported for nested "
                           "tensors")
    return ("ragged" if t._at in dims else "inner"), [d - 1 for d in dims]


def _after(t: NestedTensor, dims: list[int], keepdim: bool) -> int:
    """Which dimension is ragged once ``dims`` (of the values) are reduced."""
    return t._at if keepdim else t._at - sum(d < t._at - 1 for d in dims)


def sum(values: Any) -> int:
    """The sum of an iterable of numbers."""
    total = 0
    for v in values:
        total += v
    return total


def _lowest(dtype: Any) -> Any:
    return -math.inf if dtype.is_floating_point else (False if dtype is dtypes.bool_ else dtypes.iinfo(dtype).min)


def _highest(dtype: Any) -> Any:
    return math.inf if dtype.is_floating_point else (True if dtype is dtypes.bool_ else dtypes.iinfo(dtype).max)


def _reduce(name: str, identity: Any) -> None:
    """A reduction that elements equal to ``identity(dtype)`` do not change."""
    op = REGISTRY[name]

    @handles(name)
    def call(t: Any, dim: Any = None, keepdim: bool = False, *rest: Any) -> Any:
        options = dict(zip(op.names[3:], rest, strict=True))
        kind, dims = _dims(t, dim, name.strip("_"))
        t = filled(t)
        if kind == "all":
            return op.public(values_of(t), None, **options) if not keepdim else NotImplemented
        if kind == "ragged":
            return op.public(padded(t, identity(t.dtype)), t._at, keepdim, **options)
        single = dims[0] if isinstance(dim, int) else dims
        result = op.public(values_of(t), single, keepdim, **options)
        at = _after(t, dims, keepdim)
        if isinstance(result, tuple):
            return type(result)([build(r, t._ragged, at) for r in result])     # type: ignore[call-arg]
        return build(result, t._ragged, at, op.node_class.__name__)


for _name, _identity in (("amax", _lowest), ("amin", _highest), ("_max_dim", _lowest), ("_min_dim", _highest),
                         ("argmax", _lowest), ("argmin", _highest), ("any", lambda d: 0), ("all", lambda d: 1),
                         ("_prod_all", lambda d: 1)):
    _reduce(_name, _identity)


@handles("sum")
def sum_(t: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    kind, dims = _dims(t, dim, "sum")
    t = filled(t)
    if kind == "all":
        return values_of(t).sum(dtype=dtype)                             # type: ignore[attr-defined]
    if kind == "inner":
        sums = values_of(t).sum(dims, keepdim, dtype=dtype)              # type: ignore[attr-defined]
        return build(sums, t._ragged, _after(t, dims, keepdim), "SumBackward1")
    rows = rows_first(t)
    rows = rows if dtype is None else rows.to(dtype)                     # type: ignore[attr-defined]
    if not rows.dtype.is_floating_point and not rows.dtype.is_complex and dtype is None:
        rows = rows.to(dtypes.int64)                                     # type: ignore[attr-defined]
    total = rows.new_zeros((len(t._ragged.sizes), *rows.shape[1:])).index_add(0, t._ragged.owners, rows)   # type: ignore[attr-defined]
    if t._at != 1:
        return total.unsqueeze(t._at) if keepdim else total
    return total.unsqueeze(1) if keepdim else total


@handles("mean")
def mean(t: Any, dim: Any = None, keepdim: bool = False, dtype: Any = None) -> Any:
    kind, dims = _dims(t, dim, "mean")
    t = filled(t)
    if kind == "all":
        return values_of(t).mean(dtype=dtype)                            # type: ignore[attr-defined]
    if kind == "inner":
        means = values_of(t).mean(dims, keepdim, dtype=dtype)            # type: ignore[attr-defined]
        return build(means, t._ragged, _after(t, dims, keepdim), "MeanBackward1")
    total = sum_(t, dim, keepdim, dtype)
    from flowtorch.tensor import wrap

    counts = wrap(t._ragged.sizes).to(total.dtype)                       # type: ignore[attr-defined]
    return total / counts.reshape(-1, *(1,) * (total.dim() - 1))


def _softmax(name: str) -> None:
    op = REGISTRY[name]

    @handles(name)
    def call(t: Any, dim: int) -> Any:
        d = normalize_dim(dim, t._array.ndim)
        if d == 0:
            raise RuntimeError(f"{name[1:]}(): not supported when reducing across the batch dimension for "
                               "NestedTensor")
        t = filled(t)
        if d != t._at:
            return on_values(t, lambda v: op.public(v, d - 1), label=op.node_class.__name__)
        return from_padded(op.public(padded(t, -math.inf), d), t._ragged, t._at, op.node_class.__name__)


_softmax("_softmax")
_softmax("_log_softmax")


# ---------------------------------------------------------------- layers

def _last_is_dense(t: NestedTensor, name: str) -> None:
    if t._at == t._array.ndim - 1:
        raise RuntimeError(f"{name}(): not supported for NestedTensor when ragged_idx is the last dimension")


@handles("linear")
def linear(x: Any, weight: Any, bias: Any = None) -> Any:
    if not isinstance(x, NestedTensor) or isinstance(weight, NestedTensor):
        return NotImplemented
    _last_is_dense(x, "linear")
    return on_values(x, lambda v: REGISTRY["linear"].public(v, weight, bias), label="LinearBackward0")


@handles("_layer_norm")
def layer_norm(x: Any, weight: Any = None, bias: Any = None, count: int = 1, eps: float = 1e-5) -> Any:
    _last_is_dense(x, "layer_norm")
    return on_values(x, lambda v: REGISTRY["_layer_norm"].public(v, weight, bias, count, eps),
                     label="NativeLayerNormBackward0")


@handles("embedding")
def embedding(weight: Any, indices: Any, *options: Any) -> Any:
    if isinstance(weight, NestedTensor):
        return NotImplemented
    return on_values(indices, lambda v: REGISTRY["embedding"].public(weight, v, *options), label="EmbeddingBackward0")


@handles("matmul", "mm", "bmm")
def matmul(a: Any, b: Any) -> Any:
    """jagged @ matrix, jagged @ a batch of matrices, and products whose ragged dimension is summed away."""
    if isinstance(a, NestedTensor) and not isinstance(b, NestedTensor):
        if b.dim() == 2 and a._at < a._array.ndim - 1:
            return on_values(a, lambda v: v @ b, label="MatmulBackward0")
        if b.dim() == a.dim() and a._at < a._array.ndim - 1:
            a = filled(a)
            return from_padded(padded(a, 0) @ b, a._ragged, a._at, "BmmBackward0")
        return NotImplemented
    if isinstance(a, NestedTensor) and isinstance(b, NestedTensor) and a._ragged is b._ragged and (
            a._at == a._array.ndim - 1 and b._at == b._array.ndim - 2):
        return padded(a, 0) @ padded(b, 0)                               # type: ignore[operator]
    return NotImplemented


@handles("attention")
def attention(query: Any, key: Any, value: Any, mask: Any = None, is_causal: bool = False, scale: float = 1.0,
              drop: Any = None) -> Any:
    """Each query sees the keys of its own piece."""
    if not all(isinstance(t, NestedTensor) and t._at == t._array.ndim - 2 for t in (query, key, value)):
        raise RuntimeError("scaled_dot_product_attention(): expected query, key and value to be nested tensors of "
                           "shape (batch, heads, ragged, size) if one of them is")
    if mask is not None:
        raise RuntimeError("scaled_dot_product_attention(): Nested tensors with attn_mask are not supported")
    if key._ragged is not value._ragged:
        raise RuntimeError("scaled_dot_product_attention(): key and value must have the same ragged dimension")
    query, key, value = filled(query), filled(key), filled(value)
    from flowtorch.nested.padding import grid

    _, seen = grid(key._ragged, key._ragged.longest)
    seen = seen.reshape(seen.shape[0], *(1,) * (key._array.ndim - 2), seen.shape[1])    # type: ignore[attr-defined]
    out = REGISTRY["attention"].public(padded(query, 0), padded(key, 0), padded(value, 0), seen, is_causal, scale)[0]
    return from_padded(out, query._ragged, query._at, "ScaledDotProductAttentionBackward0"), None


# ---------------------------------------------------------------- shapes

@handles("transpose")
def transpose(t: Any, dim0: int, dim1: int) -> Any:
    n = t._array.ndim
    a, b = normalize_dim(dim0, n), normalize_dim(dim1, n)
    if 0 in (a, b) and a != b:
        raise ValueError("Transpose is not supported on the batch dimension for jagged NT")
    if a == b:
        return on_values(t, lambda v: v)
    at = {a: b, b: a}.get(t._at, t._at)
    return on_values(t, lambda v: v.transpose(a - 1, b - 1), at, "TransposeBackward0")


@handles("permute")
def permute(t: Any, dims: Any) -> Any:
    n = t._array.ndim
    order = [normalize_dim(d, n) for d in dims]
    if len(order) != n or order[0] != 0:
        raise ValueError("Permute is not supported on the batch dimension for jagged NT")
    return on_values(t, lambda v: v.permute([d - 1 for d in order[1:]]), order.index(t._at), "PermuteBackward0")


@handles("unsqueeze")
def unsqueeze(t: Any, dim: int) -> Any:
    d = normalize_dim(dim, t._array.ndim + 1)
    if d == 0:
        raise RuntimeError("unsqueeze(): not supported for NestedTensor on dim=0")
    return on_values(t, lambda v: v.unsqueeze(d - 1), t._at + (d <= t._at), "UnsqueezeBackward0")


@handles("squeeze")
def squeeze(t: Any, dim: Any = None) -> Any:
    if dim is None:
        raise RuntimeError("squeeze(): For nested tensors, squeeze without a specified dim is not supported")
    dims = [inner(t, d, "squeeze") for d in (dim if isinstance(dim, (tuple, list)) else (dim,))]
    dims = [d for d in dims if d != t._at - 1 and t._val.shape[d] == 1]
    at = t._at - sum(d < t._at - 1 for d in dims)
    return on_values(t, lambda v: v.squeeze(tuple(dims)) if dims else v, at, "SqueezeBackward1")


@handles("select")
def select(t: Any, dim: int, index: int) -> Any:
    d = normalize_dim(dim, t._array.ndim)
    if d == 0:
        return t[index]
    if d == t._at:
        raise RuntimeError("select(): not supported for NestedTensor on ragged dim")
    return on_values(t, lambda v: v.select(d - 1, index), t._at - (d < t._at), "SelectBackward0")


@handles("slice")
def slice_(t: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    d = inner(t, dim, "slice")
    if d == t._at - 1:
        raise RuntimeError("slice(): not supported for NestedTensor on ragged dim")
    return on_values(t, lambda v: REGISTRY["slice"].public(v, d, start, end, step), label="SliceBackward0")


@handles("unbind")
def unbind(t: Any, dim: int = 0) -> Any:
    if normalize_dim(dim, t._array.ndim) != 0:
        raise RuntimeError("unbind(): only supported for NestedTensor on dim=0")
    return pieces(t)


@handles("split_with_sizes")
def split_with_sizes(t: Any, split_sizes: Any, dim: int = 0) -> Any:
    d = inner(t, dim, "split")
    if d == t._at - 1:
        raise RuntimeError("split_with_sizes(): not supported for NestedTensor on ragged dim")
    parts = values_of(t).split(list(split_sizes), d)                     # type: ignore[attr-defined]
    return tuple(build(p, t._ragged, t._at, "SplitWithSizesBackward0") for p in parts)


@handles("expand")
def expand(t: Any, size: Any, *args: Any, **kwargs: Any) -> Any:
    size = list(size)
    if len(size) != t._array.ndim or size[0] not in (-1, t._array.shape[0]) or not (
            isinstance(size[t._at], NestedInt) or size[t._at] == -1):
        raise RuntimeError(f"expand(): cannot expand shape {tuple(t.shape)} -> {size}")
    size[t._at] = -1
    return on_values(t, lambda v: v.expand(size[1:]), label="ExpandBackward0")


@handles("view", "reshape")
def view(t: Any, size: Any) -> Any:
    """Dense dimensions split or joined on either side of the ragged one, which -1 may stand for."""
    size = list(size) if isinstance(size, (tuple, list)) else [size]
    before = math.prod(t._array.shape[1:t._at])
    places = [i for i, n in enumerate(size) if isinstance(n, NestedInt)]
    if not places:
        places = [i for i, n in enumerate(size) if n == -1 and i and math.prod(size[1:i]) == before]
    at = places[0] if places else 0
    if not at or len(size) < 2 or size[0] not in (-1, t._array.shape[0]) or (
            isinstance(size[at], NestedInt) and size[at] is not t._ragged.size):
        raise RuntimeError(f"view(): cannot view shape {tuple(t.shape)} as {size}")
    target = [*size[1:at], t._val.shape[t._at - 1], *size[at + 1:]]
    return on_values(t, lambda v: v.reshape(target), at, "ViewBackward0")


@handles("cat")
def cat(tensors: Any, dim: int = 0) -> Any:
    first = tensors[0] if isinstance(tensors[0], NestedTensor) else None
    if first is None or not all(isinstance(t, NestedTensor) and t._ragged is first._ragged for t in tensors):
        raise RuntimeError("cat(): expected nested tensors with the same ragged dimension")
    d = inner(first, dim, "cat")
    if d == first._at - 1:
        raise RuntimeError("cat(): not supported for NestedTensor on ragged dim")
    return build(REGISTRY["cat"].public([values_of(t) for t in tensors], d), first._ragged, first._at, "CatBackward0")


@handles("stack")
def stack(tensors: Any, dim: int = 0) -> Any:
    first = tensors[0]
    if normalize_dim(dim, first.dim() + 1) == 0:
        raise RuntimeError("stack(): not supported for NestedTensor on dim=0")
    return cat([t.unsqueeze(dim) for t in tensors], dim)


@handles("copy")
def copy(target: Any, source: Any, non_blocking: bool = False) -> Any:
    if not isinstance(target, NestedTensor) or not isinstance(source, NestedTensor) or (
            target._ragged is not source._ragged):
        raise RuntimeError("copy_ only supports Nested Tensors that have same size and the same offset tensor.")
    return on_values(source, lambda v: v.to(target.dtype, copy=True), label="CopyBackwards")


