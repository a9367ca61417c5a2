"""Explaining failures: after an op failed, say in PyTorch's words and types what was wrong with its operands."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch.tensor import Tensor

_C_NAMES = {
    "float64": "double", "float16": "c10::Half", "bfloat16": "c10::BFloat16", "complex64": "c10::complex<float>",
    "complex128": "c10::complex<double>", "int64": "long int", "int32": "int", "int16": "short int",
    "int8": "signed char", "uint8": "unsigned char", "float32": "float",
}


def c_name(dtype: Any) -> str:
    """The name of the C type of a dtype, as some of PyTorch's messages give it."""
    return _C_NAMES.get(dtype.name, dtype.name)


_MANY = 4               # of a list of tensors, this many are described


def _described(value: Any) -> str | None:
    """A tensor's dtype and shape, or a plain value as it is written; None for what would not help."""
    if isinstance(value, Tensor):
        place = "" if value.device.type == "cpu" else f" on {value.device}"
        return f"{value.dtype.name}{list(value.shape)}{place}"
    if isinstance(value, (list, tuple)) and any(isinstance(t, Tensor) for t in value):
        more = ", ..." if len(value) > _MANY else ""
        return f"[{', '.join(_described(t) or 'None' for t in value[:_MANY])}{more}]"
    return repr(value) if isinstance(value, (int, float, complex, str, tuple)) else None


def describe(op: Any, values: list) -> str:
    """The end of a message: the op, and dtype and shape of what it was called with; defaults are left out."""
    parts = [f"{name} {text}" for name, v in zip(op.names, values, strict=False)
             if (isinstance(v, Tensor) or v is not op.defaults.get(name, op)) and (text := _described(v)) is not None]
    return f" ({op.name.strip('_')}: {', '.join(parts)})" if parts else ""


def broadcast_error(shapes: list[tuple]) -> str | None:
    """PyTorch's sentence for shapes that do not broadcast, or None if they do."""
    result: tuple = ()
    for shape in shapes:
        n = max(len(result), len(shape))
        a = (1,) * (n - len(result)) + result
        b = (1,) * (n - len(shape)) + tuple(shape)
        for d in range(n - 1, -1, -1):
            if a[d] != b[d] and a[d] != 1 and b[d] != 1:
                return (f"The size of tensor a ({a[d]}) must match the size of tensor b ({b[d]}) at non-singleton "
                        f"dimension {d}")
        result = tuple(y if x == 1 else x for x, y in zip(a, b, strict=True))
    return None


def explain(op: Any, values: list, error: Exception) -> Exception:
    """The exception to raise for ``error``, which a kernel of ``op`` raised on ``values``."""
    text = str(error)
    operands = describe(op, values)
    if isinstance(error, ValueError) and ("could not be broadcast" in text or "shape mismatch" in text):
        shapes = [v._array.shape for v in values if isinstance(v, Tensor)]
        sentence = broadcast_error(shapes)
        if sentence is not None:
            return RuntimeError(sentence + operands)
    if isinstance(error, NotImplementedError) and op.family.name == "pointwise":     # the shapes are asked first
        sentence = broadcast_error([v._array.shape for v in values if isinstance(v, Tensor)])
        return error if sentence is None else RuntimeError(sentence + operands)
    if isinstance(error, (ValueError, TypeError)) and not isinstance(error, NotImplementedError):
        for name, v in zip(op.names, values, strict=True):
            if isinstance(v, str) and not isinstance(op.defaults.get(name, 0), (str, type(None))):
                return TypeError(f"{op.name.strip('_')}(): argument '{name}' must be "
                                 f"{'Tensor' if name in op.tensors else 'Number'}, not str")
    if type(error).__name__ == "CompileError":          # of a Triton kernel, which it names
        return RuntimeError(f"{op.name}: {text}{operands}")
    if type(error).__name__ in ("AcceleratorError", "CUDARuntimeError", "OutOfMemoryError"):
        from flowtorch.cuda.errors import translated

        return translated(error, operands)
    if isinstance(error, AttributeError) and error.name == "__index__":
        return TypeError(f"{op.name}(): an argument must be int, not {type(error.obj).__name__}")
    if isinstance(error, ValueError) and "Integers to negative integer powers" in text:
        return RuntimeError("Integers to negative integer powers are not allowed.")
    if isinstance(error, np.exceptions.AxisError):
        n = error.ndim or 1
        return IndexError(f"Dimension out of range (expected to be in range of [{-n}, {n - 1}], but got {error.axis})")
    if isinstance(error, MemoryError) and not isinstance(error, np.linalg.LinAlgError):
        return RuntimeError(f"[enforce fail] not enough memory: {text}{operands}")
    if type(error) is TypeError and "ufunc" in text:
        kinds = [v._type.dtype.label for v in values if isinstance(v, Tensor)]
        return RuntimeError(f"\"{op.name}_cpu\" not implemented for '{kinds[0] if kinds else '?'}'{operands}")
    if type(error) is ValueError:
        return RuntimeError(f"{op.name}(): {text}{operands}")
    if type(error) is TypeError and text.startswith("argument '"):
        return TypeError(f"{op.name.strip('_')}(): {text}")
    if type(error) in (RuntimeError, IndexError, NotImplementedError) and operands not in text:
        return type(error)(text + operands).with_traceback(error.__traceback__)
    return error
