"""Kernels of the meta device: shapes, dtypes and strides without elements.

Pointwise ops, reductions and the ops that would touch many elements have rules. All others run their CPU kernel on
arrays that read as zeros, and forget the elements of the result.
"""
from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.meta import like, meta_array, ordered
from flowtorch.array.place import host_strided
from flowtorch.dtypes import LOW_PRECISION, compute_dtype, from_numpy_dtype
from flowtorch.ops.families import General, Pointwise, Reduction, normalize_dim, normalize_dims

LIMIT = 1 << 26                 # elements that a kernel without a rule may be run on
RULES: dict[str, Callable] = {}
DATA_DEPENDENT = {"_nonzero": "nonzero", "masked_select": "masked_select", "_unique": "_unique2",
                  "_unique_consecutive": "unique_consecutive", "bincount": "bincount",
                  "_interleave_index": "repeat_interleave.Tensor"}


def rule(*names: str) -> Callable:
    """Decorator: the function gives the (shape, dtype) of the result(s) of these ops from their arguments."""
    def register(f: Callable) -> Callable:
        for name in names:
            RULES[name] = f
        return f
    return register


def refuse(name: str) -> NotImplementedError:
    """The error for a result whose shape depends on elements."""
    return NotImplementedError(
        f"aten::{name}: attempted to run this operator with Meta tensors, but the shape of its result depends on their "
        "elements, which they do not have")


def kernels(op: Any, t: Any) -> tuple | None:
    """(fast, full) kernels of ``op`` on meta tensors of type ``t``."""
    if op.name in DATA_DEPENDENT:
        def refused(*arrays: Any, **params: Any) -> Any:
            raise refuse(DATA_DEPENDENT[op.name])
        return refused, refused
    if isinstance(op.family, Pointwise):
        kernel = _pointwise(op, t.dtype)
    elif isinstance(op.family, Reduction):
        kernel = _reduction(op)
    elif isinstance(op.family, General):
        kernel = _general(op)
    else:
        return None
    return kernel, kernel


# ---------------------------------------------------------------- families

def _pointwise(op: Any, work: Any) -> Callable:
    out = {"bool": dtypes.bool_, "real": work.to_real(), "float_real": work.to_real(), "complex": work.to_complex(),
           "int64": dtypes.int64}.get(op.promote, work).numpy

    def kernel(*arrays: Any, **params: Any) -> np.ndarray:
        shape = np.broadcast_shapes(*[a.shape for a in arrays if isinstance(a, np.ndarray)])
        source = next((a for a in arrays if isinstance(a, np.ndarray) and a.shape == shape and a.ndim), None)
        return ordered(shape, out, source)
    return kernel


def _reduction(op: Any) -> Callable:
    def kernel(input: np.ndarray, dim: Any = op.defaults.get("dim"), keepdim: bool = False, *rest: Any,
               **params: Any) -> Any:
        if op.name in RULES or "keepdim" not in op.names or input.size == 0:
            return _general(op)(input, dim, *([keepdim] if "keepdim" in op.names else []), *rest, **params)
        small = _as_results(op.body(_wide(op, np.zeros((1,) * input.ndim, input.dtype)), dim, keepdim, *rest, **params))
        dims = normalize_dims(dim if dim != () else None, input.ndim)
        shape = tuple(1 if d in dims else n for d, n in enumerate(input.shape) if keepdim or d not in dims)
        found = [meta_array(shape, _narrow(op, input, r)) for r in small]
        return found[0] if len(found) == 1 else tuple(found)
    return kernel


def _as_results(r: Any) -> list:
    return [np.asarray(x) for x in r] if isinstance(r, (tuple, list)) else [np.asarray(r)]


_SINGLES = (np.dtype(np.float32), np.dtype(np.complex64))


def _widened(a: np.ndarray) -> np.ndarray:
    return a.astype(compute_dtype(from_numpy_dtype(a.dtype)).numpy)


def _is_low(a: Any) -> bool:
    return isinstance(a, np.ndarray) and dtypes.from_numpy_dtype(a.dtype) in LOW_PRECISION


def _wide(op: Any, a: Any) -> Any:
    return _widened(a) if op.low == "upcast" and _is_low(a) else a


def _narrow(op: Any, source: np.ndarray, result: np.ndarray) -> np.dtype:
    return source.dtype if op.low == "upcast" and _is_low(source) and result.dtype in _SINGLES else result.dtype


def _general(op: Any) -> Callable:
    """A rule's result, or that of the CPU kernel on zeros."""
    decide = RULES.get(op.name)

    def kernel(*arrays: Any, **params: Any) -> Any:
        if decide is not None:
            found = decide(*arrays, **params)
            return [_made(f) for f in found] if isinstance(found, list) else _made(found)
        return run(op, arrays, params)
    return kernel


def _made(found: Any) -> np.ndarray:
    return found if isinstance(found, np.ndarray) else meta_array(*found)


def _flat(arrays: Any) -> list:
    found: list = []
    for a in arrays:
        found += [x for x in a if isinstance(x, np.ndarray)] if isinstance(a, (list, tuple)) else (
            [a] if isinstance(a, np.ndarray) else [])
    return found


def run(op: Any, arrays: Any, params: dict) -> Any:
    """The CPU kernel on zeros (identity matrices for linear algebra), its result without elements."""
    given = _flat([*arrays, *params.values()])
    if sum(a.size for a in given) > LIMIT:
        return _by_batches(op, arrays, params)
    matrices = op.body.__module__.rpartition(".")[2].startswith("linalg")
    low = next((a.dtype for a in given if _is_low(a)), None) if op.low == "upcast" else None
    wide = None if low is None else compute_dtype(from_numpy_dtype(low)).numpy

    def stand_in(a: Any) -> Any:
        if isinstance(a, (list, tuple)) and any(isinstance(x, np.ndarray) for x in a):
            return [stand_in(x) for x in a]
        if not isinstance(a, np.ndarray):
            return a
        a = _widened(a) if low is not None and _is_low(a) else a
        if matrices and a.ndim >= 2 and a.dtype.kind in "fc":
            eye = np.zeros(a.shape, a.dtype)
            eye[..., np.arange(min(a.shape[-2:])), np.arange(min(a.shape[-2:]))] = 1
            return eye
        return a if a.flags.writeable else np.array(a, order="K", copy=True)
    result = op.body(*[stand_in(a) for a in arrays], **{k: stand_in(v) for k, v in params.items()})

    def without_elements(r: Any) -> np.ndarray:
        r = np.asarray(r)
        return like(r if low is None or r.dtype != wide else host_strided(
            np.zeros(1, low), r.shape, tuple(s * low.itemsize // r.itemsize for s in r.strides)))
    if isinstance(result, (tuple, list)):
        return [without_elements(r) for r in result]
    return without_elements(result)


def _by_batches(op: Any, arrays: tuple, params: dict) -> Any:
    """The result for a large batch from those of 2 and 3: a size that grows with the batch does so evenly."""
    first = next(a for a in _flat([*arrays, *params.values()]) if a.ndim)
    n = first.shape[0]

    def cut(v: Any, k: int) -> Any:
        if isinstance(v, np.ndarray):
            return meta_array((k, *v.shape[1:]), v.dtype) if v.ndim and v.shape[0] == n else v
        if isinstance(v, (list, tuple)):
            if v and all(type(i) is int for i in v):
                return type(v)((k, *v[1:])) if v[0] == n and len(v) == first.ndim else v
            return type(v)(cut(i, k) for i in v)
        return v
    small = [([cut(a, k) for a in arrays], {name: cut(v, k) for name, v in params.items()}) for k in (2, 3)]
    if n <= 3 or any(sum(a.size for a in _flat([*args, *named.values()])) > LIMIT for args, named in small):
        raise NotImplementedError(f"{op.name}: no shape rule for meta tensors of more than {LIMIT} elements")
    two, three = (_as_list(run(op, args, named)) for args, named in small)
    found = [meta_array(tuple(a + (b - a) * (n - 2) for a, b in zip(x.shape, y.shape, strict=True)), x.dtype)
             for x, y in zip(two, three, strict=True)]
    return found[0] if len(found) == 1 else found


def _as_list(r: Any) -> list:
    return list(r) if isinstance(r, (list, tuple)) else [r]


# ---------------------------------------------------------------- rules

@rule("matmul", "mm", "bmm", "mv", "dot", "vdot")
def matmul(a: Any, b: Any) -> Any:
    from flowtorch.ops.op import REGISTRY

    if not a.ndim or not b.ndim:
        raise RuntimeError("both arguments to matmul need to be at least 1D, but they are "
                           f"{a.ndim}D and {b.ndim}D")
    k = a.shape[-1]
    if k != b.shape[-2 if b.ndim > 1 else 0]:
        REGISTRY["matmul"].body(np.zeros(tuple(min(n, 8) for n in a.shape)), np.zeros(b.shape))
    batch = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    rows = a.shape[-2:-1] if a.ndim > 1 else ()
    columns = b.shape[-1:] if b.ndim > 1 else ()
    return (*batch, *rows, *columns), a.dtype


@rule("linear")
def linear(input: Any, weight: Any, bias: Any = None) -> Any:
    if input.shape[-1] != weight.shape[-1]:
        rows = math.prod(input.shape[:-1])
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} "
                           f"and {weight.shape[-1]}x{weight.shape[0]})")
    return (*input.shape[:-1], *weight.shape[:-1]), input.dtype


@rule("addmm", "addmv")
def addmm(input: Any, a: Any, b: Any, *options: Any, **more: Any) -> Any:
    shape, dtype = matmul(a, b)
    np.broadcast_to(np.zeros(input.shape, np.int8) if input.size < LIMIT else np.int8(0), shape)
    return shape, dtype


@rule("baddbmm")
def baddbmm(input: Any, a: Any, b: Any, *options: Any, **more: Any) -> Any:
    return matmul(a, b)


@rule("addbmm")
def addbmm(input: Any, a: Any, b: Any, *options: Any, **more: Any) -> Any:
    shape, dtype = matmul(a, b)
    return shape[1:], dtype


@rule("clone")
def clone(input: Any, memory_format: Any = dtypes.preserve_format) -> Any:
    return copied(input, input.dtype, memory_format)


def copied(input: Any, dtype: Any, memory_format: Any = dtypes.preserve_format) -> np.ndarray:
    """A meta array of the shape of ``input`` in a memory format."""
    if memory_format is dtypes.preserve_format:
        return ordered(input.shape, dtype, input)
    if memory_format is dtypes.contiguous_format or input.ndim not in (4, 5):
        return meta_array(input.shape, dtype)
    order = (0, 2, 3, 1) if input.ndim == 4 else (0, 2, 3, 4, 1)
    base = meta_array(tuple(input.shape[d] for d in order), dtype)
    return base.transpose(tuple(np.argsort(order)))


@rule("_softmax", "_log_softmax", "_bernoulli", "poisson", "_gamma", "_dirichlet", "_binomial", "roll",
      "tril", "triu", "logcumsumexp")
def alike(input: Any, *options: Any, **more: Any) -> Any:
    return input.shape, input.dtype


@rule("cumsum", "cumprod")
def scan(input: Any, dim: Any, *, dtype: Any = None) -> Any:
    from flowtorch.ops.reduction import accumulation_type

    normalize_dims(dim, input.ndim)
    return input.shape, accumulation_type(input, dtype)


@rule("flip")
def flip(input: Any, dims: Any) -> Any:
    dims = tuple(dims) if isinstance(dims, (tuple, list)) else (dims,)
    counted = [normalize_dim(d, input.ndim) for d in dims]
    if len(set(counted)) != len(counted):
        twice = next(d for d in counted if counted.count(d) > 1)
        raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
    return input.shape, input.dtype


@rule("_softmax_backward", "_log_softmax_backward")
def softmax_backward(grad: Any, output: Any, dim: Any) -> Any:
    return output.shape, output.dtype


@rule("_standardize_adjoint")
def standardize_adjoint(grad: Any, input: Any, *options: Any, **more: Any) -> Any:
    return input.shape, input.dtype


@rule("_layer_norm")
def layer_norm(input: Any, *options: Any, **more: Any) -> Any:
    return input.shape, input.dtype


@rule("embedding")
def embedding(weight: Any, indices: Any, *options: Any, **more: Any) -> Any:
    if weight.ndim != 2:
        raise RuntimeError("'weight' must be 2-D")
    return (*indices.shape, weight.shape[1]), weight.dtype


@rule("embedding_dense_backward")
def embedding_dense_backward(grad: Any, indices: Any, num_weights: int, *options: Any, **more: Any) -> Any:
    return (num_weights, grad.shape[-1]), grad.dtype


@rule("gather")
def gather(input: Any, dim: int, index: Any, **options: Any) -> Any:
    return index.shape, input.dtype


@rule("index_select")
def index_select(input: Any, dim: int, index: Any) -> Any:
    d = normalize_dim(dim, input.ndim)
    if not input.ndim:
        return (), input.dtype
    return (*input.shape[:d], index.size, *input.shape[d + 1:]), input.dtype


@rule("where")
def where(condition: Any, input: Any, other: Any) -> Any:
    shape = np.broadcast_shapes(*[x.shape for x in (condition, input, other)])
    return ordered(shape, input.dtype, next((x for x in (input, other) if x.shape == shape), None))


@rule("convolution")
def convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: int,
                size: Any = None) -> Any:
    if size is None:
        ends = [p if isinstance(p, int) else sum(p) / 2 for p in padding]
        size = [int((n + 2 * p - d * (k - 1) - 1) // s + 1) for n, p, d, k, s in
                zip(input.shape[2:], ends, dilation, weight.shape[2:], stride, strict=True)]
    elif len(size) != input.ndim - 2:
        size = size[-(input.ndim - 2):]
    return (input.shape[0], weight.shape[0], *size), input.dtype


@rule("attention")
def attention(query: Any, key: Any, value: Any, *options: Any, **more: Any) -> Any:
    batch = np.broadcast_shapes(query.shape[:-2], key.shape[:-2], value.shape[:-2])
    return [((*batch, query.shape[-2], value.shape[-1]), query.dtype),
            ((*batch, query.shape[-2], key.shape[-2]), query.dtype)]


@rule("cat")
def cat(tensors: Any, dim: int = 0) -> Any:
    from flowtorch.ops.op import REGISTRY

    if sum(t.size for t in tensors) <= 1 << 16:
        return like(REGISTRY["cat"].body(list(tensors), dim))
    tensors = [t for t in tensors if t.shape != (0,)]
    d = normalize_dim(dim, tensors[0].ndim)
    dtype = np.result_type(*[t.dtype for t in tensors]) if len({t.dtype for t in tensors}) > 1 else tensors[0].dtype
    shape = list(tensors[0].shape)
    shape[d] = sum(t.shape[d] for t in tensors)
    return tuple(shape), dtype


@rule("stack")
def stack(tensors: Any, dim: int = 0) -> Any:
    d = normalize_dim(dim, tensors[0].ndim + 1)
    if len({t.shape for t in tensors}) > 1:
        raise RuntimeError("stack expects each tensor to be equal size, but got "
                           f"{list(tensors[0].shape)} at entry 0 and others")
    return (*tensors[0].shape[:d], len(tensors), *tensors[0].shape[d:]), tensors[0].dtype


@rule("sort")
def sort(input: Any, *options: Any, **more: Any) -> Any:
    return [ordered(input.shape, input.dtype, input), ordered(input.shape, np.int64, input)]


@rule("_ldl_solve")
def ldl_solve(LD: Any, pivots: Any, B: Any, *options: Any, **more: Any) -> Any:
    batch = np.broadcast_shapes(LD.shape[:-2], B.shape[:-2])
    return meta_array((*batch, *B.shape[:-3:-1]), B.dtype).swapaxes(-1, -2)


@rule("convolution_input")
def convolution_input(grad: Any, weight: Any, size: Any, stride: Any, padding: Any, dilation: Any, groups: int) -> Any:
    return (grad.shape[0], weight.shape[1] * groups, *tuple(size)[-(grad.ndim - 2):]), grad.dtype


@rule("convolution_weight")
def convolution_weight(grad: Any, input: Any, kernel: Any, stride: Any, padding: Any, dilation: Any,
                       groups: int) -> Any:
    return (grad.shape[1], input.shape[1] // groups, *tuple(kernel)[-(grad.ndim - 2):]), grad.dtype


@rule("index")
def index(input: Any, indices: Any, dims: Any) -> Any:
    if any(i.dtype.kind == "b" for i in indices):
        raise refuse("nonzero")
    chosen = np.broadcast_shapes(*[i.shape for i in indices])
    dims = tuple(dims)
    rest = [n for d, n in enumerate(input.shape) if d not in dims]
    at = dims[0] if dims == tuple(range(dims[0], dims[0] + len(dims))) else 0
    return (*rest[:at], *chosen, *rest[at:]), input.dtype


@rule("_index_put", "index_add", "index_copy", "index_fill", "index_reduce", "_scatter", "scatter_add",
      "scatter_reduce", "_masked_fill", "_masked_scatter")
def written(input: Any, *args: Any, **options: Any) -> Any:
    return ordered(input.shape, input.dtype, input)


@rule("_multinomial")
def multinomial(input: Any, num_samples: int, *options: Any, **more: Any) -> Any:
    return (*input.shape[:-1], num_samples), np.int64


@rule("_normal")
def normal(mean: Any, std: Any = None, **options: Any) -> Any:
    return np.broadcast_shapes(mean.shape, () if std is None else std.shape), mean.dtype


@rule("repeat")
def repeat(input: Any, repeats: Any) -> Any:
    repeats = tuple(repeats) if isinstance(repeats, (tuple, list)) else (repeats,)
    if len(repeats) < input.ndim:
        raise RuntimeError("Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor")
    lead = (1,) * (len(repeats) - input.ndim) + input.shape
    return tuple(a * b for a, b in zip(lead, repeats, strict=True)), input.dtype
