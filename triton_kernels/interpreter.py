"""Triton's CPU interpreter on host memory: kernels launched on plain addresses, and repairs.

Active only when TRITON_INTERPRET=1 was set before triton was first imported. The repairs hold for triton 3.6
to 3.9: bfloat16 arithmetic and rounding, NaN handling of minnum and maxnum, typed scalars, libdevice
functions, loops with a run-time bound under numpy 2.4, and combine functions applied to whole blocks instead
of element by element.
"""

from __future__ import annotations

import math
import types

import triton.language as tl
import triton.runtime.interpreter as interpreter
from triton.language.extra import libdevice

np = interpreter.np
Builder = interpreter.InterpreterBuilder
Handle = interpreter.TensorHandle


class Address:
    """A kernel's pointer argument: an address on the host and the name of the dtype it points to."""

    __slots__ = ("address", "dtype")

    def __init__(self, address: int, dtype: str):
        self.address, self.dtype = address, dtype

    def data_ptr(self) -> int:
        return self.address

    # The interpreter copies a tensor's storage to the host and back; this memory is there already.
    def untyped_storage(self) -> Address:
        return self

    def cpu(self) -> Address:
        return self

    def copy_(self, other: Address) -> None:
        pass

    def new_empty(self, *args, **kwargs) -> Address:
        return self

    def set_(self, *args) -> Address:
        return self

    def storage_offset(self) -> int:
        return 0

    def size(self) -> tuple[int, ...]:
        return ()

    stride = size


def launch(kernel, grid: tuple[int, ...], arguments: tuple) -> None:
    """Run every program of `grid`, one after another."""
    typed: list = []
    for value, kind in zip(arguments, kernel.signature.values(), strict=True):
        if kind.startswith("*"):
            typed.append(Address(value, _DTYPE[kind[1:]]))
        elif kind.startswith(("fp", "bf")):
            typed.append(_Scalar(value, kind))
        else:
            typed.append(int(value))
    with np.errstate(all="ignore"):
        kernel.function[grid](*typed, **kernel.constants)


_DTYPE = {
    "i1": "bool", "fp16": "float16", "bf16": "bfloat16", "fp32": "float32", "fp64": "float64",
    **{f"i{bits}": f"int{bits}" for bits in (8, 16, 32, 64)},
    **{f"u{bits}": f"uint{bits}" for bits in (8, 16, 32, 64)},
}  # fmt: skip


class _Scalar:
    """A floating scalar of a declared type; the interpreter would type a Python float by its value."""

    tensor: tl.tensor

    def __init__(self, value: float, kind: str):
        self.tensor = tl.tensor(Handle(np.array([value], _DTYPE[kind]), _TYPES[kind]), _TYPES[kind])


_TYPES = {"fp32": tl.float32, "fp64": tl.float64}
_convert_argument = interpreter._implicit_cvt
interpreter._implicit_cvt = lambda arg: arg.tensor if isinstance(arg, _Scalar) else _convert_argument(arg)


def _is_bfloat16(dtype) -> bool:
    return dtype.scalar == tl.bfloat16


def _widen(handle):
    """A handle's data with bfloat16, which the interpreter keeps as bit patterns, as float32."""
    bits = _is_bfloat16(handle.dtype) and handle.data.dtype == np.uint16
    return (handle.data.astype(np.uint32) << 16).view(np.float32) if bits else handle.data


def _narrow(data):
    """bfloat16 bit patterns, rounded to nearest even."""
    single = np.ascontiguousarray(data, np.float32).reshape(np.shape(data))
    bits = single.view(np.uint32)
    rounded = (bits + (0x7FFF + ((bits >> 16) & 1)).astype(np.uint32)) >> 16
    return np.where(np.isnan(single), (bits >> 16) | 0x40, rounded).astype(np.uint16)


def _cast(self, source, wanted):
    if _is_bfloat16(wanted):
        data = source.data if _is_bfloat16(source.dtype) else _narrow(_widen(source))
    else:
        data = _widen(source).astype(interpreter._get_np_dtype(wanted))
    return Handle(data, wanted.scalar)


def _through_float32(original):
    """An arithmetic method of the builder, computing on bfloat16 operands in float32 and rounding."""

    def method(self, *handles_and_function):
        *handles, function = handles_and_function
        if not any(isinstance(handle, Handle) and _is_bfloat16(handle.dtype) for handle in handles):
            found = original(self, *handles, function)
            # a comparison of scalars would be spread over a block as the numbers that were compared
            return Handle(found.data, tl.int1) if found.data.dtype == bool else found
        result = function(*map(_widen, handles))
        if result.dtype == np.float32:
            return Handle(_narrow(result), tl.bfloat16)
        return Handle(result, handles[0].dtype.scalar)

    return method


def _repair_arithmetic() -> None:
    Builder.cast_impl = _cast
    for name in ("binary_op", "unary_op", "ternary_op"):
        setattr(Builder, name, _through_float32(getattr(Builder, name)))
    # minnum and maxnum return the number where one operand is NaN; the interpreter has them propagate it
    Builder.create_minnumf = lambda self, left, right: self.binary_op(left, right, np.fmin)
    Builder.create_maxnumf = lambda self, left, right: self.binary_op(left, right, np.fmax)
    # all bits set: -1 does not go into an unsigned array under numpy 2
    Builder.get_all_ones_value = lambda self, kind: Handle(~np.zeros(1, interpreter._get_np_dtype(kind)), kind.scalar)
    dot = Builder.create_dot

    def create_dot(self, left, right, *rest):
        wide = [Handle(_widen(h), tl.float32) if _is_bfloat16(h.dtype) else h for h in (left, right)]
        return dot(self, *wide, *rest)

    Builder.create_dot = create_dot
    # checking integer overflow triples the cost of every addition
    interpreter.interpreter_builder.options = interpreter.InterpreterOptions(sanitize_overflow=False)


def _repair_language() -> None:
    patch_tensor = interpreter._patch_lang_tensor

    def patch_lang_tensor(tensor, scope) -> None:
        patch_tensor(tensor, scope)
        scope.set_attr(tensor, "__index__", lambda self: int(self.handle.data.item()))

    interpreter._patch_lang_tensor = patch_lang_tensor
    # Patching triton.language costs milliseconds per launch and per helper call: patch it once, for good.
    patch = interpreter._patch_lang
    patch(types.FunctionType((lambda: 0).__code__, {"tl": tl, "core": tl.core}))
    unpatched = types.SimpleNamespace(restore=lambda: None)
    interpreter._patch_lang = lambda function: unpatched


def _reduce_blockwise(self, inputs):
    """Reduce with any combine function by folding halves of the axis: log2(n) calls on whole blocks."""
    axis = self.axis
    data = [np.moveaxis(arg.handle.data, axis, 0) if axis is not None else arg.handle.data.ravel() for arg in inputs]
    while len(data[0]) > 1:
        half = len(data[0]) // 2
        left = [self.to_tensor(part[:half], arg.dtype) for part, arg in zip(data, inputs, strict=True)]
        right = [self.to_tensor(part[half:], arg.dtype) for part, arg in zip(data, inputs, strict=True)]
        combined = self.combine_fn.fn(*left, *right)
        data = [part.handle.data for part in (combined if isinstance(combined, tuple) else (combined,))]
    results = []
    for part, arg in zip(data, inputs, strict=True):
        value = part[0]
        if self.keep_dims:
            value = np.expand_dims(value, axis if axis is not None else tuple(range(arg.handle.data.ndim)))
        results.append(self.to_tensor(value if np.ndim(value) else value.item(), arg.dtype))
    return results


def _repair_reductions() -> None:
    interpreter.ReduceOps.generic_reduce = _reduce_blockwise
    plain_sum = interpreter.ReduceOps.sum

    def sum_of(self, input):
        if not _is_bfloat16(input.dtype):
            return plain_sum(self, input)
        total = np.sum(_widen(input.handle), axis=self.axis, keepdims=self.keep_dims, dtype=np.float32)
        return self.to_tensor(_narrow(total) if np.ndim(total) else _narrow(total)[()], input.dtype)

    interpreter.ReduceOps.sum = sum_of


def _scan_blockwise(self, inputs):
    """Scan with any combine function by doubling steps: log2(n) calls on whole blocks."""
    data = [np.moveaxis(arg.handle.data, self.axis, 0).copy() for arg in inputs]
    step = 1
    while step < len(data[0]):
        # whole blocks, since shapes must be powers of two; the first `step` results are not used
        earlier = [np.concatenate([part[:step], part[:-step]]) for part in data]
        left = [self.to_tensor(part, arg.dtype) for part, arg in zip(earlier, inputs, strict=True)]
        right = [self.to_tensor(part, arg.dtype) for part, arg in zip(data, inputs, strict=True)]
        combined = self.combine_fn.fn(*left, *right)
        later = [part.handle.data for part in (combined if isinstance(combined, tuple) else (combined,))]
        data = [np.concatenate([part[:step], new[step:]]) for part, new in zip(data, later, strict=True)]
        step *= 2
    return [self.to_tensor(np.moveaxis(part, 0, self.axis), arg.dtype) for part, arg in zip(data, inputs, strict=True)]


def _repair_scans() -> None:
    interpreter.ScanOps.generic_scan = _scan_blockwise


def _erfinv(y: float) -> float:
    """The inverse of math.erf, by Newton's method from a rational start."""
    if not abs(y) < 1:
        return math.copysign(math.inf, y) if abs(y) == 1 else math.nan
    log = math.log1p(-y * y)
    part = 2 / (math.pi * 0.147) + log / 2
    x = math.copysign(math.sqrt(math.sqrt(part * part - log / 0.147) - part), y)
    for _ in range(4):
        error = math.erf(x) - y
        if abs(x) >= 1:
            error = (1 - abs(y) - math.erfc(abs(x))) * math.copysign(1, y)
        x -= error / (2 / math.sqrt(math.pi) * math.exp(-x * x))
    return x


def give_body(name: str, function) -> None:
    """Let libdevice's function `name` compute `function` of numpy arrays: the interpreter cannot run device code."""

    def body(*args, _semantic=None):
        kind = args[0].handle.data.dtype
        result = np.asarray(function(*(arg.handle.data for arg in args))).astype(kind)
        widest = max(args, key=lambda arg: arg.handle.data.size)
        return tl.tensor(Handle(result, widest.handle.dtype), widest.type)

    setattr(libdevice, name, body)


def _give_libdevice_bodies() -> None:
    """Give each libdevice function that numpy or math has a body."""

    def by_element(function):
        def guarded(x: float) -> float:
            try:
                return function(x)
            except ValueError:  # a pole, or outside the domain
                return math.inf if function is math.lgamma else math.nan

        return np.vectorize(guarded, otypes=[np.float64])

    same = [
        "exp",
        "exp2",
        "expm1",
        "log",
        "log1p",
        "log2",
        "log10",
        "sin",
        "cos",
        "tan",
        "sinh",
        "cosh",
        "tanh",
        "trunc",
        "hypot",
        "copysign",
        "nextafter",
        "fmod",
    ]
    table = {name: getattr(np, name) for name in same}
    table |= {f"a{name}": getattr(np, f"arc{name}") for name in ("sin", "cos", "tan", "sinh", "cosh", "tanh", "tan2")}
    table |= {"pow": np.power, "nearbyint": np.rint, "rsqrt": lambda x: 1 / np.sqrt(x)}
    table |= {name: by_element(getattr(math, name)) for name in ("erf", "erfc", "lgamma")}
    table["erfinv"] = by_element(_erfinv)
    for name, function in table.items():
        give_body(name, function)


_repair_arithmetic()
_repair_language()
_repair_reductions()
_repair_scans()
_give_libdevice_bodies()
