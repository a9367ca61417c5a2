"""Samples of the functions that work element by element."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import ALL, Array, Maker, Named, Sample, samples


def unary(*names: str, low: float = -3.0, high: float = 3.0, **options: Any) -> None:
    """Functions of one tensor, with values in [low, high)."""

    @samples(*names, family="unary", dtypes=ALL, domain=(low, high), accuracy=True, **options)
    def _(make: Maker) -> Iterator[Sample]:
        yield make.call(make(3, 4))
        yield make.call(make())
        yield make.call(make(0, 3))


def binary(
    *names: str, numbers: tuple = (2, 0.5, True), second: tuple[float, float] | None = None, **options: Any
) -> None:
    """Functions of two tensors, the second of which may be a number; ``second``: its own domain."""
    low, high = second or (None, None)

    @samples(*names, **{"family": "binary", "dtypes": ALL, "domain": (-3.0, 3.0), "accuracy": True, **options})
    def _(make: Maker) -> Iterator[Sample]:
        yield make.call(make(3, 4), make(3, 4, low=low, high=high))
        yield make.call(make(3, 4), make(4, low=low, high=high))
        yield make.call(make(2, 1, 3), make(4, 1, low=low, high=high))
        yield make.call(make(), make(low=low, high=high))
        yield make.call(make(3), make(low=low, high=high))
        yield make.call(make(0, 3), make(3, low=low, high=high))
        for number in numbers:
            yield make.call(make(3), number)


def mixed(dtype: str) -> tuple[str, ...]:
    """The dtypes that are tried beside ``dtype`` for promotion."""
    return tuple(
        d
        for d in ("float32", "float64", "float16", "bfloat16", "complex64", "int64", "int8", "uint8", "bool")
        if d != dtype
    )


def special_values(dtype: str) -> list:
    """The values at which functions go wrong: zeros of both signs, infinities, nan, the ends of the range."""
    if dtype == "bool":
        return [False, True]
    if dtype.startswith("uint"):
        return [0, 1, 2, 255]
    if "int" in dtype:
        bits = int(dtype[3:])
        return [0, 1, -1, 2, -2, 7, 2 ** (bits - 1) - 1, -(2 ** (bits - 1))]
    largest, least = {
        "float64": (1.7e308, 5e-324),
        "float32": (3.4e38, 1e-45),
        "float16": (65504.0, 6e-8),
        "bfloat16": (3.38e38, 1e-40),
    }.get(dtype, (1e30, 1e-30))
    values = [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -0.5,
        2.5,
        -2.5,
        float("inf"),
        float("-inf"),
        float("nan"),
        least,
        -least,
        largest,
        -largest,
        1e-3,
        30.0,
        -30.0,
        100.0,
        -100.0,
    ]
    if "complex" in dtype:
        few = [0.0, -0.0, 1.0, -2.0, float("inf"), float("nan")]
        return [complex(a, b) for a in few for b in few]
    return values


def special_sample(sample: Sample, dtype: str) -> Sample:
    """The call with special values for its tensors: all pairs of them where there are two."""
    values, count = special_values(dtype), len(sample.arrays())
    if count > 1 and "int" in dtype:
        values = values[:-1]  # the least integer divided by -1 kills the reference
    n = len(values)
    seen: list[Array] = []

    def replace(a: Array) -> Array:
        seen.append(a)
        which = [
            values[i // n if len(seen) == 2 else (i if len(seen) == 1 else i * 7) % n]
            for i in range(n * n if count > 1 else n)
        ]
        return a.with_(values=which if a.dtype != "bool" else [bool(v) for v in which])

    return sample.map_arrays(replace)


# Domains keep away from poles and kinks, where rounding of the input decides; those have their own test.
unary(
    "exp",
    "expm1",
    "exp2",
    "tanh",
    "sigmoid",
    "sin",
    "cos",
    "sinh",
    "cosh",
    "atan",
    "asinh",
    "erf",
    "erfc",
    "sinc",
    "arctan",
    "arcsinh",
    "neg",
    "negative",
    "positive",
    "abs",
    "absolute",
    "sign",
    "sgn",
    "square",
    "relu",
    "conj_physical",
    "deg2rad",
    "rad2deg",
    "isnan",
    "isinf",
    "isfinite",
    "isposinf",
    "isneginf",
    "signbit",
    "isreal",
    "logical_not",
    "bitwise_not",
    "floor",
    "ceil",
    "trunc",
    "fix",
    "frac",
    "nan_to_num",
    "angle",
    "selu",
    "tan",
    "reciprocal",
)
unary("log", "log2", "log10", "sqrt", "rsqrt", "lgamma", "digamma", low=0.1, high=5.0)
unary("log1p", low=-0.9, high=4.0)
unary("asin", "acos", "atanh", "erfinv", "arcsin", "arccos", "arctanh", low=-0.95, high=0.95)
unary("acosh", "arccosh", low=1.05, high=6.0)
unary(
    "conj",
    "resolve_conj",
    "resolve_neg",
    "detach",
    "alias",
    "clone",
    "is_complex",
    "is_floating_point",
    "is_signed",
    "is_conj",
    "is_neg",
    "is_inference",
    "numel",
    "is_tensor",
    "celu",
    "Tensor.contiguous",
    "Tensor.__pos__",
)

binary(
    "add",
    "sub",
    "subtract",
    "mul",
    "multiply",
    "eq",
    "ne",
    "lt",
    "le",
    "gt",
    "ge",
    "not_equal",
    "less",
    "less_equal",
    "greater",
    "greater_equal",
)
binary("div", "divide", "true_divide", "floor_divide", "remainder", "fmod", second=(0.3, 3.0))
binary(
    "maximum",
    "minimum",
    "fmax",
    "fmin",
    "atan2",
    "arctan2",
    "hypot",
    "logaddexp",
    "logaddexp2",
    "nextafter",
    numbers=(),
)
binary("xlogy", "copysign", second=(0.3, 3.0))
binary("heaviside", numbers=())
binary("bitwise_and", "bitwise_or", "bitwise_xor", numbers=(3, True))
binary("bitwise_left_shift", "bitwise_right_shift", numbers=(1,), second=(0, 6))
binary("gcd", "lcm", numbers=())
binary("logical_and", "logical_or", "logical_xor", numbers=())
binary("rsub", "isclose", numbers=(2,))
binary("ldexp", numbers=(2,))
binary("float_power", numbers=(2, 0.5), domain=(0.2, 3.0), second=(0.2, 2.0))


@samples("pow", family="binary", dtypes=ALL, domain=(0.2, 3.0), accuracy=True)
def _pow(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0.0, high=3.0))
    yield make.call(make(3, 4), make(4, low=0.0, high=3.0))
    yield make.call(make(3), make(low=0.0, high=3.0))
    yield make.call(make(), make(low=0.0, high=3.0))
    for exponent in (0, 1, 2, 3, 0.5, -1, -0.5, 2.5, True):
        yield make.call(make(4), exponent)
    yield make.call(2, make(4, low=0.0, high=3.0))
    yield make.call(2.5, make(4, low=0.0, high=3.0))


@samples("polygamma", dtypes=("float64", "float32", "int64"), domain=(0.3, 4.0), factor=8)
def _polygamma(make: Maker) -> Iterator[Sample]:
    for n in (0, 1, 2, 4):
        yield make.call(n, make(3, 4))


@samples("Tensor.polygamma", dtypes=("float64", "float32", "int64"), domain=(0.3, 4.0), factor=8)
def _polygamma_method(make: Maker) -> Iterator[Sample]:
    for n in (0, 1, 2):
        yield make.call(make(3, 4), n)


@samples("logit", dtypes=ALL, domain=(0.05, 0.95))
def _logit(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0.2)
    yield make.call(make(), eps=0.1)


@samples("round", family="unary", dtypes=ALL)
def _round(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make.given([0.5, 1.5, 2.5, -0.5, -1.5]))
    yield make.call(make(3, 4), decimals=1)
    yield make.call(make(3, 4), decimals=-1)


@samples("addcmul", "addcdiv", family="ternary", dtypes=ALL, domain=(0.4, 3.0))
def _addcmul(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4), make(3, 4))
    yield make.call(make(3, 4), make(4), make(3, 1), value=2)
    yield make.call(make(3), make(3), make(), value=0.5)
    yield make.call(make(), make(), make())


@samples("lerp", family="ternary", dtypes=ALL)
def _lerp(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4), 0.3)
    yield make.call(make(3, 4), make(4), 0.7)
    yield make.call(make(3, 4), make(3, 4), make(4, low=0, high=1))
    yield make.call(make(), make(), make())


@samples("clamp", "clip", family="unary", dtypes=ALL)
def _clamp(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), -1, 1)
    yield make.call(make(3, 4), min=0.5)
    yield make.call(make(3, 4), max=0)
    yield make.call(make(3, 4), make(4, high=0), make(3, 1, low=0))
    yield make.call(make(3, 4), max=make(4))
    yield make.call(make(), 1, -1)


@samples("clamp_min", "clamp_max", family="unary", dtypes=ALL)
def _clamp_one(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0)
    yield make.call(make(3, 4), 0.5)
    yield make.call(make(3, 4), make(4))


@samples("where", dtypes=ALL)
def _where(make: Maker) -> Iterator[Sample]:
    yield make.call(make.mask(3, 4), make(3, 4), make(3, 4))
    yield make.call(make.mask(3, 1), make(4), make())
    yield make.call(make.mask(3), make(3), 2)
    yield make.call(make.mask(3), 1.5, make(3))
    yield make.call(make.mask(3, 4))
    yield make.call(make.mask(), make(), make())


@samples("complex", dtypes=("float64", "float32", "float16", "int64"))
def _complex(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4))
    yield make.call(make(3, 1), make(4))


@samples("polar", dtypes=("float64", "float32", "int64"))
def _polar(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, low=0.1), make(3, 4))


@samples("allclose", "equal", dtypes=ALL)
def _allclose(make: Maker) -> Iterator[Sample]:
    a = make(3, 4)
    yield make.call(a, a)
    yield make.call(a, make(3, 4))
    yield make.call(make(3), make(3))


@samples("is_nonzero", dtypes=ALL)
def _is_nonzero(make: Maker) -> Iterator[Sample]:
    yield make.call(make())
    yield make.call(make(1, 1))
    yield make.call(make(2))


@samples("is_same_size", "Tensor.is_same_size", "Tensor.is_set_to", dtypes=("float32", "int64"))
def _is_same_size(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), make(2, 3))
    yield make.call(make(2, 3), make(3, 2))


@samples("result_type", dtypes=ALL)
def _result_type(make: Maker) -> Iterator[Sample]:
    for other in mixed(make.dtype):
        yield make.call(make(2), make(2, dtype=other))
        yield make.call(make(2), make(dtype=other))
    yield make.call(make(2), 1)
    yield make.call(make(2), 1.5)
    yield make.call(1, make(2))


@samples("Tensor.div_", dtypes=ALL, domain=(0.3, 3.0))
def _div_(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(4))
    yield make.call(make(3, 4), 2)
    yield make.call(make(3, 4), make(4), rounding_mode="floor")
    yield make.call(make(3, 4), 2, rounding_mode="trunc")


@samples("can_cast", "promote_types", dtypes=ALL, gradient=False, layouts=False)
def _rules(make: Maker) -> Iterator[Sample]:
    for other in ALL:
        yield make.call(Named(make.dtype), Named(other))
