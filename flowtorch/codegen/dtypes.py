"""Dtype names as the code generator sees them: categories, promotion and the type arithmetic is done in.

A dtype is its numpy-style name ("float32", "bool", ...), so that this package can be used and tested without
tensors.
"""

from __future__ import annotations

SIGNED = ("int8", "int16", "int32", "int64")
UNSIGNED = ("uint8", "uint16", "uint32", "uint64")
FLOATING = (
    "float8_e4m3fn",
    "float8_e4m3fnuz",
    "float8_e5m2",
    "float8_e5m2fnuz",
    "float8_e8m0fnu",
    "float16",
    "bfloat16",
    "float32",
    "float64",
)
COMPLEX = ("complex64", "complex128")

CATEGORY: dict[str, str] = {
    "bool": "b",
    **dict.fromkeys(SIGNED + UNSIGNED, "i"),
    **dict.fromkeys(FLOATING, "f"),
    **dict.fromkeys(COMPLEX, "c"),
}
"""The category letter of each dtype: b(ool), i(nteger), f(loat) or c(omplex)."""

BITS: dict[str, int] = {
    "bool": 8,
    **{name: int(name.removeprefix("u").removeprefix("int")) for name in SIGNED + UNSIGNED},
    **{name: 8 if name.startswith("float8") else 16 if name.endswith("16") else int(name[5:]) for name in FLOATING},
    "complex64": 64,
    "complex128": 128,
}
"""Bits that one stored element takes."""

_LOW_PRECISION = frozenset(FLOATING) - {"float32", "float64"}
_RANK = {"b": 0, "i": 1, "f": 2, "c": 3}


def compute_type(dtype: str) -> str:
    """The type arithmetic on `dtype` is done in: float32 for 8- and 16-bit floats, else itself."""
    return "float32" if dtype in _LOW_PRECISION else dtype


def real_type(dtype: str) -> str:
    """The type of the real and imaginary parts of `dtype`."""
    return {"complex64": "float32", "complex128": "float64"}.get(dtype, dtype)


def promote(left: str, right: str) -> str:
    """The dtype two tensors of dtypes `left` and `right` are brought to before arithmetic."""
    if left == right:
        return left
    low, high = sorted((left, right), key=lambda name: (_RANK[CATEGORY[name]], BITS[name]))
    if CATEGORY[low] != CATEGORY[high]:
        if CATEGORY[high] == "c" and low == "float64":
            return "complex128"
        return high
    if CATEGORY[high] == "i":
        return _promote_integers(low, high)
    if BITS[low] == BITS[high]:  # two different low-precision floats have no common type of their own width
        return "float32"
    return high


def _promote_integers(low: str, high: str) -> str:
    if low.startswith("u") == high.startswith("u"):
        return high
    unsigned, signed = (low, high) if low.startswith("u") else (high, low)
    if BITS[signed] > BITS[unsigned]:
        return signed
    return f"int{min(2 * BITS[unsigned], 64)}"


def promote_scalar(dtype: str, value: bool | int | float | complex, default: str = "float32") -> str:
    """The dtype of an expression of `dtype` and a Python number: the number only ever raises the category."""
    category = "b" if isinstance(value, bool) else {int: "i", float: "f", complex: "c"}[type(value)]
    if _RANK[category] <= _RANK[CATEGORY[dtype]]:
        return dtype
    return scalar_type(value, default) if category != "c" else _complex_of(dtype, default)


def scalar_type(value: bool | int | float | complex, default: str = "float32") -> str:
    """The dtype a Python number has where nothing else decides."""
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int64"
    return default if isinstance(value, float) else _complex_of(default, default)


def _complex_of(dtype: str, default: str) -> str:
    base = dtype if CATEGORY[dtype] == "f" else default
    return "complex128" if base == "float64" else "complex64"
