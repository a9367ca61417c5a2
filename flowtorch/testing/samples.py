"""One registry of sample calls for every public function, free of any library.

A sample holds numpy arrays and plain values. ``Sample.build(library)`` makes the arguments for flowtorch, for torch, or
for whatever has their names, so the same call can be made everywhere and the outcomes compared.

The families live in ``samples_<family>.py``. There a function ``(make)`` yields calls::

    @samples("gather", dtypes=ALL)
    def _(make):
        yield make.call(make(3, 4), 1, make.index(3, 2, below=4))

``make(3, 4)`` is a tensor of the dtype that is asked for, with values from the function's domain.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

FLOATS = ("float64", "float32")
LOW = ("float16", "bfloat16")
COMPLEX = ("complex128", "complex64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
ALL = (*FLOATS, *LOW, *COMPLEX, *INTEGERS, "bool")
SOME = ("float64", "float32", "bfloat16", "complex64", "int64", "uint8", "bool")
REAL = (*FLOATS, *LOW, *INTEGERS)
LAYOUTS = ("contiguous", "transposed", "strided", "offset", "expanded", "channels_last")

SAMPLES: dict[str, Spec] = {}


class Array:
    """A tensor argument: its values, the name of its dtype, and how it lies in memory."""

    __slots__ = ("device", "dtype", "grad", "layout", "values")

    def __init__(
        self, values: Any, dtype: str, grad: bool = False, layout: str = "contiguous", device: str = "cpu"
    ) -> None:
        self.values, self.dtype, self.grad, self.layout = np.asarray(values), dtype, grad, layout
        self.device = device

    def with_(self, **changes: Any) -> Array:
        """The same argument with other values, dtype, layout or need of a gradient."""
        fields = {n: getattr(self, n) for n in self.__slots__} | changes
        return Array(**fields)

    def build(self, library: Any, grad: bool = False) -> Any:
        """The tensor in ``library``; with a gradient where it was made for one and ``grad`` asks for it."""
        t = _tensor(library, _lay_out(self.values, self.layout), self.dtype)
        if self.device != "cpu":
            t = t.to(self.device)
        t = _view(t, self.values.shape, self.layout)
        return t.detach().requires_grad_() if grad and self.grad else t

    def __repr__(self) -> str:
        where = "" if self.layout == "contiguous" else f" {self.layout}"
        return f"{self.dtype}{list(self.values.shape)}{where}"


class Named:
    """An argument that each library has under its own name: a dtype, a memory format, a layout."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def build(self, library: Any, grad: bool = False) -> Any:
        return getattr(library, self.name)

    def __repr__(self) -> str:
        return self.name


def _tensor(library: Any, values: np.ndarray, dtype: str) -> Any:
    t = library.from_numpy(np.array(values, order="C"))
    wanted = getattr(library, dtype)
    return t.clone() if t.dtype == wanted else t.to(wanted)  # memory of the library's own, which may be resized


def laid_out(a: Array, layout: str) -> Array:
    """The tensor in that layout; its values become such as the layout can hold."""
    v = a.values
    if v.ndim == 0 or (layout == "transposed" and v.ndim == 1) or not v.size:
        return a
    if layout == "expanded":
        return a.with_(layout=layout, values=np.broadcast_to(v[:1], v.shape).copy())
    if layout == "overlapping":
        return a.with_(layout=layout, values=overlapped(v))
    return a.with_(layout=layout)


def overlapped(v: np.ndarray) -> np.ndarray:
    """Values in which element (i, j, ...) is number i + j + ... of one row of memory."""
    row = np.resize(v.ravel(), sum(n - 1 for n in v.shape) + 1)
    return row[np.indices(v.shape).sum(axis=0)]


def _lay_out(values: np.ndarray, layout: str) -> np.ndarray:
    """The contiguous array of which ``_view`` makes the tensor."""
    if values.ndim == 0 or layout == "contiguous":
        return values
    if layout == "virtual":  # one number in memory
        return values[(0,) * values.ndim]
    if layout == "overlapping":  # element (i, j, ...) is number i + j + ... of one row
        lines = [(*(-1,) * k, slice(k > 0, None), *(0,) * (values.ndim - k - 1)) for k in range(values.ndim)]
        return np.concatenate([values[at] for at in lines])  # type: ignore[index]
    if layout in ("transposed", "reordered"):
        return values.transpose()
    if layout == "channels_last":
        return np.moveaxis(values, 1, -1)
    if layout == "strided":
        return np.repeat(values, 2, axis=-1)
    if layout == "offset":
        return np.concatenate([values[:1], values]) if len(values) else values
    return values[:1] if len(values) else values  # expanded: every row is the first


def _view(t: Any, shape: tuple, layout: str) -> Any:
    if not shape or layout == "contiguous":
        return t
    if layout == "overlapping":
        return t.as_strided(shape, (1,) * len(shape))
    if layout in ("transposed", "reordered"):
        t = t.permute(tuple(reversed(range(len(shape)))))
        return t if layout == "transposed" else t.clone()  # no view, in the same order
    if layout == "channels_last":
        return t.movedim(-1, 1)
    if layout == "strided":
        return t[..., ::2]
    if layout == "offset":
        return t[1:] if shape[0] else t
    return t.expand(shape)


def map_arguments(f: Callable, value: Any) -> Any:
    """``f`` applied to each Array and Named within a nested argument."""
    if isinstance(value, (Array, Named)):
        return f(value)
    if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
        return type(value)(map_arguments(f, v) for v in value)
    if isinstance(value, dict):
        return {k: map_arguments(f, v) for k, v in value.items()}
    if isinstance(value, slice):
        return slice(*(map_arguments(f, v) for v in (value.start, value.stop, value.step)))
    return value


class Sample:
    """One call: positional and keyword arguments, with ``Array`` in the place of tensors.

    ``jitter``: a seed by which incoming gradients are moved a little, to see what that does; 0 leaves them.
    """

    __slots__ = ("args", "jitter", "kwargs")

    def __init__(self, args: tuple, kwargs: dict, jitter: int = 0) -> None:
        self.args, self.kwargs, self.jitter = args, kwargs, jitter

    def build(self, library: Any, grad: bool = False) -> tuple[list, dict]:
        """(args, kwargs) for ``library``."""
        return map_arguments(lambda a: a.build(library, grad), (list(self.args), self.kwargs))

    def map_arrays(self, f: Callable) -> Sample:
        """The call with ``f(array)`` in the place of every tensor argument."""
        args, kwargs = map_arguments(lambda a: f(a) if isinstance(a, Array) else a, (self.args, self.kwargs))
        return Sample(args, kwargs, self.jitter)

    def arrays(self) -> list[Array]:
        """All tensor arguments, in order."""
        found: list[Array] = []

        def note(a: Array) -> Array:
            found.append(a)
            return a

        self.map_arrays(note)
        return found

    def __repr__(self) -> str:
        parts = [_short(a) for a in self.args] + [f"{k}={_short(v)}" for k, v in self.kwargs.items()]
        return f"({', '.join(parts)})"


def _short(value: Any) -> str:
    if isinstance(value, (list, tuple)):
        inside = ", ".join(map(_short, value))
        return f"[{inside}]" if isinstance(value, list) else f"({inside}{',' * (len(value) == 1)})"
    return repr(value)


class Maker:
    """Makes the arguments of one function's samples for one dtype, always the same ones."""

    def __init__(self, name: str, dtype: str, domain: tuple[float, float], seed: int = 0) -> None:
        self.dtype, self.low, self.high = dtype, *domain
        self.rng = np.random.default_rng(zlib.crc32(f"{name} {dtype}".encode()) + seed)

    @property
    def kind(self) -> str:
        """ "float", "complex", "int" or "bool"."""
        return next((k for k in ("float", "complex", "int", "bool") if k in self.dtype), "int")

    def __call__(
        self,
        *shape: int,
        low: float | None = None,
        high: float | None = None,
        dtype: str | None = None,
        grad: bool = True,
        distinct: bool = False,
    ) -> Array:
        """A tensor with values in [low, high), the domain of the function unless given; ``distinct``: no two alike."""
        dtype = dtype or self.dtype
        low, high = self.low if low is None else low, self.high if high is None else high
        inexact = "float" in dtype or "complex" in dtype
        if distinct:
            return Array(self.permuted(shape, low, high, inexact), dtype, grad=inexact)
        return Array(self.values(shape, low, high, dtype), dtype, grad=grad and inexact)

    def values(self, shape: tuple, low: float, high: float, dtype: str) -> np.ndarray:
        if dtype == "bool":
            return self.rng.integers(0, 2, shape).astype(bool)
        if "int" in dtype:
            least = 0 if dtype.startswith("u") else -9
            a, b = max(least, int(np.ceil(max(low, -9)))), int(min(high, 9))
            return self.rng.integers(a, max(b, a + 1) + 1, shape).astype(np.int64)
        x = self.rng.uniform(low, high, shape)
        if "complex" in dtype:
            return x + 1j * self.rng.uniform(max(low, -3), min(high, 3), shape)
        # Rounded to what every float dtype holds exactly, so that all see the same input.
        rounded = x.astype(np.float32).view(np.uint32) & np.uint32(0xFFFF0000)
        return rounded.view(np.float32).astype(np.float64).reshape(shape)

    def permuted(self, shape: tuple, low: float, high: float, inexact: bool) -> np.ndarray:
        n = int(np.prod(shape))
        order = self.rng.permutation(n).reshape(shape)
        return order * 0.25 - n // 8 if inexact else order

    def like(self, array: Array) -> Array:
        """Another tensor of the same shape and dtype."""
        return self(*array.values.shape, dtype=array.dtype)

    def index(self, *shape: int, below: int, dtype: str = "int64", low: int = 0) -> Array:
        """Indices in [low, below)."""
        return Array(self.rng.integers(low, below, shape), dtype)

    def mask(self, *shape: int) -> Array:
        """A bool tensor."""
        return Array(self.rng.integers(0, 2, shape).astype(bool), "bool")

    def given(self, values: Any, dtype: str | None = None, grad: bool = True) -> Array:
        """A tensor of these values."""
        dtype = dtype or self.dtype
        return Array(values, dtype, grad=grad and ("float" in dtype or "complex" in dtype))

    @staticmethod
    def call(*args: Any, **kwargs: Any) -> Sample:
        """One sample."""
        return Sample(args, kwargs)


class Spec:
    """What is known of one public function: its samples and how its outcomes may be compared.

    ``domain``    where the values of ``make(...)`` lie
    ``dtypes``    the dtypes that are tried; which of them the function takes, the reference says
    ``random``    the outcome depends on the random generator: both sides are seeded before each call
    ``factor``    how many units of the dtype's precision each element may differ, for long sums and the like
    ``gradient``  whether gradients can be compared (False where they are not unique)
    ``layouts``   whether other memory layouts are tried
    ``errors``    whether broken calls are tried (False where they crash PyTorch)
    ``accuracy``  whether the error is held against the reference's own, in float32
    ``double``    whether second derivatives can be compared
    ``seed``      another one gives other values in the same samples
    ``columns``   tensors are unique only up to a factor of size one for each column: eigenvectors
    ``unordered`` which of equal elements an index names is not promised
    ``undefined`` the values are not defined: only dtype, shape and strides are compared
    """

    def __init__(
        self,
        name: str,
        generator: Callable,
        *,
        family: str = "other",
        dtypes: tuple[str, ...] = SOME,
        domain: tuple[float, float] = (-3.0, 3.0),
        random: bool = False,
        factor: float = 1.0,
        gradient: bool = True,
        double: bool = True,
        layouts: bool = True,
        undefined: bool = False,
        accuracy: bool = False,
        errors: bool = True,
        columns: bool = False,
        unordered: bool = False,
    ) -> None:
        self.name, self.generator, self.family, self.dtypes, self.domain = name, generator, family, dtypes, domain
        self.random, self.factor, self.gradient, self.double = random, factor, gradient, double
        self.layouts, self.undefined, self.accuracy = layouts, undefined, accuracy
        self.errors, self.columns, self.unordered, self.seed = errors, columns, unordered, 0

    def samples(self, dtype: str) -> Iterator[Sample]:
        """The samples for one dtype; the same ones each time."""
        return self.generator(Maker(self.name, dtype, self.domain, self.seed))


def samples(*names: str, **options: Any) -> Callable:
    """Decorator: the function ``(make)`` yields the samples of these public functions."""

    def register(generator: Callable) -> Callable:
        for name in names:
            if name in SAMPLES:
                raise ValueError(f"{name!r} has samples already")
            SAMPLES[name] = Spec(name, generator, **options)
        return generator

    return register


def find(library: Any, name: str) -> Any:
    """The public function ``name`` in ``library``: "add", "Tensor.fill_", "nn.functional.relu"; None if it lacks it."""
    value = library
    for part in name.split("."):
        value = getattr(value, part, None)
    return value


def load() -> dict[str, Spec]:
    """The whole registry."""
    import importlib

    for family in (
        "pointwise",
        "reduction",
        "view",
        "indexing",
        "linear",
        "linalg",
        "special",
        "nn",
        "losses",
        "sorting",
        "factory",
        "random",
    ):
        importlib.import_module(f"{__package__}.samples_{family}")
    return SAMPLES
