"""Functions of lists of tensors (torch._foreach_*): the function of one tensor applied to each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch import namespace
from flowtorch.tensor import Tensor

UNARY = [
    "abs",
    "acos",
    "asin",
    "atan",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "erfc",
    "exp",
    "expm1",
    "floor",
    "frac",
    "lgamma",
    "log",
    "log10",
    "log1p",
    "log2",
    "neg",
    "reciprocal",
    "round",
    "rsqrt",
    "sigmoid",
    "sign",
    "sin",
    "sinh",
    "sqrt",
    "tan",
    "tanh",
    "trunc",
]
BINARY = ["add", "sub", "mul", "div", "pow", "clamp_max", "clamp_min", "maximum", "minimum"]
_PAIRED = {"maximum": "clamp_min", "minimum": "clamp_max"}  # with a number instead of a tensor


def _check(*lists: Any) -> None:
    if not lists[0]:
        raise RuntimeError("Tensor list must have at least one tensor.")
    for other in lists[1:]:
        if len(other) != len(lists[0]):
            raise RuntimeError(
                f"Tensor lists must have the same number of tensors, got {len(lists[0])} and {len(other)}"
            )


def _spread(value: Any, count: int) -> list:
    """One value for each of ``count`` tensors: those of a list, or the same for all."""
    if not isinstance(value, (list, tuple)):
        return [value] * count
    if len(value) != count:
        raise RuntimeError(
            f"Tensor list must have same number of elements as scalar list, got {count} and {len(value)}"
            if not value or not isinstance(value[0], Tensor)
            else f"Tensor lists must have the same number of tensors, got {count} and {len(value)}"
        )
    return list(value)


def _at_once(name: str, columns: dict[str, Any], values: dict[str, Any], inplace: bool) -> Any:
    """The results for tensors on device "cuda" from one kernel; None where each is computed by itself."""
    first = next(iter(columns.values()))[0]
    if not isinstance(first, Tensor) or first._type.device.type != "cuda":
        return None
    from flowtorch.ops.cuda import lists

    results = lists.apply(name, columns, values, inplace)
    return results if inplace or results is None else tuple(results)


def _unary(name: str, inplace: bool) -> Callable:
    def call(self):
        _check(self)
        found = _at_once(name, {"input": self}, {}, inplace)
        if found is not None:
            return found
        f = getattr(Tensor, name + "_") if inplace else namespace.namespaces["torch"][name]
        results = [f(t) for t in self]
        return results if inplace else tuple(results)

    return call


def _binary(name: str, inplace: bool) -> Callable:
    def one(t: Any, other: Any, options: dict) -> Any:
        if not isinstance(t, Tensor):  # _foreach_pow(2.0, tensors)
            return namespace.namespaces["torch"][name](t, other)
        used = name
        if name in _PAIRED or name in _PAIRED.values():
            tensors = {v: k for k, v in _PAIRED.items()}
            used = tensors.get(name, name) if isinstance(other, Tensor) else _PAIRED.get(name, name)
        result = namespace.namespaces["torch"][used](t, other, **options)
        return t.copy_(result) if inplace else result  # type: ignore[attr-defined]

    def call(self, other, *, alpha=1):
        options = {"alpha": alpha} if name in ("add", "sub") and alpha != 1 else {}
        if isinstance(self, (list, tuple)):
            _check(self)
            others = _spread(other, len(self))
            found = _pairs_at_once(name, self, other, options, inplace)
            if found is not None:
                return found
            pairs = zip(self, others, strict=True)
        else:
            _check(other)
            pairs = zip([self] * len(other), other, strict=True)
        results = [one(t, o, options) for t, o in pairs]
        return results if inplace else tuple(results)

    return call


def _pairs_at_once(name: str, self: Any, other: Any, options: dict, inplace: bool) -> Any:
    second = "exponent" if name == "pow" else "other"
    if isinstance(other, (list, tuple)) and isinstance(other[0], Tensor):
        return _at_once(name, {"input": self, second: other}, options, inplace)
    return _at_once(name, {"input": self}, {second: other, **options}, inplace)


def _ternary(name: str, inplace: bool) -> Callable:
    def call(self, tensor1, tensor2, value=1):
        _check(self, tensor1, tensor2)
        factors = value.tolist() if isinstance(value, Tensor) and value.dim() else value  # type: ignore[attr-defined]
        found = _at_once(name, {"input": self, "tensor1": tensor1, "tensor2": tensor2}, {"value": factors}, inplace)
        if found is not None:
            return found
        rows = zip(self, tensor1, tensor2, _spread(factors, len(self)), strict=True)
        results = [
            getattr(t, name + "_")(a, b, value=v) if inplace else getattr(t, name)(a, b, value=v) for t, a, b, v in rows
        ]
        return results if inplace else tuple(results)

    return call


def _lerp(inplace: bool) -> Callable:
    def call(self, tensors1, weight):
        _check(self, tensors1)
        weights = isinstance(weight, (list, tuple)) and isinstance(weight[0], Tensor)
        columns = {"input": self, "end": tensors1} | ({"weight": weight} if weights else {})
        found = _at_once("lerp", columns, {} if weights else {"weight": weight}, inplace)
        if found is not None:
            return found
        rows = zip(self, tensors1, _spread(weight, len(self)), strict=True)
        results = [t.lerp_(e, w) if inplace else t.lerp(e, w) for t, e, w in rows]
        return results if inplace else tuple(results)

    return call


def _norm(self, ord=2, dtype=None):
    """The ``ord``-norm of every tensor."""
    from flowtorch.ops.norm import vector_norm

    _check(self)
    if isinstance(self[0], Tensor) and self[0]._type.device.type == "cuda" and dtype is None:
        from flowtorch.ops.cuda import lists

        found = lists.norms(self, ord)
        if found is not None:
            return tuple(found)
    return tuple(vector_norm(t, ord, dtype=dtype) for t in self)


def _powsum(self, ord=2, dtype=None):
    """The sum of |x| ** ord of every tensor."""
    _check(self)
    return tuple((t if dtype is None else t.to(dtype)).abs().pow(ord).sum() for t in self)


def _max(self):
    """The largest element of every tensor."""
    _check(self)
    return tuple(t.max() for t in self)


def _mm(self, mat2):
    """The product of corresponding matrices."""
    _check(self, mat2)
    return tuple(a.mm(b) for a, b in zip(self, mat2, strict=True))


def _clone(self, *, memory_format=None):
    """A copy of every tensor."""
    _check(self)
    return tuple(t.clone() for t in self)


def _copy_(self, src, non_blocking=False):
    """Write the tensors of ``src`` into those of ``self``."""
    _check(self, src)
    return [t.copy_(s) for t, s in zip(self, src, strict=True)]


def _zero_(self):
    """Fill every tensor with zeros."""
    _check(self)
    return [t.zero_() for t in self]


FUNCTIONS: dict[str, Callable] = {
    "norm": _norm,
    "powsum": _powsum,
    "max": _max,
    "mm": _mm,
    "clone": _clone,
    "copy_": _copy_,
    "zero_": _zero_,
    "lerp": _lerp(False),
    "lerp_": _lerp(True),
}
for _names, _make in ((UNARY, _unary), (BINARY, _binary), (("addcmul", "addcdiv"), _ternary)):
    for _name in _names:
        FUNCTIONS[_name], FUNCTIONS[_name + "_"] = _make(_name, False), _make(_name, True)
for _name, _function in FUNCTIONS.items():
    _function.__name__ = _function.__qualname__ = f"_foreach_{_name}"
