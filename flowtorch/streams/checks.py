"""What PyTorch calls a dtype in its messages, and the range checks the streams share."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

_SCALAR_NAMES = {
    "float64": "Double", "float32": "Float", "float16": "Half", "bfloat16": "BFloat16",
    "complex64": "ComplexFloat", "complex128": "ComplexDouble", "bool": "Bool",
    "int64": "Long", "int32": "Int", "int16": "Short", "int8": "Char",
    "uint8": "Byte", "uint16": "UInt16", "uint32": "UInt32", "uint64": "UInt64",
    "float8_e4m3fn": "Float8_e4m3fn", "float8_e4m3fnuz": "Float8_e4m3fnuz",
    "float8_e5m2": "Float8_e5m2", "float8_e5m2fnuz": "Float8_e5m2fnuz",
}  # fmt: skip
_CPP_NAMES = {
    "float64": "double", "float32": "float", "float16": "c10::Half", "bfloat16": "c10::BFloat16",
    "complex64": "c10::complex<float>", "complex128": "c10::complex<double>", "bool": "bool",
    "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char",
    "uint8": "unsigned char", "uint16": "short unsigned int", "uint32": "unsigned int",
    "uint64": "long unsigned int",
}  # fmt: skip
# Digits of the significand, the hidden one included.
DIGITS = {"float64": 53, "float32": 24, "float16": 11, "bfloat16": 8}
LARGEST: dict[str, float] = {
    "float64": float(np.finfo("f8").max),
    "float32": float(np.finfo("f4").max),
    "float16": 65504.0,
    "bfloat16": 3.3895313892515355e38,
}


_names: dict[np.dtype, str] = {}


def name_of(dtype: np.dtype) -> str:
    """``dtype.name``, which numpy takes some time to put together."""
    try:
        return _names[dtype]
    except KeyError:
        return _names.setdefault(dtype, dtype.name)


def is_low_precision(dtype: np.dtype) -> bool:
    """Whether ``dtype`` is float16 or bfloat16, which draw as float32 and round once."""
    return dtype.itemsize == 2 and name_of(dtype) in ("float16", "bfloat16")


def through_float32(values: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Round float64 numbers bound for half precision to float32 first, as PyTorch's casts do."""
    return values.astype(np.float32) if is_low_precision(dtype) else values


def scalar_name(dtype: np.dtype) -> str:
    """PyTorch's name of a dtype in the messages of its dispatcher: Float, Long, ..."""
    return _SCALAR_NAMES.get(name_of(dtype), dtype.name)


def cpp_name(dtype: np.dtype) -> str:
    """PyTorch's name of a dtype where it prints the C++ type."""
    return _CPP_NAMES.get(name_of(dtype), dtype.name)


def not_implemented(kernel: str, dtype: np.dtype) -> NotImplementedError:
    """The error of a kernel that has no code for a dtype."""
    return NotImplementedError(f"\"{kernel}\" not implemented for '{scalar_name(dtype)}'")


def show(value: float) -> str:
    """Write a number as C++ streams do, in six digits."""
    return f"{value:g}"


def check_bounds(dtype: np.dtype, bounds: Iterable[tuple[str, float]]) -> None:
    """Hold named numbers to the finite range of ``dtype``."""
    limit = LARGEST[name_of(dtype)]
    for name, value in bounds:
        if not -limit <= value <= limit:
            raise RuntimeError(f"{name} is out of bounds for {cpp_name(dtype)}")
