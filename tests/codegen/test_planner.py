"""Layout planning: every element is visited once at its addresses; outputs are laid out as torch does.

Run: python -m pytest tests/codegen/test_planner.py
"""

import itertools
import math

import pytest
import torch
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from flowtorch.codegen.planner import broadcast_strides, output_strides, plan, plan_reduction

SIZES = st.lists(st.integers(0, 4), min_size=0, max_size=4)


@st.composite
def layouts(draw, shape):
    """A shape and strides that broadcast to `shape`: permuted, sliced with a step, dimensions left out."""
    own = [1 if draw(st.booleans()) and draw(st.booleans()) else size for size in shape]
    order = draw(st.permutations(range(len(own))))
    step = draw(st.integers(1, 3))
    strides = [0] * len(own)
    for dim in order:
        strides[dim] = step
        step *= max(own[dim], 1) * draw(st.integers(1, 2))
    first = draw(st.integers(0, len(own))) if draw(st.booleans()) else 0
    first = max([first] if all(size == 1 for size in own[:first]) else [0])
    return tuple(own[first:]), tuple(strides[first:])


@st.composite
def problems(draw):
    shape = draw(SIZES)
    inputs = [draw(layouts(shape)) for _ in range(draw(st.integers(1, 3)))]
    return tuple(shape), inputs


def addresses(shape, strides):
    """Per element in a row-major walk, the offsets of all operands."""
    return [
        tuple(sum(i * own[dim] for dim, i in enumerate(index)) for own in strides)
        for index in itertools.product(*map(range, shape))
    ]


@settings(max_examples=300, deadline=None)
@given(problems())
def test_a_plan_visits_the_same_addresses(problem):
    shape, inputs = problem
    strides = tuple(broadcast_strides(*own, shape) for own in inputs)
    strides += (output_strides(shape, strides),)
    layout = plan(shape, strides)
    assert sorted(addresses(layout.shape, layout.strides)) == sorted(addresses(shape, strides))
    assert layout.numel == math.prod(shape)
    units = [own[-1] for own in layout.strides]
    if layout.kind != "general":
        assert units[-1] == 1 and set(units) <= {0, 1}
    assert (layout.kind == "contiguous") <= (len(layout.shape) == 1)
    for own, single in zip(layout.strides, layout.scalars, strict=True):
        assert single == (not any(own))


@settings(max_examples=300, deadline=None)
@given(problems())
def test_no_two_neighbouring_dimensions_of_a_plan_could_be_merged(problem):
    shape, inputs = problem
    strides = tuple(broadcast_strides(*own, shape) for own in inputs)
    layout = plan(shape, (*strides, output_strides(shape, strides)))
    if layout.numel > 1:
        assert 1 not in layout.shape
        for dim in range(len(layout.shape) - 1):
            inner = layout.shape[dim + 1]
            assert not all(own[dim] == own[dim + 1] * inner for own in layout.strides)


@settings(max_examples=500, deadline=None)
@given(problems())
@example(((1, 1, 2), [((1, 1, 2), (1, 1, 1)), ((1, 2), (1, 1))]))
def test_outputs_are_laid_out_as_torch_does(problem):
    shape, inputs = problem
    assume(0 not in shape)  # the strides of an empty tensor say nothing
    tensors = [torch.empty(200_000).as_strided(*own) for own in inputs]
    expected = {1: torch.neg, 2: torch.add, 3: torch.addcmul}[len(tensors)](*tensors)
    if tuple(expected.shape) != shape:  # nothing broadcasts to `shape`
        shape = tuple(expected.shape)
    assert output_strides(shape, tuple(broadcast_strides(*own, shape) for own in inputs)) == expected.stride()


def test_layout_classes():
    row_major, transposed = (50, 1), (1, 30)
    assert plan((30, 50), (row_major, row_major)).kind == "contiguous"
    assert plan((30, 50), (transposed, transposed)).kind == "contiguous"
    assert plan((30, 50), ((0, 1), row_major)).kind == "inner"
    assert plan((30, 50), ((1, 0), row_major)).kind == "inner"
    assert plan((30, 50), ((100, 1), row_major)).kind == "inner"
    assert plan((30, 50), (transposed, row_major)).kind == "general"
    assert plan((30, 50), ((0, 0), row_major)).scalars == (True, False)
    assert plan((30,), ((2,), (1,))).kind == "general"
    assert plan((), ((), ())).kind == "contiguous"
    assert plan((1, 1), ((7, 3), (1, 1))).shape == (1,)
    assert plan((0, 3), ((3, 1), (3, 1))).numel == 0


def test_wide_indices_where_32_bits_do_not_reach():
    assert plan((2**31 - 1,), ((1,), (1,))).index_bits == 32
    assert plan((2**31,), ((1,), (1,))).index_bits == 64
    assert plan((2, 2), ((2**31, 1), (2, 1))).index_bits == 64
    assert plan((2, 2), ((-(2**31), 1), (2, 1))).index_bits == 64


def test_mistakes_are_refused():
    with pytest.raises(ValueError, match="several elements in one place"):
        plan((3, 4), ((4, 1), (0, 1)))
    with pytest.raises(ValueError, match="does not broadcast"):
        broadcast_strides((3,), (1,), (4,))
    with pytest.raises(ValueError, match="does not broadcast"):
        broadcast_strides((2, 3), (3, 1), (3,))


def memory_places(index, strides):
    """Where ``index`` lies in memories with these strides."""
    return tuple(sum(i * s for i, s in zip(index, own, strict=True)) for own in strides)


@settings(max_examples=200, deadline=None)
@given(problems(), st.data())
def test_a_reduction_plan_visits_the_same_addresses(problem, data):
    shape, inputs = problem
    strides = tuple(broadcast_strides(*given, shape) for given in inputs)
    dims = tuple(d for d in range(len(shape)) if data.draw(st.booleans()))
    kept = [d for d in range(len(shape)) if d not in dims]
    out = output_strides(tuple(shape[d] for d in kept), ())
    layout = plan_reduction(shape, strides, dims, out)
    expected = {}
    for index in itertools.product(*map(range, shape)):
        place = sum(index[d] * step for d, step in zip(kept, out, strict=True))
        expected.setdefault(place, []).append(memory_places(index, strides))
    found = {}
    for outer in itertools.product(*(range(size) for size, *_ in layout.kept)):
        *start, place = memory_places(outer, [[dim[k + 1] for dim in layout.kept] for k in range(len(strides) + 1)])
        for inner in itertools.product(*(range(size) for size, *_ in layout.reduced)):
            steps = memory_places(inner, [[dim[k + 1] for dim in layout.reduced] for k in range(len(strides))])
            found.setdefault(place, []).append(tuple(a + b for a, b in zip(start, steps, strict=True)))
    assert {k: sorted(v) for k, v in found.items()} == {k: sorted(v) for k, v in expected.items()}
