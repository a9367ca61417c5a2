"""Random calls against torch: shapes, strides, dtypes, numbers and special values that nobody thought of.

The same calls each time; ``pytest tests/test_hypothesis.py --hypothesis-profile=long`` tries new ones, more of them.
"""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowtorch
from flowtorch.testing import checks
from flowtorch.testing.samples import Array, Sample, Spec

COMMON = {"deadline": None, "database": None, "suppress_health_check": list(HealthCheck)}
settings.register_profile("ci", derandomize=True, max_examples=150, **COMMON)
settings.register_profile("long", max_examples=20_000, print_blob=True, **COMMON)
settings.load_profile("ci")

PAIR = checks.Pair(flowtorch, torch)
DTYPES = ["float32", "float64", "float16", "bfloat16", "int64", "int32", "int8", "uint8", "bool"]
SPECIAL = [0.0, -0.0, 1.0, -1.0, 0.5, float("inf"), float("-inf"), float("nan"), 1e-45, 3e38]
LAYOUTS = ["contiguous", "transposed", "strided", "offset", "expanded"]


def spec(name, factor=1.0):
    """Return how outcomes of ``name`` are compared; not among the registered samples."""
    made = object.__new__(Spec)
    made.__dict__.update(name=name, family="hypothesis", random=False, factor=factor, undefined=False, columns=False)
    return made


@st.composite
def arrays(draw, shape=None, dtypes=DTYPES, special=True, most=4):
    """Draw a tensor argument of any dtype and layout."""
    if shape is None:
        shape = tuple(draw(st.lists(st.integers(0, most), max_size=3)))
    dtype, layout = draw(st.sampled_from(dtypes)), draw(st.sampled_from(LAYOUTS))
    size = int(np.prod(shape))
    if dtype == "bool":
        one = st.booleans()
    elif "int" in dtype:
        one = st.integers(0 if dtype[0] == "u" else -100, 100)
    else:
        one = st.integers(-64, 64).map(lambda n: n / 8)
        one = st.one_of(one, st.sampled_from(SPECIAL)) if special else one
    values = np.array(draw(st.lists(one, min_size=size, max_size=size)), dtype=None if size else float)
    values = values.reshape(shape)
    if layout == "expanded" and shape and shape[0]:
        values = np.broadcast_to(values[:1], shape).copy()
    if dtype == "bool":
        values = values.astype(bool)
    return Array(values, dtype, layout=layout)


@st.composite
def broadcastable(draw):
    """Draw two shapes that broadcast, most of the time."""
    shape = draw(st.lists(st.integers(1, 4), max_size=3))
    other = [1 if draw(st.integers(0, 3)) == 0 else n for n in shape][draw(st.integers(0, len(shape))) :]
    return (tuple(shape), tuple(other)) if draw(st.booleans()) else (tuple(other), tuple(shape))


def same(name, sample, factor=1.0):
    lines = list(PAIR.compare(name, spec(name, factor), sample, f"{name}"))
    # In which order dimensions lie in memory, where operands disagree about it, is not compared here.
    lines = [line for line in lines if "strides:" not in line]
    assert not lines, lines


BINARY = ["add", "mul", "true_divide", "eq", "lt", "ge", "maximum", "fmin", "logical_and", "bitwise_xor", "xlogy"]
UNARY = [
    "neg",
    "abs",
    "exp",
    "sqrt",
    "tanh",
    "sigmoid",
    "floor",
    "isnan",
    "isfinite",
    "square",
    "logical_not",
]


@pytest.mark.parametrize("name", BINARY)
@given(data=st.data())
def test_binary(name, data):
    shapes = data.draw(broadcastable())
    args = [data.draw(arrays(shape=s)) for s in shapes]
    if data.draw(st.integers(0, 3)) == 0 and name in ("add", "mul", "true_divide", "eq", "lt", "ge"):
        args[1] = data.draw(st.sampled_from([2, -1, 0, 0.5, True, float("inf"), -0.0]))
    same(name, Sample(tuple(args), {}), factor=2)


@pytest.mark.parametrize("name", UNARY)
@given(data=st.data())
def test_unary(name, data):
    same(name, Sample((data.draw(arrays()),), {}))


@pytest.mark.parametrize("name", ["sum", "mean", "amax", "amin", "prod", "any", "all", "argmax", "cumsum", "softmax"])
@given(data=st.data())
def test_reduction(name, data):
    dtypes = ["float32", "float64", "int64", "uint8", "bool"]
    dtypes = dtypes[: {"softmax": 2, "argmax": 4}.get(name, 5)]  # of a wrong dtype and a wrong dim, either may be told
    a = data.draw(arrays(special=name not in ("argmax",), most=3, dtypes=dtypes))
    dim = data.draw(st.integers(-3, 3))
    kwargs = {} if name in ("cumsum", "softmax") else {"keepdim": data.draw(st.booleans())}
    same(name, Sample((a, dim), kwargs), factor=16)


@st.composite
def views(draw):
    """Draw one view method with its arguments."""
    n = st.integers(-3, 3)
    name = draw(st.sampled_from(["transpose", "squeeze", "unsqueeze", "narrow", "select", "diagonal", "flatten",
                                 "unfold", "expand", "view", "reshape", "permute", "movedim", "chunk"]))  # fmt: skip
    arguments = {
        "transpose": (n, n), "squeeze": (n,), "unsqueeze": (n,), "narrow": (n, n, n), "select": (n, n),
        "flatten": (n, n), "diagonal": (n, n, n), "unfold": (n, st.integers(1, 3), st.integers(1, 3)),
        "movedim": (n, n), "chunk": (st.integers(1, 4), n), "expand": (st.lists(st.integers(-1, 4), max_size=4),),
        "view": (st.lists(st.integers(-1, 6), max_size=4),), "permute": (st.lists(n, max_size=3),),
        "reshape": (st.lists(st.integers(-1, 6), max_size=4),),
    }  # fmt: skip
    return name, tuple(draw(a) for a in arguments[name])


@given(a=arrays(dtypes=["float32", "int64"], special=False), steps=st.lists(views(), min_size=1, max_size=3))
def test_chains_of_views(a, steps):
    def chain(t):
        for name, args in steps:
            t = getattr(t, name)(*args)
            t = t[0] if isinstance(t, (tuple, list)) else t
        return t

    lines = list(PAIR.compare((chain, chain), spec("views"), Sample((a,), {}), str(steps)))
    assert not lines, lines


@st.composite
def indices(draw, shape):
    """Draw an index for a tensor of this shape; sometimes a wrong one."""
    index = []
    for n in shape[: draw(st.integers(0, len(shape)))]:
        kind = draw(st.integers(0, 6))
        if kind == 0:
            index.append(draw(st.integers(-n - 1, n)))
        elif kind in (1, 2):
            ends = st.none() | st.integers(-n - 1, n + 1)
            index.append(slice(draw(ends), draw(ends), draw(st.none() | st.integers(1, 3))))
        elif kind == 3:
            index.append(None)
        elif kind == 4 and n:
            index.append(Array(np.array(draw(st.lists(st.integers(-n, n - 1), min_size=2, max_size=2))), "int64"))
        elif kind == 5:
            index.append(Array(np.array(draw(st.lists(st.booleans(), min_size=n, max_size=n)), dtype=bool), "bool"))
        elif Ellipsis not in [i for i in index if not isinstance(i, Array)]:
            index.append(Ellipsis)
    return tuple(index)


@given(data=st.data())
def test_getting_items(data):
    a = data.draw(arrays(dtypes=["float32", "int64", "bfloat16"], special=False))
    index = data.draw(indices(a.values.shape))
    lines = list(PAIR.compare("Tensor.__getitem__", spec("getitem"), Sample((a, index), {}), ""))
    assert not [line for line in lines if "strides:" not in line], lines


@given(data=st.data())
def test_setting_items(data):
    a = data.draw(arrays(dtypes=["float32", "int64", "bfloat16"], special=False))
    index = data.draw(indices(a.values.shape))
    if not any(isinstance(i, Array) and i.dtype == "int64" for i in index):  # an element may be written only once
        value = data.draw(arrays(shape=(), special=False) | st.sampled_from([1, 2.5, True]))
        lines = list(PAIR.compare("Tensor.__setitem__", spec("setitem"), Sample((a, index, value), {}), ""))
        assert not lines, lines
