"""Random calls of public functions, made from the registered samples.

Other values, special ones among them, other shapes and dtypes where the function takes them, other dimensions, memory
laid out in every way for each tensor by itself; as function, as method, in place, and into ``out=``.
"""

import re

import numpy as np
from hypothesis import strategies as st

from flowtorch.testing import checks
from flowtorch.testing.difftest.oracle import exact_with
from flowtorch.testing.errormodel import EPS, allowance
from flowtorch.testing.outcome import Result, differences
from flowtorch.testing.samples import LAYOUTS, Array, Sample, load
from flowtorch.testing.samples_pointwise import special_values

FAMILIES = ("pointwise", "reduction", "view", "indexing", "sorting", "special", "linear")
ELEMENTWISE = ("unary", "binary", "ternary")
OTHERS = ("float32", "float64", "int64", "bool", "bfloat16", "uint8", "float16", "int8", "complex64")
HUGE = {
    "uint8": 60,
    "int8": 30,
    "int16": 8e3,
    "int32": 5e8,
    "float16": 6e3,
    "float32": 1e37,
    "bfloat16": 1e37,
    "float64": 1e307,
    "complex64": 1e37,
    "complex128": 1e307,
}
RARE_DTYPES = ("uint16", "uint32", "uint64", "float8_e4m3fn", "float8_e5m2")
# Beside numbers of the wrong kind or of no use the reference crashes, or takes forever.
LEFT_OUT = {
    "Tensor.set_", "Tensor.resize_", "Tensor.resize_as_", "resize_as_", "empty_like", "Tensor.new_empty",
    "Tensor.as_strided", "as_strided", "as_strided_copy", "Tensor.as_strided_", "as_strided_scatter", "unbind_copy",
}  # fmt: skip
NOT_EXPANDED = "(nan)?median|kthvalue|mode|msort|sort|argsort|topk|(nan)?quantile"  # it writes beyond the memory there
COUNTING = r"bincount|(.*\.)?one_hot|unravel_index|repeat_interleave|.*embedding.*"  # nor does it doubt its indices


def functions(pair, families=FAMILIES):
    """Return the samples of the functions that both libraries have, by name."""
    return {
        name: spec
        for name, spec in sorted(load().items())
        if spec.generator.__module__.removeprefix("flowtorch.testing.samples_") in families
        and name not in LEFT_OUT and not spec.random and not spec.undefined
        and None not in pair.functions(name)
    }  # fmt: skip


class Call:
    """A call of a function in one of its forms: "function", "method", "in place", "out"."""

    def __init__(self, spec, form, name, sample):
        self.spec, self.form, self.name, self.sample = spec, form, name, sample

    def __repr__(self):
        return f"{self.name} {self.sample}"

    def lines(self, pair):
        """Return how the outcomes differ, one line each."""
        ours, theirs = pair.functions(self.name)
        expected = pair.reference.run(theirs, self.sample)
        if self.form == "out" and expected.error is None:
            made = [r for r in expected.results if isinstance(r, Result)]
            if not made or len(made) != max(len(expected.results) - 1, 1) or made[0].dtype == "complex32":
                return []
            outs = [checks.make_out(r, self.out) for r in made]
            self.sample = Sample(
                self.sample.args, {**self.sample.kwargs, "out": outs[0] if len(expected.results) == 1 else tuple(outs)}
            )
            expected = pair.reference.run(theirs, self.sample)
            if isinstance(expected.error, TypeError):  # the function takes no out=
                return []
        got = pair.candidate.run(ours, self.sample)
        computed = self.computed_in(expected)
        return [f"{self}: {d}" for d in differences(expected, got, self.spec, precision=computed)]

    out = "right"

    def computed_in(self, expected):
        """Return the dtype that was computed in, where an argument that is written into has a wider one."""
        if self.form not in ("in place", "out"):
            return ""
        kept = Sample(self.sample.args, {k: v for k, v in self.sample.kwargs.items() if k != "out"})
        dtypes = [a.dtype for a in kept.arrays() if a.dtype in EPS]
        return max(dtypes, key=EPS.__getitem__, default="float32")

    def rounding(self, pair):
        """Say whether the values are as close as rounding of the inputs allows: see ``errormodel.allowance``."""
        ours, theirs = pair.functions(self.name)
        got = pair.candidate.run(ours, self.sample)
        known = exact_with(lambda s: pair.reference.run(theirs, s), self.sample)
        if known is None or got.error is not None:
            return False
        length = max((a.values.size for a in self.sample.arrays()), default=1)
        for r, exact, spread in zip(got.results, *known, strict=True):
            if not isinstance(r, Result) or exact is None or r.dtype not in EPS:
                continue
            with np.errstate(all="ignore"):
                limit = allowance(exact, r.dtype, length, spread, self.spec.factor)
                near = np.abs(r.values - exact) <= limit
                if not np.all(near | (r.values == exact) | (~np.isfinite(r.values) & ~np.isfinite(exact))):
                    return False
        return True

    def millionth(self, pair):
        """Say whether the values differ by no more than some millionths."""

        def near(e, g):
            with np.errstate(all="ignore"):
                return ~(np.abs(e - g) <= 1e-5 * (1 + np.abs(e)))

        return self._agree(pair, near)

    def extreme(self, pair):
        """Say whether an input is infinite, nan, or so large that a few of them are beyond their dtype."""
        sizes = [(np.abs(a.values.astype(np.complex128)), a.dtype) for a in self.sample.arrays()]
        return any(np.any(~(size < HUGE.get(dtype, 2.0**61))) for size, dtype in sizes)

    def single(self, pair):
        """Say whether a dimension of size 1 may have another stride than a contiguous tensor's."""
        return any(a.layout != "contiguous" and 1 in a.values.shape for a in self.sample.arrays())

    def poles(self, pair):
        """Say whether an input holds zero or a negative whole number."""
        return any(np.any((a.values == np.rint(a.values.real)) & (a.values.real <= 0)) for a in self.sample.arrays())

    def tiny(self, pair):
        """Say whether an input holds a number below the smallest normal one."""
        sizes = [np.abs(a.values) for a in self.sample.arrays()]
        return any(np.any((size > 0) & (size < 1e-37)) for size in sizes)

    def with_nan(self, pair):
        """Say whether an input holds nan."""
        return any(np.any(a.values != a.values) for a in self.sample.arrays())

    def ties(self, pair):
        """Say whether the indices differ alone, and point at equal elements."""
        ours, theirs = pair.functions(self.name)
        expected, got = pair.reference.run(theirs, self.sample), pair.candidate.run(ours, self.sample)
        if expected.error or got.error:
            return False
        first = self.sample.arrays()[0]
        input = first.values != 0 if first.dtype == "bool" else first.values
        for e, g in zip(expected.results, got.results, strict=True):
            if not isinstance(e, Result) or np.array_equal(e.values, g.values, equal_nan=e.values.dtype.kind in "fc"):
                continue
            is_index = e.dtype == "int64" and e is expected.results[-1]
            if not is_index or not any(map(equal, taken(input, e.values), taken(input, g.values))):
                return False
        return True

    def infinite(self, pair):
        """Say whether the values agree wherever either of them is finite."""
        return self._agree(pair, lambda e, g: np.isfinite(e) | np.isfinite(g))

    def overflow(self, pair):
        """Say whether some input is extreme, and the values agree wherever both of them are finite."""
        return self.extreme(pair) and self._agree(pair, lambda e, g: np.isfinite(e) & np.isfinite(g))

    def _agree(self, pair, where):
        ours, theirs = pair.functions(self.name)
        expected, got = pair.reference.run(theirs, self.sample), pair.candidate.run(ours, self.sample)
        if expected.error or got.error:
            return False
        for e, g in zip(expected.results + expected.arguments, got.results + got.arguments, strict=False):
            if isinstance(e, Result) and isinstance(g, Result) and e.shape == g.shape and e.values.dtype.kind in "fc":
                kept = where(e.values, g.values)
                e.values, g.values = np.where(kept, e.values, 0), np.where(kept, g.values, 0)
        return not differences(expected, got, self.spec, precision=self.computed_in(expected))


def equal(a, b):
    """Say whether two arrays have the same elements, nan among them."""
    return bool(np.all((a == b) | ((a != a) & (b != b))))


def taken(input, index):
    """Return the elements that ``index`` points at, along each dimension along which it may."""
    found = []
    for d in range(input.ndim):
        own = index if index.ndim == input.ndim else np.expand_dims(index, d)
        others = [own.shape[k] == input.shape[k] for k in range(input.ndim) if k != d]
        if all(others) and own.size and own.max() < input.shape[d]:
            found.append(np.take_along_axis(input, own, d))
    return found


@st.composite
def calls(draw, specs, pair):
    """Draw a call."""
    name = draw(st.sampled_from(list(specs)))
    spec = specs[name]
    rare = draw(st.integers(0, 11)) == 0
    dtype = draw(st.sampled_from(RARE_DTYPES if rare else spec.dtypes))
    spec.seed = seed = draw(st.integers(0, 2**16))
    try:
        given_samples = list(spec.samples(dtype))
    finally:
        spec.seed = 0
    sample = given_samples[draw(st.integers(0, len(given_samples) - 1))]
    rng = np.random.default_rng(seed)
    if spec.family in ELEMENTWISE:
        sample = reshaped(draw, sample, rng)
        if len(sample.arrays()) > 1 and draw(st.integers(0, 3)) == 0:
            sample = checks.change_last(sample, draw(st.sampled_from([a for a in OTHERS if a != dtype])))
    else:
        if draw(st.integers(0, 2)) == 0:
            sample = turned(draw, sample)
        if len(sample.arrays()) == 1 and draw(st.integers(0, 2)) == 0:
            sample = resized(draw, sample, rng)
    if draw(st.integers(0, 2)) == 0 and not re.fullmatch(COUNTING, name):
        sample = with_specials(sample, spec, rng)
    unsafe = re.fullmatch(NOT_EXPANDED, name.rsplit(".", 1)[-1])
    layouts = (*(layout for layout in LAYOUTS if layout != "expanded" or not unsafe), "reordered")
    sample = sample.map_arrays(lambda a: checks.lay_out(a, draw(st.sampled_from(layouts))))
    form, name = in_form(draw, name, sample, pair)
    call = Call(spec, form, name, sample)
    call.out = draw(st.sampled_from(("right", "empty", "transposed", "wide", "narrow", "shape")))
    return call


def in_form(draw, name, sample, pair):
    """Draw the form of the call: the function itself two times of three."""
    form = draw(st.sampled_from(("function",) * 6 + ("method", "in place", "out")))
    plain = "." not in name and not name.endswith("_")
    if not plain or form == "function" or not (sample.args and isinstance(sample.args[0], Array)):
        return "function", name
    if form == "out":
        return ("function", name) if "dtype" in sample.kwargs else (form, name)
    other = f"Tensor.{name}" if form == "method" else f"Tensor.{name}_"
    if form == "in place" and sample.args[0].layout == "expanded":
        return "function", name
    return (form, other) if None not in pair.functions(other) else ("function", name)


def side(draw):
    """Draw a length: short, or long enough for vector kernels."""
    return draw(st.sampled_from((0, 1, 2, 3, 4, 4, 3, 2, 9, 17, 35, 70)))


def filled(a, shape, rng):
    """Give a tensor argument another shape, filled with its own values."""
    pool = a.values.reshape(-1) if a.values.size else np.ones(1, a.values.dtype)
    return a.with_(values=rng.choice(pool, shape))


def reshaped(draw, sample, rng):
    """Give the tensors shapes that broadcast, filled with values of the sample."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))
    if shape and draw(st.integers(0, 3)) == 0:
        shape = (*shape[:-1], side(draw))

    def change(a):
        own = tuple(1 if draw(st.integers(0, 4)) == 0 else n for n in shape)[draw(st.integers(0, 1)) and 0 :]
        own = own[draw(st.integers(0, len(own))) :] if draw(st.integers(0, 4)) == 0 else own
        return filled(a, own, rng)

    return sample.map_arrays(change)


def resized(draw, sample, rng):
    """Give the one tensor other sizes in as many dimensions."""

    def change(a):
        return filled(a, (*(side(draw) for _ in a.values.shape[:3]), *a.values.shape[3:]), rng)

    return sample.map_arrays(change)


def turned(draw, sample):
    """Put other dimensions in the place of those the sample names: integers beside a tensor of enough dimensions."""
    first = next((a for a in sample.arrays()), None)
    n = first.values.ndim if first is not None else 0

    def other(k, v):
        return draw(st.integers(-n, n - 1)) if k == "dim" and type(v) is int and n else v

    return Sample(sample.args, {k: other(k, v) for k, v in sample.kwargs.items()})


def with_specials(sample, spec, rng):
    """Sprinkle special values over the tensors (over the first alone where others may be indices)."""
    first = sample.arrays()[:1]

    def change(a):
        if (spec.family not in ELEMENTWISE and a is not first[0]) or not a.values.size:
            return a
        values = special_values(a.dtype)
        if "int" in a.dtype and len(sample.arrays()) > 1:
            values = values[:-1]  # the least integer divided by -1 kills the reference
        chosen = np.array(values)[rng.integers(0, len(values), a.values.shape)]
        mixed = np.where(rng.random(a.values.shape) < 0.3, chosen, a.values)
        return a.with_(values=mixed.astype(bool) if a.dtype == "bool" else mixed)

    return sample.map_arrays(change)
