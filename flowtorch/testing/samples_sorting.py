"""Samples of sorting, searching and counting."""

from __future__ import annotations

from collections.abc import Iterator

from .samples import FLOATS, Maker, Sample, samples

ORDERED = ("float64", "float32", "bfloat16", "int64", "uint8", "bool")


@samples("sort", "argsort", dtypes=ORDERED, unordered=True)
def _sort(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True))
    yield make.call(make(3, 4, distinct=True), 0)
    yield make.call(make(3, 4, distinct=True), -1, True)
    yield make.call(make(3, 4), dim=0, descending=True, stable=True)
    yield make.call(make(distinct=True))
    yield make.call(make(0, 2))
    yield make.call(make(3), 1)


@samples("msort", dtypes=ORDERED)
def _msort(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True))
    yield make.call(make(5, distinct=True))


@samples("topk", dtypes=("float64", "float32", "bfloat16", "int64"), unordered=True)
def _topk(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True), 2)
    yield make.call(make(3, 4, distinct=True), 2, 0, False)
    yield make.call(make(3, 4, distinct=True), 3, dim=-1, largest=True, sorted=True)
    yield make.call(make(distinct=True), 1)
    yield make.call(make(3, distinct=True), 4)


@samples("kthvalue", dtypes=("float64", "float32", "bfloat16", "int64"), unordered=True)
def _kthvalue(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True), 2)
    yield make.call(make(3, 4, distinct=True), 1, 0, True)
    yield make.call(make(3, distinct=True), 4)


@samples("median", "nanmedian", dtypes=("float64", "float32", "bfloat16", "int64"), unordered=True)
def _median(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True))
    yield make.call(make(3, 4, distinct=True), 1)
    yield make.call(make(3, 5, distinct=True), dim=0, keepdim=True)
    yield make.call(make(distinct=True))


@samples("mode", dtypes=("float64", "float32", "int64"), unordered=True)
def _mode(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True))
    yield make.call(make(3, 5), 0)
    yield make.call(make(3, 5), dim=1, keepdim=True)


@samples("unique", dtypes=ORDERED, gradient=False)
def _unique(make: Maker) -> Iterator[Sample]:
    yield make.call(make(6))
    yield make.call(make(3, 4), True, True)
    yield make.call(make(3, 4), return_inverse=True, return_counts=True)
    yield make.call(make(3, 4), dim=0)
    yield make.call(make(0))


@samples("unique_consecutive", dtypes=ORDERED, gradient=False)
def _unique_consecutive(make: Maker) -> Iterator[Sample]:
    yield make.call(make(6))
    yield make.call(make(6), return_inverse=True, return_counts=True)
    yield make.call(make(3, 2), dim=0)


@samples("searchsorted", dtypes=("float64", "float32", "bfloat16", "int64", "uint8"), gradient=False)
def _searchsorted(make: Maker) -> Iterator[Sample]:
    yield make.call(make.given([1, 3, 5, 7], grad=False), make(3, grad=False))
    yield make.call(make.given([[1, 3, 5], [2, 4, 6]], grad=False), make(2, 2, grad=False), right=True)
    yield make.call(make.given([1, 3, 5, 7], grad=False), 3, out_int32=True)
    yield make.call(make.given([1, 3, 5, 7], grad=False), make(2, grad=False), side="right")


@samples("bucketize", dtypes=("float64", "float32", "int64"), gradient=False)
def _bucketize(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, grad=False), make.given([-1, 0, 2], grad=False))
    yield make.call(make(2, 3, grad=False), make.given([-1, 0, 2], grad=False), right=True, out_int32=True)


@samples("isin", dtypes=("float64", "float32", "int64", "uint8"), gradient=False)
def _isin(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), make(3))
    yield make.call(make(2, 3), 1)
    yield make.call(make(3), make(2), invert=True)


@samples("histc", dtypes=FLOATS, gradient=False)
def _histc(make: Maker) -> Iterator[Sample]:
    yield make.call(make(12, grad=False), 4)
    yield make.call(make(12, grad=False), bins=4, min=-2, max=2)


@samples("histogram", dtypes=FLOATS, gradient=False)
def _histogram(make: Maker) -> Iterator[Sample]:
    yield make.call(make(12, grad=False), 4)
    yield make.call(make(12, grad=False), 4, range=(-2.0, 2.0), density=True)
    yield make.call(make(12, grad=False), make.given([-2, 0, 2], grad=False))


@samples("histogramdd", dtypes=FLOATS, gradient=False)
def _histogramdd(make: Maker) -> Iterator[Sample]:
    yield make.call(make(6, 2, grad=False), (3, 2))
