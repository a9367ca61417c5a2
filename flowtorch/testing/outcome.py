"""What a call leaves behind, in plain values, and how two such outcomes differ.

Tolerances come from ``errormodel``: units of the precision of an element's dtype, times the function's own factor.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .errormodel import EPS, out_of_tolerance
from .samples import Sample, Spec


class Result:
    """A tensor of an outcome: values as numpy, and what the call made of its memory."""

    __slots__ = ("alias", "dtype", "requires_grad", "shape", "strides", "values")

    def __init__(self, tensor: Any, inputs: dict[int, int], identities: dict[int, int]) -> None:
        self.dtype = str(tensor.dtype).removeprefix("torch.")
        self.shape, self.strides = tuple(tensor.shape), tuple(tensor.stride())
        self.requires_grad = tensor.requires_grad
        self.values = numbers(tensor, self.dtype)
        self.alias: Any = None  # which argument's memory it shows, and whether it is that object
        if id(tensor) in identities:
            self.alias = ("is", identities[id(tensor)])
        elif inputs and tensor.numel() and not getattr(tensor, "_is_zerotensor", bool)():
            number = inputs.get(tensor.untyped_storage().data_ptr())
            self.alias = None if number is None else ("shares memory with", number)


class Values(Result):
    """The values of a result, and nothing about memory: from a library that is no PyTorch."""

    __slots__ = ()

    def __init__(self, values: np.ndarray) -> None:
        self.dtype, self.shape, self.strides, self.alias = str(values.dtype), values.shape, (), None
        self.requires_grad, self.values = False, values


def numbers(tensor: Any, dtype: str) -> np.ndarray:
    """The tensor's values as a numpy array of its own."""
    t = tensor.detach().resolve_conj().resolve_neg() if hasattr(tensor, "resolve_neg") else tensor.detach()
    if t.numel() > 10**8:  # expanded: once is enough
        t = t[tuple(slice(0, 1) if s == 0 else slice(None) for s in t.stride())]
    if t.device.type == "cuda":
        t = t.cpu()
    if getattr(t, "_is_zerotensor", bool)():  # PyTorch's zeros without memory
        return np.zeros(tuple(t.shape), np.dtype(dtype))
    if dtype == "bfloat16" or dtype.startswith("float8"):  # numpy has no such dtypes
        t = t.float()
    if dtype == "complex32":
        return np.array(t.real.float().numpy() + 1j * t.imag.float().numpy())
    return np.array(t.numpy())


class Outcome:
    """The results of one call and its arguments after it, or the error it raised."""

    def __init__(self, error: Exception | None = None, results: Any = None, arguments: Any = None) -> None:
        self.error, self.results, self.arguments = error, results, arguments


def flatten(value: Any, library: Any) -> Iterator[Any]:
    """Tensors and plain values within nested results; containers give their kind."""
    if isinstance(value, library.Tensor):
        yield value
    elif isinstance(value, (tuple, list)):
        yield f"{'list' if isinstance(value, list) else 'tuple'} of {len(value)}"
        for v in value:
            yield from flatten(v, library)
    elif isinstance(value, dict):
        for v in value.values():
            yield from flatten(v, library)
    else:
        yield value


def unphased(result: Any) -> Any:
    """An outcome (or values) whose matrices have columns with a largest element that is real and positive."""
    if isinstance(result, Outcome):
        for r in result.results or ():
            if isinstance(r, Result):
                r.values = unphased(r.values)
        return result
    if not isinstance(result, np.ndarray) or result.ndim < 2 or result.dtype.kind not in "fc" or not result.size:
        return result
    largest = np.take_along_axis(result, np.abs(result).argmax(axis=-2, keepdims=True), axis=-2)
    size = np.abs(largest)
    return result * (np.conj(largest) / np.where(size == 0, 1, size)).astype(result.dtype)


def quietly(f: Callable, *args: Any, **kwargs: Any) -> Any:
    """Call ``f`` with all warnings ignored."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return f(*args, **kwargs)


def seed(library: Any) -> None:
    library.manual_seed(1234)


def run(library: Any, function: Callable, sample: Sample, random: bool = False) -> Outcome:
    """Call ``function`` of ``library`` with the sample."""
    args, kwargs = sample.build(library)
    tensors = [t for t in flatten([args, kwargs], library) if isinstance(t, library.Tensor)]
    memory = {t.untyped_storage().data_ptr(): i for i, t in reversed(list(enumerate(tensors))) if t.numel()}
    identities = {id(t): i for i, t in enumerate(tensors)}
    if random:
        seed(library)
    try:
        results = quietly(function, *args, **kwargs)
    except Exception as error:
        return Outcome(error)
    flat = [
        Result(r, memory, identities) if isinstance(r, library.Tensor) else plain(r)
        for r in flatten(results, library)
    ]
    return Outcome(None, flat, [Result(t, {}, {}) for t in tensors])


def plain(value: Any) -> Any:
    """A value that is not a tensor, for comparison: dtypes and the like by their names."""
    if isinstance(value, (bool, int, float, complex, str, type(None))):
        return value
    return str(value).replace("flowtorch", "torch")


def differences(expected: Outcome, got: Outcome, spec: Spec, strides: bool = True, precision: str = "") -> list[str]:
    """How the outcome ``got`` differs from ``expected``, in words; empty if it does not.

    ``precision``: the dtype that was computed in, where results are stored in a wider one.
    """
    if expected.error is not None or got.error is not None:
        return error_difference(expected, got)
    if len(expected.results) != len(got.results):
        return [f"structure: expected {len(expected.results)} results, got {len(got.results)}"]
    found = []
    for e, g in zip(expected.results, got.results, strict=True):
        found += result_difference(e, g, spec, strides, precision)
    for k, (e, g) in enumerate(zip(expected.arguments, got.arguments, strict=True)):
        found += [f"argument {k} after the call: {d}" for d in result_difference(e, g, spec, strides, precision)]
    return found


def error_difference(expected: Outcome, got: Outcome) -> list[str]:
    """Both must raise exceptions of the same type."""
    if expected.error is None:
        return [f"error: expected none, got {describe(got.error)}"]
    if got.error is None:
        return [f"error: expected {describe(expected.error)}, got none"]
    if type(expected.error).__name__ != type(got.error).__name__:
        return [f"error: expected {describe(expected.error)}, got {describe(got.error)}"]
    return []


def describe(error: Any) -> str:
    first = str(error).strip().split("\n")[0]
    return f"{type(error).__name__}({first[:90]})"


def result_difference(e: Any, g: Any, spec: Spec, strides: bool = True, precision: str = "") -> list[str]:
    """How two results differ."""
    if not isinstance(e, Result) or not isinstance(g, Result):
        same = type(e) is type(g) and (e == g or (e != e and g != g))
        if isinstance(e, float) and isinstance(g, float) and not same:
            same = not value_difference(np.asarray(e), np.asarray(g), "float32", spec)
        return [] if same else [f"value: expected {e!r}, got {g!r}"]
    found = [
        f"{what}: expected {a}, got {b}"
        for what, a, b in (("dtype", e.dtype, g.dtype), ("shape", e.shape, g.shape), ("alias", e.alias, g.alias))
        if a != b
    ]
    if found:
        return found
    if strides and meaningful(e.strides, e.shape) != meaningful(g.strides, g.shape):
        found.append(f"strides: shape {e.shape} expected {e.strides}, got {g.strides}")
    if not spec.undefined:
        found += value_difference(e.values, g.values, precision if precision and e.dtype in EPS else e.dtype, spec)
    return found


def meaningful(strides: tuple, shape: tuple) -> list:
    """The strides that can be seen: those of dimensions with more than one element."""
    return [] if 0 in shape else [s for s, n in zip(strides, shape, strict=True) if n > 1]


def value_difference(e: np.ndarray, g: np.ndarray, dtype: str, spec: Spec) -> list[str]:
    """The worst element that is out of tolerance, if any."""
    if e.size == 0:
        return []
    if dtype not in EPS:
        wrong = (e != g) & ((e == e) | (g == g))
    else:
        wrong = out_of_tolerance(e, g, dtype, spec.factor)
    if not wrong.any():
        return []
    at = np.unravel_index(np.argmax(wrong), wrong.shape)
    return [
        f"value: {int(wrong.sum())} of {e.size} differ, at {tuple(map(int, at))} expected {e[at]!r}, got {g[at]!r}"
    ]


# ---------------------------------------------------------------- gradients


def gradients(
    library: Any, function: Callable, sample: Sample, random: bool = False, double: bool = False
) -> Outcome:
    """The gradients of all inputs (and with ``double`` those of a sum of them), for fixed incoming gradients."""
    args, kwargs = sample.build(library, grad=True)
    leaves = [t for t in flatten([args, kwargs], library) if isinstance(t, library.Tensor) and t.requires_grad]
    # a function may write into its arguments: give it results of an operation, which may be written
    copies = {id(t): t.clone() for t in leaves}
    args, kwargs = replace((args, kwargs), copies)
    if random:
        seed(library)
    try:
        results = quietly(function, *args, **kwargs)
        outputs = [t for t in flatten(results, library) if isinstance(t, library.Tensor)]
        wanted = [bool(t.requires_grad) for t in outputs]
        outputs = [t for t in outputs if t.requires_grad]
        if not outputs or not leaves:
            return Outcome(None, wanted, [])
        first = quietly(
            library.autograd.grad,
            outputs,
            leaves,
            [cotangent(t, library, i, sample.jitter) for i, t in enumerate(outputs)],
            allow_unused=True,
            create_graph=double,
        )
        results = list(first)
        if double:
            again = [t for t in first if t is not None and t.requires_grad]
            if again:
                results += quietly(
                    library.autograd.grad,
                    again,
                    leaves,
                    [cotangent(t, library, 9 + i, sample.jitter) for i, t in enumerate(again)],
                    allow_unused=True,
                )
    except Exception as error:
        return Outcome(error)
    return Outcome(None, wanted + [None if t is None else Result(t, {}, {}) for t in results], [])


def replace(value: Any, by_id: dict) -> Any:
    if id(value) in by_id:
        return by_id[id(value)]
    if isinstance(value, (list, tuple)):
        return type(value)(replace(v, by_id) for v in value)
    if isinstance(value, dict):
        return {k: replace(v, by_id) for k, v in value.items()}
    return value


def cotangent_values(shape: tuple, number: int) -> np.ndarray:
    """The (real parts of the) incoming gradient number ``number``."""
    rng = np.random.default_rng(number)
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def cotangent(output: Any, library: Any, number: int, jitter: int = 0) -> Any:
    """A fixed incoming gradient for an output; each element moved by 2**-30 of itself where ``jitter`` is a seed."""
    values = cotangent_values(tuple(output.shape), number)
    rng = np.random.default_rng([number, 1])
    if output.dtype.is_complex:
        values = values + 1j * rng.uniform(-1, 1, tuple(output.shape))
    if jitter:
        signs = np.random.default_rng(jitter).choice([-1.0, 1.0], tuple(output.shape))
        values = values * (1 + 2.0**-30 * signs)
    return library.from_numpy(np.asarray(values)).to(output.dtype).to(output.device)
