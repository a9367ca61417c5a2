"""Random calls of every pointwise function, reduction, scan, view and index function, against torch.

The calls are made from the registered samples: other values, special ones among them, other shapes and dtypes where
the function works element by element, other dimensions, and memory laid out in every way for each tensor by itself.

    FLOWTORCH_RANDOM_CALLS=200000 pytest tests/test_random_calls.py        # so many, other ones each time
"""

import os
import re
from pathlib import Path

import numpy as np
import torch
from differences import DIFFERENCES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import flowtorch
from flowtorch.testing import checks
from flowtorch.testing.samples import LAYOUTS, Sample, find, load
from flowtorch.testing.samples_pointwise import special_values

EXAMPLES = int(os.environ.get("FLOWTORCH_RANDOM_CALLS", "1500"))
ONLY = os.environ.get("FLOWTORCH_RANDOM_FUNCTION")
PAIR = checks.Pair(flowtorch, torch)
FAMILIES = ("pointwise", "reduction", "view", "indexing", "sorting")
ELEMENTWISE = ("unary", "binary", "ternary")
# Beside numbers of the wrong kind or of no use the reference crashes, or takes forever.
LEFT_OUT = {
    "Tensor.set_", "Tensor.resize_", "Tensor.resize_as_", "resize_as_", "empty_like", "Tensor.new_empty",
    "Tensor.as_strided", "as_strided", "as_strided_copy", "Tensor.as_strided_", "as_strided_scatter", "unbind_copy",
}  # fmt: skip
NOT_EXPANDED = "(nan)?median|kthvalue|mode|msort|sort|argsort|topk|(nan)?quantile"  # it writes beyond the memory there
COUNTING = r"bincount|(.*\.)?one_hot|unravel_index|repeat_interleave|.*embedding.*"  # nor does it doubt its indices
OPEN_FILE = Path(__file__).with_name("open_defects.txt")
OPEN = {line.split()[1] for line in OPEN_FILE.read_text().splitlines() if line.startswith(("values ", "layouts "))}
SAMPLES = {
    name: spec
    for name, spec in sorted(load().items())
    if spec.generator.__module__.removeprefix("flowtorch.testing.samples_") in FAMILIES
    and name not in LEFT_OUT and name not in OPEN and not spec.random and not spec.undefined
    and (ONLY is None or name == ONLY) and find(flowtorch, name) is not None and find(torch, name) is not None
}  # fmt: skip
# (function, difference): for reasons that only unusual numbers bring out.
DIFFERENT = [
    # torch updates mean and variance element by element, where two infinities meet otherwise
    ("(var|std)(_mean)?", r"value: .*(nan|inf)"),
    # sums that overflow, where torch multiplies before it adds
    ("(cumulative_)?trapezoid|trapz|gradient", r"value: "),
    # powers of two beyond the range of the exponent's own dtype
    ("ldexp", r"value: "),
    # values beside infinite or huge edges, whose bins have no width
    ("histc|histogram(dd)?", r"value: "),
    # whether nan is a value of its own
    ("mode", r"value: "),
    # integers are refused wherever the weight is
    ("lerp", r"got NotImplementedError"),
    # which of two kernels of one accuracy computes the elements of an expanded tensor
    ("tan|erfinv", r"expanded.*strides: "),
    ("unique|searchsorted|bucketize", r"value: "),
    # the square root of -inf, which torch takes as a power of float16
    ("pow", r"float16.*value: .*(nan|inf)"),
    # log(x / (1 - x)) where the quotient is near 1
    ("logit", r"value: "),
    # large terms that cancel
    ("mean|sum", r"value: "),
    # where dimensions of size 1 have any stride, and the base is a number
    (".*", r"\[(\d+, )*1(, \d+)*\].*strides: "),
    # slices among which none is repeated
    ("unique(_consecutive)?", r"strides: "),
]
CHECKS = ("values", "layouts", "specials", "promotion")


def explained(name, line):
    """Say whether the table of differences explains a line."""
    return any(re.fullmatch(who, name) and re.search(what, line) for who, what in DIFFERENT) or any(
        any(re.fullmatch(where, check) for check in CHECKS) and re.fullmatch(who, name) and re.search(what, line)
        for where, who, what, _ in DIFFERENCES
    )


@st.composite
def calls(draw):
    """Draw (name, call)."""
    name = draw(st.sampled_from(list(SAMPLES)))
    spec = SAMPLES[name]
    dtype = draw(st.sampled_from(spec.dtypes))
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
            sample = checks.change_last(sample, draw(st.sampled_from([a for a in ("float32", "float64", "int64", "bool",
                                                                                 "bfloat16", "uint8") if a != dtype])))
    elif draw(st.integers(0, 2)) == 0:
        sample = turned(draw, sample)
    if draw(st.integers(0, 2)) == 0 and not re.fullmatch(COUNTING, name):
        sample = with_specials(sample, spec, rng)
    layouts = LAYOUTS[:-1] if re.fullmatch(NOT_EXPANDED, name) else LAYOUTS
    return name, sample.map_arrays(lambda a: checks.lay_out(a, draw(st.sampled_from(layouts))))


def reshaped(draw, sample, rng):
    """Give the tensors shapes that broadcast, filled with values of the sample."""
    shape = tuple(draw(st.lists(st.integers(0, 4), max_size=3)))

    def change(a):
        own = tuple(1 if draw(st.integers(0, 4)) == 0 else n for n in shape)[draw(st.integers(0, 1)) and 0 :]
        own = own[draw(st.integers(0, len(own))) :] if draw(st.integers(0, 4)) == 0 else own
        pool = a.values.reshape(-1) if a.values.size else np.ones(1, a.values.dtype)
        return a.with_(values=rng.choice(pool, own))

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


def test_random_calls():
    failures: dict[str, list] = {}
    count = 0

    @settings(max_examples=EXAMPLES, derandomize="FLOWTORCH_RANDOM_CALLS" not in os.environ, deadline=None,
              database=None, suppress_health_check=list(HealthCheck))  # fmt: skip
    @given(call=calls())
    def run(call):
        nonlocal count
        count += 1
        name, sample = call
        for line in PAIR.compare(name, SAMPLES[name], sample, ""):
            if not explained(name, line):
                failures.setdefault(name, []).append(line)

    run()
    lines = [f"{name} ({len(found)}): {found[0]}" for name, found in sorted(failures.items())]
    assert not lines, f"{len(lines)} functions differ in {count} calls\n" + "\n".join(lines)
