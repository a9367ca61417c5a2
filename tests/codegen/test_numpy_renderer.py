"""The numpy renderer against torch: every scalar function on every dtype that it takes.

Run: python -m pytest tests/codegen/test_numpy_renderer.py
"""

import functools

import ml_dtypes
import numpy as np
import pytest
import torch

from flowtorch.codegen.expression import parse
from flowtorch.codegen.functions import DERIVED, FUNCTIONS
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.numpy_renderer import build, numpy_dtype, render

# torch's name where the table's differs
TORCH = {
    "neg": torch.neg,
    "pos": torch.positive,
    "div": torch.true_divide,
    "left_shift": torch.bitwise_left_shift,
    "right_shift": torch.bitwise_right_shift,
    "rsqrt": torch.rsqrt,
    "real": lambda x: torch.real(x) if x.is_complex() else x,
    "imag": lambda x: torch.imag(x) if x.is_complex() else torch.zeros_like(x),
    "conj": lambda x: torch.conj_physical(x),
    "where": lambda c, x, y: torch.where(c != 0, x, y),
    "trunc_divide": lambda a, b: torch.div(a, b, rounding_mode="trunc"),
}
DTYPES = {
    "b": ["bool"],
    "i": ["uint8", "int8", "int32", "int64"],
    "f": ["float16", "bfloat16", "float32", "float64"],
    "c": ["complex64", "complex128"],
}
CASES = [(name, dtype) for name in DERIVED for dtype in ("float16", "bfloat16", "float32", "float64")] + [
    (name, dtype)
    for name, function in FUNCTIONS.items()
    if function.rule != "cast"
    for category in function.accepts
    for dtype in DTYPES[category]
]
# PyTorch rounds the quotient to the narrow type before it truncates; no complex type has bfloat16 parts.
CASES = [(n, d) for n, d in CASES if not (n == "trunc_divide" and "16" in d) and not (n == "complex" and "16" in d)]


def values(dtype: str, position: int) -> np.ndarray:
    """Numbers of every kind: small and large, both signs, halves, both zeros, infinities, NaN."""
    rng = np.random.default_rng(position)
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return rng.random(200) > 0.5
    if kind.kind in "iu":
        info = np.iinfo(kind)
        edges = np.array([0, 1, 2, info.max, info.min], kind)
        return np.concatenate([edges, rng.integers(0 if kind.kind == "u" else -9, 9, 195).astype(kind)])
    special = [0.0, -0.0, 0.5, 1.5, -2.5, 1.0, -1.0, np.inf, -np.inf, np.nan, 20.0, -20.0, 3.0, 1e-4]
    numbers = np.concatenate([rng.permutation(special), rng.standard_normal(186) * 3])
    if kind.kind == "c":
        numbers = numbers[14:] + 1j * rng.standard_normal(186)
    return numbers.astype(kind)


def to_torch(array: np.ndarray) -> torch.Tensor:
    if array.dtype == ml_dtypes.bfloat16:
        return torch.from_numpy(array.view(np.int16)).view(torch.bfloat16)
    return torch.from_numpy(array)


def from_torch(tensor: torch.Tensor) -> np.ndarray:
    if tensor.dtype == torch.bfloat16:
        return tensor.view(torch.int16).numpy().view(ml_dtypes.bfloat16)
    return tensor.resolve_conj().numpy()


def operands(name: str, dtype: str) -> list[np.ndarray]:
    arity = len(DERIVED[name][0]) if name in DERIVED else FUNCTIONS[name].arity
    arrays = [values(dtype, position) for position in range(arity)]
    if name in ("floor_divide", "trunc_divide", "remainder", "fmod") and numpy_dtype(dtype).kind in "iu":
        arrays[1][arrays[1] == 0] = 3  # torch refuses
        arrays[0][arrays[1] == numpy_dtype(dtype).type(-1) if dtype[0] != "u" else arrays[1] < 0] = 5
    if name in ("pow",) and numpy_dtype(dtype).kind == "c":
        arrays[0] = np.where(np.abs(arrays[0]) < 0.1, 1, arrays[0]).astype(arrays[0].dtype)
    return arrays


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_function_agrees_with_torch(name, dtype):
    arrays = operands(name, dtype)
    if name == "lcm":
        dtype = "int32"
        arrays = [np.arange(-20, 20, dtype=np.int32), np.roll(np.arange(-20, 20, dtype=np.int32), 7)]
    names = tuple("abc"[: len(arrays)])
    if name == "nextafter" and "16" in dtype:
        with pytest.raises(TypeError, match="narrower float"):
            lower([parse("nextafter(a, b)", names)], dict.fromkeys(names, dtype))
        return
    try:
        expected = from_torch(TORCH.get(name, getattr(torch, name, None))(*map(to_torch, arrays)))
    except (NotImplementedError, RuntimeError) as refused:
        pytest.skip(f"torch has no {name} on {dtype}: {str(refused)[:60]}")
    program = lower([parse(f"{name}({', '.join(names)})", names)], dict.fromkeys(names, dtype))
    program = lower(
        [parse(f"{name}({', '.join(names)})", names)],
        dict.fromkeys(names, dtype),
        {},
        [expected.dtype.name if program.outputs[0].type == "float32" else None],
    )
    result = build(program)(*arrays)
    assert result.dtype == expected.dtype and result.shape == expected.shape
    if result.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected)
        return
    wide = np.complex128 if result.dtype.kind == "c" else np.float64
    epsilon = {2: 2**-7 if result.dtype == ml_dtypes.bfloat16 else 2**-10, 4: 3e-6, 8: 1e-12, 16: 1e-12}
    rtol = epsilon[result.dtype.itemsize] if result.dtype != np.complex64 else 3e-6
    np.testing.assert_allclose(result.astype(wide), expected.astype(wide), rtol=rtol, atol=rtol / 10)
    # the sign of a zero is a value too
    if result.dtype.kind != "c" and name not in ("lgamma", "where"):
        zero = (result.astype(wide) == 0) & (expected.astype(wide) == 0)
        np.testing.assert_array_equal(np.signbit(result[zero]), np.signbit(expected[zero]))


SAMPLES = {
    "1 / (1 + exp(-a))": torch.sigmoid,  # text: torch's function
    "where(a > 0, a, 0.01 * a)": functools.partial(torch.nn.functional.leaky_relu, negative_slope=0.01),
    "a / (1 + exp(-a))": torch.nn.functional.silu,
    "0.5 * a * (1 + erf(a * sqrt(0.5)))": torch.nn.functional.gelu,
    "a ** 2": torch.square,
    "minimum(maximum(a, -1), 1)": functools.partial(torch.clamp, min=-1, max=1),
}


@pytest.mark.parametrize("dtype", DTYPES["f"])
@pytest.mark.parametrize("text", SAMPLES)
def test_expressions_round_once(text, dtype):
    array = np.linspace(-2, 6, 301).astype(numpy_dtype(dtype))
    expected = from_torch(SAMPLES[text](to_torch(array)))
    result = build(lower([parse(text, ("a",))], {"a": dtype}, {}, [dtype]))(array)
    if result.dtype.itemsize == 2:  # computed in float32 on both sides, so all but a few roundings agree exactly
        assert np.mean(result != expected) < 0.02
    tolerance = {"float16": 1e-3, "bfloat16": 8e-3, "float32": 1e-6, "float64": 1e-14}[dtype]
    np.testing.assert_allclose(result.astype(float), expected.astype(float), rtol=tolerance, atol=tolerance)


def test_parameters_broadcasting_and_several_outputs():
    trees = [parse(text, ("g", "x"), ("alpha",)) for text in ("g * alpha", "g * x")]
    program = lower(trees, {"g": "float32", "x": "float32"}, {"alpha": "float32"})
    g, x = np.ones((3, 1), np.float32), np.arange(4, dtype=np.float32)
    first, second = build(program)(g, x, 2.5)
    np.testing.assert_array_equal(first, np.full((3, 4), 2.5, np.float32))
    np.testing.assert_array_equal(second, np.broadcast_to(x, (3, 4)))


def test_zero_dimensional_arrays_stay_arrays():
    result = build(lower([parse("a + 1", ("a",))], {"a": "float32"}))(np.float32(2))
    assert isinstance(result, np.ndarray) and result.shape == () and result.dtype == np.float32


def test_an_expression_without_its_input_still_has_the_inputs_shape():
    result = build(lower([parse("isnan(a)", ("a",))], {"a": "int64"}))(np.arange(6).reshape(2, 3))
    assert result.shape == (2, 3) and result.flags.writeable and not result.any()


def test_the_generated_source_is_readable():
    text = render(
        lower([parse("where(a > 0, a, slope * a)", ("a",), ("slope",))], {"a": "float32"}, {"slope": "float32"})
    )
    assert "np.where(" in text and "np.multiply(slope, a)" in text
