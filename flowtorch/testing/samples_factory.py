"""Samples of functions that make tensors."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import ALL, Maker, Named, Sample, samples


def fixed(*names: str, given: Any, **options: Any) -> None:
    """Functions without tensor arguments; the dtype is asked for by name."""

    @samples(*names, **{"family": "factory", "gradient": False, "layouts": False, **options})
    def _(make: Maker) -> Iterator[Sample]:
        for args in given:
            yield make.call(*args)
            yield make.call(*args, dtype=Named(make.dtype))


fixed("zeros", "ones", given=[(2, 3), ((2, 3),), ((),), (0, 2), (-1,), (1.5,), ("a",)])
fixed("empty", given=[(2, 3), ((2, 3),)], undefined=True)
fixed("full", given=[((2, 3), 2), ((), 1.5), ((2,), True), ((2,), 1 + 2j)])
fixed("arange", given=[(5,), (1, 5), (1, 2.5, 0.5), (5, 1, -1), (1.5,), (0,), (5, 1)], domain=(0, 9))
fixed("range", given=[(1, 5), (1, 2, 0.5)], dtypes=("float32", "float64"))  # torch dies of int64 with step 0.5
fixed("linspace", given=[(0, 1, 5), (3, -3, 4), (1, 2, 1), (0, 10, 0)], factor=2)
fixed("logspace", given=[(0, 1, 5), (0, 3, 4, 2)], factor=4)
fixed("eye", given=[(3,), (2, 3), (0,), (-1,)])
fixed("empty_strided", given=[((2, 3), (3, 1)), ((2, 3), (1, 2))], undefined=True)
fixed("empty_permuted", given=[((2, 3, 4), (0, 2, 1))], undefined=True)
fixed("tril_indices", "triu_indices", given=[(3, 4), (4, 2, 1), (3, 3, -1)], dtypes=("int64", "int32"))
fixed("scalar_tensor", given=[(2,), (1.5,)])
fixed(
    "tensor",
    "as_tensor",
    "asarray",
    given=[([1, 2, 3],), ([[1.5, 2], [3, 4]],), (True,), ([True, False],), (1 + 2j,), ([],), ([[1], [1, 2]],)],
)


@samples("zeros_like", "ones_like", family="factory", dtypes=ALL)
def _like(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, grad=False))
    yield make.call(make(2, 3, grad=False), dtype=Named("float64"))


@samples("empty_like", family="factory", dtypes=ALL, undefined=True)
def _empty_like(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, grad=False))
    yield make.call(make(2, 3, grad=False), dtype=Named("float64"))


@samples("full_like", family="factory", dtypes=ALL)
def _full_like(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, grad=False), 2)
    yield make.call(make(2, 3, grad=False), 1.5, dtype=Named("float64"))


@samples("Tensor.new_zeros", "Tensor.new_ones", family="factory")
def _new(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, grad=False), (2, 3))
    yield make.call(make(2, grad=False), 2, 3)
    yield make.call(make(2, grad=False), (2,), dtype=Named("int32"))


@samples("Tensor.new_empty", family="factory", undefined=True)
def _new_empty(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, grad=False), (2, 3))


@samples("Tensor.new_full", family="factory")
def _new_full(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, grad=False), (2, 3), 2)
    yield make.call(make(2, grad=False), (2, 3), 1.5)


@samples("Tensor.new_tensor", family="factory")
def _new_tensor(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, grad=False), [1, 2])
    yield make.call(make(2, grad=False), [[1.5]])
