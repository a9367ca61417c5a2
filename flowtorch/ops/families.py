"""The families of ops and their decorators: what all pointwise ops, reductions, views and other ops share."""
from __future__ import annotations

import operator
import sys
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.array.place import contiguous
from flowtorch.array.tensortype import TensorType, tensor_type
from flowtorch.autograd.mode import grad_enabled, grad_mode
from flowtorch.autograd.node import make_view
from flowtorch.dtypes import LOW_PRECISION, can_cast, promote_types, scalar_dtype
from flowtorch.native import calls
from flowtorch.ops import dispatch, fast_pointwise
from flowtorch.ops.dispatch import interpret, kernel_providers
from flowtorch.ops.op import Family, Op, pytorch_names
from flowtorch.ops.order import astype, in_order, in_rows
from flowtorch.tensor import Tensor, wrap

_NUMBERS = (int, float, complex, np.generic)
_SINGLE = np.dtype(np.float32)
_COMPLEX_SINGLE = np.dtype(np.complex64)


# ---------------------------------------------------------------- promotion

def _combine(higher: Any, lower: Any) -> Any:
    """PyTorch's rule for priority classes: a lower class changes only the kind (int to float, real to complex)."""
    if higher is None:
        return lower
    if lower is None or higher.is_complex:
        return higher
    if higher.is_floating_point:
        return higher.to_complex() if lower.is_complex else higher
    if higher.rank == 0 or lower.rank >= 2:
        return promote_types(higher, lower)
    return higher


def result_dtype(operands: Any) -> dtypes.dtype:
    """The common dtype of operands. Tensors with dimensions have priority over 0-d tensors, and these over numbers."""
    dim = zero = number = None
    for x in operands:
        if isinstance(x, Tensor):
            d = x._type.dtype
            if x._array.ndim:
                dim = d if dim is None else promote_types(dim, d)
            else:
                zero = d if zero is None else promote_types(zero, d)
        elif x is not None:
            d = scalar_dtype(x)
            number = d if number is None else promote_types(number, d)
    result = _combine(dim, _combine(zero, number))
    assert result is not None
    return result


def common_device(op_name: str, operands: Any) -> Any:
    """The device of the operands: RuntimeError if they differ, but 0-d CPU tensors fit to every device."""
    found = None
    for x in operands:
        if isinstance(x, Tensor):
            d = x._type.device
            if found is None or (found._array.ndim == 0 and found._type.device.type == "cpu"):
                found = x if found is None or d != found._type.device or x._array.ndim else found
            elif d != found._type.device and not (x._array.ndim == 0 and d.type == "cpu"):
                raise RuntimeError("Expected all tensors to be on the same device, but found at least two devices, "
                                   f"{found._type.device} and {d}! (in {op_name})")
    assert found is not None
    return found._type.device


# ---------------------------------------------------------------- pointwise

class Pointwise(Family):
    """Each output element is computed from the corresponding input elements, after broadcasting."""

    name = "pointwise"

    def plan(self, op: Op, t: TensorType) -> tuple:
        """(fast kernel, result type, kernel with parameters, in-place ufunc or None) for operands of type ``t``."""
        d = t.dtype
        refuse(op, d)
        work = dtypes._default if op.promote in ("float", "float_real") and d.rank < 2 else d
        if op.promote == "number" and d.rank == 0:
            work = dtypes.int64
        work_type = tensor_type(work, t.device)
        out = {
            "bool": dtypes.bool_,
            "real": work.to_real(),
            "float_real": work.to_real(),
            "complex": work.to_complex(),
            "int64": dtypes.int64,
        }.get(op.promote, work)
        fast, full, ufunc = find_kernels(op, work_type)
        if work is not d and t.device.type != "meta":
            fast, full, ufunc = casting(fast, work_type.numpy), casting(full, work_type.numpy), None
        low = d in LOW_PRECISION and t.device.type == "cpu"
        if low and op.params == ("alpha",):
            full = _low_alpha(full, d.numpy)
        plan = (fast, tensor_type(out, t.device), full, ufunc)
        if t.plain and not t.inference and (d.rank or op.check is None):      # bools beside numbers: ask each time
            op.plans[t] = plan
            if not op.numbers and len(op.tensors) > 1:       # maximum(x, 2): a number is an error
                return plan
            if low and len(op.tensors) > 1 and len(_WIDE_NUMBERS.get(op.name, ())) < 2:      # numbers are to be rounded
                return plan
            # A number beside uint8 becomes a float in true_divide, not 255 for -1: only the widest integers hold it.
            if d.rank >= 2 or (d.rank == 1 and (op.check is None or hasattr(op.check, "of_dtypes")) and (
                    work is d or d is dtypes.int64)):
                op.int_plans[t] = plan
            if d.rank >= 2:
                op.float_plans[t] = plan
        return plan

    def compute(self, op: Op, values: list) -> Tensor:
        operands = [values[i] for i in op.tensor_index]
        for x, name in zip(operands, op.tensors, strict=True):
            if not isinstance(x, Tensor) and not (x is None and name in op.defaults) and not (
                    name in op.numbers and isinstance(x, _NUMBERS)):
                raise TypeError(f"{op.name}(): argument '{name}' (position {op.names.index(name) + 1}) must be "
                                f"Tensor, not {type(x).__name__}")
        tensors = [x for x in operands if isinstance(x, Tensor)]
        if not tensors:
            raise TypeError(f"{op.name}(): argument '{op.tensors[0]}' (position 1) must be Tensor, "
                            f"not {type(operands[0]).__name__}")
        device = common_device(op.name, tensors)
        t = tensor_type(result_dtype(operands), device)
        if op.promote in ("float", "float_real") and t.dtype.rank < 2:
            refuse(op, t.dtype)
            t = tensor_type(dtypes._default, device)        # no detour over an integer type that may not hold them
        if op.check is not None:
            op.check(operands, t.dtype)
        plan = op.plans.get(t) or self.plan(op, t)
        if t.dtype in LOW_PRECISION and t.device.type == "cpu":
            arrays = [None if x is None else self.low_operand(op, i, x, t) for i, x in enumerate(operands)]
        else:
            arrays = [None if x is None else self.operand(x, t) for x in operands]
        params = {n: v for n, v in zip(op.names, values, strict=True) if n not in op.tensors}
        if all(n in op.defaults and v is op.defaults[n] for n, v in params.items()):
            c = plan[0](*arrays)
        else:
            c = plan[2](*arrays, **params)
        if type(c) is not np.ndarray and device.type == "cpu":
            c = np.asarray(c)
        if c.dtype != plan[1].numpy:
            c = c.astype(plan[1].numpy)
        if c.ndim > 1 and device.type == "cpu":
            c = in_order(c, *arrays)
        return wrap(c, plan[1])

    @staticmethod
    def operand(x: Any, t: TensorType) -> np.ndarray:
        """An operand as an array of the common dtype; numbers beside low-precision tensors stay in float32."""
        if isinstance(x, Tensor):
            a = x._array
            return a if x._type.dtype is t.dtype or t.device.type == "meta" else convert_array(a, t.dtype)
        if isinstance(x, np.generic):
            x = x.item()
        return t.scalar(x)

    def low_operand(self, op: Op, i: int, x: Any, t: TensorType) -> np.ndarray:
        """``operand`` of a half-precision op: most kernels round a number first, and a few take it in float32."""
        wide = i in _WIDE_NUMBERS.get(op.name, ())
        if isinstance(x, Tensor):
            other = x._type.dtype
            if wide and not x._array.ndim and other is not t.dtype and not other.is_complex and (
                    x._type.device.type == "cpu"):
                return x._array.astype(np.float32)
            return self.operand(x, t)
        number = self.operand(x, t)
        return number if wide else number.astype(t.numpy)

    def fast(self, op: Op) -> Callable:
        if not op.params:
            if len(op.tensors) == 1:
                return fast_pointwise.unary(op)
            if len(op.tensors) == 2:
                return fast_pointwise.binary(op)
        if op.params == ("alpha",) and len(op.tensors) == 2:
            return fast_pointwise.binary_alpha(op)
        return calls.ternary(op, dispatch.general(op))


# Operands at which PyTorch's CPU kernels take a number beside half precision without rounding it.
_WIDE_NUMBERS = {"mul": (0, 1), "true_divide": (0, 1), "lerp": (2,)}


def _low_alpha(kernel: Callable, low: np.dtype) -> Callable:
    """``input + alpha * other`` in half precision: ``alpha`` is rounded to it, then the result."""
    def scaled(input: np.ndarray, other: np.ndarray, alpha: Any = 1) -> np.ndarray:
        return kernel(input, other, alpha=np.asarray(alpha).astype(low).astype(_widened(low)).item())
    return scaled


def convert_array(a: np.ndarray, d: dtypes.dtype) -> np.ndarray:
    """``a`` in dtype ``d`` by PyTorch's conversion rules (complex loses its imaginary part, floats truncate)."""
    target = d.numpy
    if not isinstance(a, np.ndarray):
        from flowtorch.ops.cuda.base import cast

        return cast(a, target)
    if a.dtype.kind == "W" and target.kind not in "cW":          # complex32, whose parts numpy does not see
        a = a.astype(_COMPLEX_SINGLE)
    if a.dtype.kind == "c" and target.kind not in "cbW":
        a = a.real
    if a.dtype.itemsize == 1 and target.kind in "iu" and a.dtype.kind in "Vf":      # float8 saturates where floats wrap
        a = a.astype(np.float32)
    return astype(a, target)


def refuse(op: Op, d: dtypes.dtype) -> None:
    """Raise PyTorch's error for a dtype that the op does not take."""
    for kind in op.rejects:
        if kind == d.name or (kind == "complex" and d.is_complex) or (kind == "float" and d.is_floating_point) or (
                kind == "integer" and d.rank == 1) or (kind == "inexact" and d.rank >= 2):
            if isinstance(op.rejects, dict) and op.rejects[kind]:
                raise RuntimeError(op.rejects[kind])
            raise NotImplementedError(f"\"{op.name}_cpu\" not implemented for '{d.label}'")


def cuda_kernels(op: Op, t: TensorType) -> Any:
    """The kernels on device "cuda", whose module loads when the first is asked for."""
    from flowtorch.ops import cuda

    return cuda.kernels(op, t)


def meta_kernels(op: Op, t: TensorType) -> Any:
    """The kernels on device "meta", whose module loads when the first is asked for."""
    from flowtorch.ops import meta

    return meta.kernels(op, t)


kernel_providers["cuda"].append(cuda_kernels)
kernel_providers["meta"].append(meta_kernels)
native_kernels: Any = None      # set by the native tier: (op, TensorType) -> what `find_kernels` gives, or None
first_plan: list[Callable[[], None]] = []       # what waits for the first op to run


def find_kernels(op: Op, t: TensorType) -> tuple:
    """(kernel of the tensors alone, kernel with parameters, ufunc usable in place or None) on ``t``'s device."""
    for provider in kernel_providers[t.device.type]:
        found = provider(op, t)
        if found is not None:
            return (*found, None)
    while first_plan:
        first_plan.pop()()
    if native_kernels is not None and t.device.type == "cpu" and (found := native_kernels(op, t)) is not None:
        return found
    if t.device.type != "cpu":
        raise NotImplementedError(f"flowtorch has no kernel for '{op.name}' on device '{t.device.type}' "
                                  f"(dtype {t.dtype!r}); move the tensors with .cpu()")
    fast = op.ufunc or op.body
    full = op.body if op.params or op.ufunc is None else op.ufunc
    if t.dtype in LOW_PRECISION and op.low != "keep":
        out = None if op.promote in ("bool", "int64") else {
            "real": t.dtype.to_real, "float_real": t.dtype.to_real, "complex": t.dtype.to_complex,
        }.get(op.promote, lambda: t.dtype)().numpy
        return rounding(fast, out), rounding(full, out), None
    return fast, full, op.ufunc


def rounding(f: Callable, out: Any) -> Callable:
    """A kernel for low-precision arrays: compute in float32, round the result once."""
    def kernel(*arrays: Any, **params: Any) -> Any:
        c = f(*[a if a is None or a.dtype.kind == "b" or a.dtype is _SINGLE else astype(a, _widened(a.dtype))
                for a in arrays], **params)
        return c if out is None else astype(np.asarray(c), out)
    return kernel


def _widened(d: np.dtype) -> np.dtype:
    """The type of single precision, complex where ``d`` is."""
    return _COMPLEX_SINGLE if d.kind == "c" or d.name == "complex32" else _SINGLE


def casting(f: Callable, to: np.dtype) -> Callable:
    """A kernel that first converts its arrays: integers into ops that give floats."""
    def kernel(*arrays: Any, **params: Any) -> Any:
        return f(*[None if a is None else astype(a, to) for a in arrays], **params)
    return kernel


# ---------------------------------------------------------------- general ops

class General(Family):
    """Any other op: inputs are not promoted; low precision is computed in float32 and rounded once."""

    name = "op"

    def compute(self, op: Op, values: list) -> Any:
        arrays = list(values)
        low = source = None
        for i in op.tensor_index:
            v = values[i]
            if isinstance(v, Tensor):
                arrays[i] = v._array
                source = v if source is None else source
                if v._type.dtype in LOW_PRECISION and op.low == "upcast":
                    low = low or v._type.dtype
            elif isinstance(v, (list, tuple)):
                arrays[i] = [self.element(op, i, t, k)._array for k, t in enumerate(v)]
                source = (v[0] if v else None) if source is None else source
                for t in v:
                    if t._type.dtype in LOW_PRECISION and op.low == "upcast":
                        low = low or t._type.dtype
            elif v is not None:
                raise TypeError(f"{op.name}(): argument '{op.names[i]}' (position {i + 1}) must be Tensor, "
                                f"not {type(v).__name__}")
            elif op.names[i] not in op.defaults:
                raise TypeError(f"{op.name}(): argument '{op.names[i]}' (position {i + 1}) must be Tensor, "
                                "not NoneType")
        device = common_device(op.name, dispatch.flat_inputs(op, values)) if source is not None else None
        if source is not None and op.rejects:
            refuse(op, source._type.dtype)
        kernel = op.body
        if device is not None and device.type != "cpu":
            kernel = find_kernels(op, source._type)[1]              # type: ignore[union-attr]
            low = None                                              # device kernels widen what they load
        if low is not None:
            arrays = [self.upcast(a) for a in arrays]
        n = op.positional
        result = kernel(*arrays[:n], **dict(zip(op.names[n:], arrays[n:], strict=True)))
        if low is not None and "dtype" in op.params and values[op.names.index("dtype")] is not None:
            low = None                                              # the kernel has given what was asked for
        if type(self) is General and source is values[0] and source._type.simple:
            op.plans[source._type] = True                               # the fast path may take over
        return self.wrap_results(op, result, low, device)

    @staticmethod
    def element(op: Op, i: int, t: Any, k: int) -> Tensor:
        if not isinstance(t, Tensor):
            raise TypeError(f"{op.name}(): expected Tensor as element {k} in argument {i}, but got {type(t).__name__}")
        return t

    @staticmethod
    def upcast(a: Any) -> Any:
        if isinstance(a, list):
            return [General.upcast(x) for x in a]
        if isinstance(a, np.ndarray) and (a.dtype == np.float16 or a.dtype.kind == "V"
                                          or a.dtype.name in ("bfloat16", "complex32")):
            return astype(a, _widened(a.dtype))
        return a

    @staticmethod
    def wrap_results(op: Op, result: Any, low: Any, device: Any) -> Any:
        def one(a: Any) -> Tensor:
            if type(a) is not np.ndarray and (device is None or device.type == "cpu"):
                a = np.asarray(a)
            if low is not None and a.dtype == np.float32:
                a = astype(a, low.to_real().numpy)
            elif low is not None and a.dtype == np.complex64:
                a = astype(a, low.to_complex().numpy)
            if device is None or device.type == "cpu":
                return wrap(a)
            return wrap(a, tensor_type(dtypes.from_numpy_dtype(a.dtype), device))
        if isinstance(result, (tuple, list)):
            results = [one(a) for a in result]
            return return_type(op)(results) if op.outputs else tuple(results)
        return one(result)

    def fast(self, op: Op) -> Callable:
        from flowtorch.ops import fast_general

        return fast_general.closure(op)


def return_type(op: Op) -> Any:
    """The named tuple that PyTorch returns for ops with named outputs (``torch.return_types.max``)."""
    return named_result(op.name, op.outputs or ())


_named: dict[str, Any] = {}


def named_result(name: str, fields: tuple[str, ...]) -> Any:
    """A tuple class with named fields that takes one iterable, printed as ``torch.return_types.name(...)``."""
    key = f"{name}{fields}"
    cls = _named.get(key)
    if cls is None:
        def show(self: Any) -> str:
            lines = ",\n".join(f"{n}={v!r}" for n, v in zip(fields, self, strict=True))
            return f"torch.return_types.{name}(\n{lines})"
        body: dict = {n: property(operator.itemgetter(i)) for i, n in enumerate(fields)}
        body.update(
            __slots__=(),
            __repr__=show,
            _fields=fields,
            n_fields=len(fields),
            n_sequence_fields=len(fields),
            n_unnamed_fields=0,
            __module__="torch.return_types",
            __new__=_structured,
            __reduce__=_taken_apart,
        )
        cls = _named[key] = type(name, (tuple,), body)
    return cls


def _structured(cls: Any, sequence: Any, dict: Any = None) -> Any:
    return tuple.__new__(cls, sequence)


def _taken_apart(result: Any) -> tuple:
    if sys.modules.get("torch") is sys.modules["flowtorch"]:
        return type(result), (tuple(result), {})         # as PyTorch's, which can read it; its name leads here too
    return _rebuild_named, (type(result).__name__, result._fields, tuple(result))


def _rebuild_named(name: str, fields: tuple, items: tuple) -> Any:
    return named_result(name, fields)(items)


# ---------------------------------------------------------------- reductions

class Reduction(General):
    """Ops that reduce dimensions: ``dim`` names them (None: all), and with ``keepdim`` they stay with size 1."""

    name = "reduction"

    def compute(self, op: Op, values: list) -> Any:
        result = super().compute(op, values)
        t = values[0]._type
        if isinstance(result, Tensor) and t.device.type == "cpu":
            result._array = in_rows(result._array)
        if t.plain and not t.inference and t.dtype not in LOW_PRECISION and isinstance(result, Tensor) and (
                t.device.type == "cpu" and all(v is op.defaults[n] for n, v in zip(op.names, values, strict=True)
                                               if n not in ("input", "dim", "keepdim"))):
            op.plans[t] = result._type
        return result

    def fast(self, op: Op) -> Callable:
        if op.names[:3] != ("input", "dim", "keepdim") or op.defaults.get("dim", 0) not in (None, ()):
            return dispatch.general(op)
        return _fast_reduction(op)


def _fast_reduction(op: Op) -> Callable:
    """The public function of reductions such as ``sum``, for plain tensors: one call of the body between two checks."""
    from flowtorch.ops import fast_general

    body, node_class, plans, differentiable = op.body, op.node_class, op.plans, op.differentiable
    new: Any = object.__new__
    active, simple = dispatch.active, op.joint is None and not op.wants_out and not any(op.savers)

    default = op.defaults["dim"]
    rest = tuple(op.defaults[n] for n in op.names[3:])

    def call(input: Any, dim: Any = default, keepdim: Any = False, *, out: Any = None, **options: Any) -> Any:
        if active or out is not None or options:
            if options:
                options = pytorch_names(options, op.names)
                dim, keepdim = options.pop("dim", dim), options.pop("keepdim", keepdim)
            return interpret(op, (input, dim, keepdim), {"out": out, **options})
        try:
            out_type = plans[input._type]
            a = input._array
            c = body(a, dim, keepdim)
            if type(c) is not np.ndarray:
                c = np.asarray(c)
            elif c.ndim > 3 or (c.ndim > 1 and not c.flags.c_contiguous):
                c = in_rows(c)
            t = new(Tensor)
            t._array = c
            t._type = out_type
            t._requires_grad = False
            t._node = None
            t._grad = None
            t._counter = 0
            t._view = None
            if (input._requires_grad or input._view is not None) and differentiable and grad_enabled():
                e = dispatch.edge(input)
                if e is not None and out_type.dtype.rank >= 2:
                    if simple:
                        n = node_class()
                        n.seq = dispatch.next_seq()
                        n.edges = (e,)
                        n.hooks = None
                        n.saved = ()
                        n.shape = c.shape
                        n.type = out_type
                        n.shapes = ((a.shape, input._type.dtype),)
                        n.params = (dim, keepdim)
                        t._node = n
                        t._requires_grad = True
                    else:
                        (op.recorder or fast_general.compile_recorder(op))(t, input, dim, keepdim, *rest)
            return t
        except Exception:  # the complete path does it again, and says what is wrong
            return interpret(op, (input, dim, keepdim), {})

    dispatch.name_function(call, op)
    dispatch.attach_signature(call, op)
    return calls.general(op, call)


# ---------------------------------------------------------------- views

class NeedsCopy(Exception):
    """Raised by the body of ``reshape``: no view of this memory has the shape (given as the argument)."""


class Views(Family):
    """Ops that give memory another shape: no kernel, a shared version, a history that survives in-place ops."""

    name = "view"

    def compute(self, op: Op, values: list) -> Any:
        input = values[0]
        if not isinstance(input, Tensor):
            raise TypeError(f"{op.name}(): argument 'input' (position 1) must be Tensor, not {type(input).__name__}")
        n = op.positional
        try:
            result = op.body(input._array, *values[1:n], **dict(zip(op.names[n:], values[n:], strict=True)))
        except NeedsCopy as needed:
            t = input._type
            if t.device.type == "meta":
                from flowtorch.array.meta import meta_array

                return wrap(meta_array(needed.args[0], t.numpy), tensor_type(t.dtype, t.device, True, t.inference))
            copy = contiguous(input._array).reshape(needed.args[0])
            return wrap(copy, tensor_type(t.dtype, t.device, True, t.inference))
        args = tuple(values[1:])
        if isinstance(result, (list, tuple)):
            return tuple(self.view(op, input, a, ((lambda t, *p, k=k: op.public(t, *p)[k]), args), "multi_output")
                         for k, a in enumerate(result))
        return self.view(op, input, result, (op.public, args), None)

    @staticmethod
    def view(op: Op, input: Tensor, array: np.ndarray, step: tuple, origin: str | None) -> Tensor:
        t = input._type
        if array.dtype is not input._array.dtype and array.dtype != input._array.dtype:
            t = t.with_dtype(dtypes.from_numpy_dtype(array.dtype))
        if not t.plain or t.inference:
            t = tensor_type(t.dtype, t.device, True, t.inference)
        out = wrap(array, t)
        if not grad_mode.enabled:
            origin = "inference" if grad_mode.inference else "no_grad"
        make_view(input, out, step, origin)
        return out

    def fast(self, op: Op) -> Callable:
        from flowtorch.ops import fast_views

        return fast_views.closure(op)


pointwise_family, general_family, reduction_family, view_family = Pointwise(), General(), Reduction(), Views()


# ---------------------------------------------------------------- decorators

def _decorator(family: Family, **fixed: Any) -> Callable:
    def decorate(body: Callable | None = None, **options: Any) -> Any:
        def define(body: Callable) -> Callable:
            name = options.pop("name", None) or body.__name__.rstrip("_")
            op = Op(name, family, body, **{**fixed, **options})
            public: Any = family.fast(op)
            op.public = public
            if op.inplace:
                op.public_inplace = dispatch.inplace(op) if family is pointwise_family else inplace_general(op)   # type: ignore[attr-defined]
            public.derivative, public.jvp = op.derivative, op.jvp
            return public
        return define if body is None else define(body)
    return decorate


def inplace_general(op: Op) -> Callable:
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return dispatch.interpret_inplace(op, (input, *args), kwargs)
    dispatch.name_function(call, op, op.name + "_")
    return call


_pointwise = _decorator(pointwise_family, inplace=True)


def pointwise(body: Callable | None = None, *, numpy: Any = None, **options: Any) -> Any:
    """Define a pointwise op.

    ``numpy``    the ufunc that computes it; then the body is only the documentation (and the kernel with parameters)
    ``expr``     the scalar expression, e.g. ``"input * other"``
    ``vjp``      one function per tensor input (None: not differentiable in it), see ``Op``
    ``promote``  dtype of the result: "same" as the operands', "float" (integers give the default float), "bool",
    "number" (bools give int64),
                 "real" (the real type of a complex), "int64"
    ``rejects``  kinds of dtype that PyTorch refuses: "bool", "complex", "float", "integer", "inexact", or names
    """
    return _pointwise(body, ufunc=numpy, **options)


op = _decorator(general_family)
op.__doc__ = "Define an op with its own kernel; see ``Op`` for the options."
reduction = _decorator(reduction_family, tensors=("input",))
view = _decorator(view_family, out=False, linear=True, tensors=("input",))


def normalize_dim(dim: Any, ndim: int) -> int:
    """``dim`` counted from the front. IndexError, in PyTorch's words, if it is out of range."""
    if type(dim) is not int:
        if isinstance(dim, bool) or not hasattr(dim, "__index__"):
            raise TypeError(f"argument 'dim' must be int, not {type(dim).__name__}")
        dim = dim.__index__()
    limit = ndim or 1
    if not -limit <= dim < limit:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-limit}, {limit - 1}], but got {dim})")
    return dim + limit if dim < 0 else dim


def normalize_dims(dim: Any, ndim: int) -> tuple[int, ...]:
    """The dimensions as a tuple, counted from the front. None and () mean all; RuntimeError for one named twice."""
    if dim is None:
        return tuple(range(ndim))
    if ndim == 0:
        for d in dim if isinstance(dim, (tuple, list)) else (dim,):
            normalize_dim(d, 0)
        return ()
    if isinstance(dim, (tuple, list)):
        dims = tuple(normalize_dim(d, ndim) for d in dim)
        if len(set(dims)) != len(dims):
            twice = next(d for d in dims if dims.count(d) > 1)
            raise RuntimeError(f"dim {twice} appears multiple times in the list of dims")
        return dims if dims or ndim == 0 else tuple(range(ndim))
    return (normalize_dim(dim, ndim),)


__all__ = ["General", "Pointwise", "Reduction", "Views", "can_cast", "common_device", "convert_array", "named_result",
           "normalize_dim", "normalize_dims", "op", "pointwise", "reduction", "result_dtype", "view"]
