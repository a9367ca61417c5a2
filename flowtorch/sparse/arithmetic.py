"""Addition, multiplication, division and powers of COO tensors, with each other, dense tensors and numbers."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.ops.families import result_dtype
from flowtorch.sparse.elementwise import on_values, scaled
from flowtorch.sparse.entries import coalesce, common_keys, keys_of, take
from flowtorch.sparse.handlers import handles, is_number, strided
from flowtorch.sparse.record import link
from flowtorch.sparse.tensor import LayoutTensor, SparseTensor, make
from flowtorch.tensor import Tensor, wrap

_ADD_DENSE = "add(sparse, dense) is not supported. Use add(dense, sparse) instead."


def _conj(x: Any) -> Any:
    return x.conj() if isinstance(x, Tensor) else (x.conjugate() if isinstance(x, complex) else x)


def _times(x: Any, alpha: Any) -> Any:
    return x if isinstance(alpha, (int, float)) and alpha == 1 else x * alpha


# ---------------------------------------------------------------- addition

@handles("add")
def add(a: Any, b: Any, alpha: Any = 1) -> Any:
    return _sum(a, b, alpha, "AddBackward0")


@handles("sub")
def sub(a: Any, b: Any, alpha: Any = 1) -> Any:
    return _sum(a, b, -alpha, "SubBackward0")


def _sum(a: Any, b: Any, alpha: Any, label: str) -> Any:
    if type(a) is SparseTensor and not isinstance(b, LayoutTensor):
        raise RuntimeError(_ADD_DENSE)
    if strided(a) and type(b) is SparseTensor:
        return _add_to_dense(a, b, alpha, label)
    if type(a) is not SparseTensor or type(b) is not SparseTensor:
        return NotImplemented
    if a.shape != b.shape:
        raise RuntimeError(f"add: expected sizes of 'self' and 'other' to match, but {list(a.shape)} != "
                           f"{list(b.shape)}")
    if a.sparse_dim() != b.sparse_dim():
        raise RuntimeError("add: expected 'self' and 'other' to have same number of sparse dims, but 'self' has "
                           f"{a.sparse_dim()} while 'other' has {b.sparse_dim()}")
    dtype = result_dtype([a, b])
    x, y = a._values().to(dtype), _times(b._values().to(dtype), alpha)   # type: ignore[attr-defined]
    if a._ind is b._ind or (_alike(a, b) and np.array_equal(a._ind._array, b._ind._array)):
        result = make(a._ind, x + y, a._array.shape, a._coal and b._coal)
    elif a._coal and b._coal:
        result = _union(a, b, x._array, y._array)
    elif _alike(a, b) and _sorted(a) and _sorted(b):
        result = _union(a, b, x._array, y._array)._coalesced_(False)
    else:
        indices = np.concatenate([a._ind._array, b._ind._array], axis=1)
        result = make(wrap(indices), wrap(np.concatenate([x._array, y._array]), x._type), a._array.shape, False)
    factor = _conj(alpha)
    return link(result, label, [a, b], [lambda g: g, lambda g: _times(g, factor)])


def _alike(a: SparseTensor, b: SparseTensor) -> bool:
    """Whether PyTorch adds the values of equal entries of uncoalesced tensors: where both lie in one piece."""
    return a._val._array.flags.c_contiguous and b._val._array.flags.c_contiguous


def _sorted(s: SparseTensor) -> bool:
    """Whether the entries are in order without duplicates, though nobody has said so."""
    keys = keys_of(s._ind._array, s._array.shape[:s.sparse_dim()])
    return s._coal or bool((keys[1:] > keys[:-1]).all())


def _union(a: SparseTensor, b: SparseTensor, x: np.ndarray, y: np.ndarray) -> SparseTensor:
    """The sum of two coalesced tensors, coalesced."""
    p, q = common_keys(a, b)
    keys, where = np.unique(np.concatenate([p, q]), return_inverse=True)
    values = np.zeros((len(keys), *x.shape[1:]), x.dtype)
    indices = np.empty((a.sparse_dim(), len(keys)), np.int64)
    at, other = where[:len(p)], where[len(p):]
    values[at] = x
    if x.dtype.kind == "b":
        values[other] |= y
    else:
        values[other] += y
    indices[:, at], indices[:, other] = a._ind._array, b._ind._array
    return make(wrap(indices), wrap(values), a._array.shape, True)


def _add_to_dense(a: Any, b: SparseTensor, alpha: Any, label: str) -> Any:
    if a.shape != b.shape:
        raise RuntimeError(f"add: expected 'self' and 'other' to have same size, but self has size {list(a.shape)} "
                           f"while other has size {list(b.shape)} (FYI: dense-sparse addition does not currently "
                           "support broadcasting)")
    dtype = result_dtype([a, b])
    values = _times(b._values().to(dtype), alpha)                        # type: ignore[attr-defined]
    total = a.detach().to(dtype, copy=True)
    if b.sparse_dim():
        total.index_put_(tuple(b._ind.unbind(0)), values, accumulate=True)   # type: ignore[attr-defined]
    else:
        total += values.sum(0)
    factor = _conj(alpha)
    return link(total, label, [a, b], [lambda g: g, lambda g: _times(g, factor)])


# ---------------------------------------------------------------- multiplication

@handles("mul")
def mul(a: Any, b: Any) -> Any:
    if type(a) is not SparseTensor:
        a, b = b, a
    if type(a) is not SparseTensor:
        return NotImplemented
    if is_number(b):
        result = make(a._ind, a._values() * _detached(b), a._array.shape, a._coal)   # type: ignore[operator]
        return link(result, "MulBackward0", [a, b], [lambda g, a, b=b: g * _conj(b),
                                                     lambda g, a: _whole(g * _conj(a))], [a])
    if type(b) is SparseTensor:
        return _mul_sparse(a, b)
    return _mul_dense(a, b) if strided(b) else NotImplemented


def _detached(b: Any) -> Any:
    return b.detach() if isinstance(b, Tensor) else b


def _whole(g: Any) -> Any:
    return g.sum()


def _mul_dense(a: SparseTensor, b: Any) -> Any:
    shape = np.broadcast_shapes(a._array.shape, b._array.shape)
    if shape != a._array.shape:
        raise RuntimeError(f"mul(sparse, dense): the dense operand of shape {list(b.shape)} must broadcast to the "
                           f"sparse operand's shape {list(a.shape)}")
    picked = take(b.detach().expand(shape), a._ind)
    result = make(a._ind, a._values() * picked, shape, a._coal)          # type: ignore[operator]
    return link(result, "MulBackward0", [a, b], [lambda g, a, b: g * _conj(b), lambda g, a, b: g * _conj(a)], [a, b])


def _mul_sparse(a: SparseTensor, b: SparseTensor) -> Any:
    if a.shape != b.shape:
        raise RuntimeError(f"mul(sparse, sparse): expected operands of one shape, but got {list(a.shape)} and "
                           f"{list(b.shape)}")
    base, other = (a, coalesce(b.detach())) if not a._coal or b._coal else (b, coalesce(a.detach()))   # type: ignore[attr-defined]
    keep = np.isin(keys_of(base._ind._array, base._array.shape[:base.sparse_dim()]),
                   keys_of(other._ind._array, base._array.shape[:base.sparse_dim()]))
    indices, values = base._ind, base._values()
    if not keep.all():
        indices, values = wrap(base._ind._array[:, keep]), values[wrap(keep)]   # type: ignore[index]
    result = make(indices, values * take(other, indices), base._array.shape, base._coal)
    return link(result, "MulBackward0", [a, b], [lambda g, a, b: g * _conj(b), lambda g, a, b: g * _conj(a)], [a, b])


# ---------------------------------------------------------------- division, powers

def _divisor(a: Any, b: Any) -> None:
    if not is_number(b):
        raise RuntimeError("Sparse division requires a scalar or zero-dim dense tensor divisor (got shape "
                           f"{list(b.shape)} for divisor)")


@handles("true_divide")
def true_divide(a: Any, b: Any) -> Any:
    if type(a) is not SparseTensor:
        return NotImplemented
    _divisor(a, b)
    if isinstance(b, Tensor) and b.requires_grad:
        return a * b.reciprocal()                                        # type: ignore[attr-defined,operator]
    return scaled(a, a._values() / b, "DivBackward0", lambda g: g / _conj(b))   # type: ignore[operator]


def _rounded(name: str) -> None:
    @handles(name)
    def call(a: Any, b: Any) -> Any:
        if type(a) is not SparseTensor:
            return NotImplemented
        _divisor(a, b)
        return on_values(name, a, b)


_rounded("floor_divide")
_rounded("_trunc_divide")


@handles("pow")
def pow(a: Any, exponent: Any) -> Any:
    if type(a) is not SparseTensor or isinstance(exponent, Tensor):
        return NotImplemented
    if exponent == 0:
        raise RuntimeError("pow: cannot raise to zeroth power on sparse tensor; it would make the result tensor dense")
    if exponent.real < 0:
        return NotImplemented
    return on_values("pow", a, exponent)


