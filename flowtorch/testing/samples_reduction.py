"""Samples of reductions and scans."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import ALL, FLOATS, Maker, Named, Sample, samples


def reduction(*names: str, many: bool = True, dim: bool = False, dtype: bool = False, **options: Any) -> None:
    """Reductions: ``many`` take several dimensions, ``dim`` need one, ``dtype`` take another dtype."""

    @samples(*names, **{"family": "reduction", "dtypes": ALL, "factor": 8, "accuracy": True, **options})
    def _(make: Maker) -> Iterator[Sample]:
        if not dim:
            yield make.call(make(3, 4))
            yield make.call(make())
            yield make.call(make(2, 0))
        for d in (0, -1, 2):
            yield make.call(make(2, 3, 4), d)
        yield make.call(make(2, 3, 4), 1, True)
        yield make.call(make(3, 0), 1)
        yield make.call(make(3, 0), 0)
        yield make.call(make(), 0)
        yield make.call(make(3, 4), dim=0, keepdim=True)
        if many:
            yield make.call(make(2, 3, 4), (0, 2))
            yield make.call(make(2, 3, 4), [1, -1], True)
        if dtype:
            yield make.call(make(3, 4), dtype=Named("float64"))
            yield make.call(make(3, 4), 1, dtype=Named("float32"))


reduction("sum", "mean", "nansum", "nanmean", dtype=True)
reduction("prod", many=False, dtype=True, domain=(0.4, 1.8))
reduction("amax", "amin", factor=1)
reduction("argmax", "argmin", many=False, factor=1)
reduction("all", "any", factor=1)
reduction("logsumexp", dim=True)


@samples("count_nonzero", dtypes=ALL)
def _count_nonzero(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0)
    yield make.call(make(2, 3, 4), dim=(0, 2))
    yield make.call(make())
    yield make.call(make(0, 3), 0)


@samples("hash_tensor", dtypes=(*ALL, "uint16"))
def _hash_tensor(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make())
    yield make.call(make(2, 3, 4), 1)
    yield make.call(make(2, 3, 4), (0, -1), keepdim=True)
    yield make.call(make(0, 3))
    yield make.call(make(0, 3), 0)
    yield make.call(make(0, 3), 1)
    yield make.call(make(3, 4), mode=1)
    yield make.call(make(3, 4), 2)


@samples("max", "min", dtypes=ALL, family="reduction")
def _max(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make())
    yield make.call(make(3, 4), 1)
    yield make.call(make(2, 3, 4), -2, True)
    yield make.call(make(2, 3, 4), dim=0, keepdim=True)
    yield make.call(make(), 0)
    yield make.call(make(3, 4), make(4))
    yield make.call(make(3, 0), 0)
    yield make.call(make(3, 0), 1)


@samples("aminmax", dtypes=ALL, family="reduction")
def _aminmax(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), dim=1)
    yield make.call(make(3, 4), dim=0, keepdim=True)
    yield make.call(make())


@samples("var", "std", "var_mean", "std_mean", dtypes=ALL, family="reduction", factor=8, accuracy=True)
def _var(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 1)
    yield make.call(make(3, 4), False)
    yield make.call(make(2, 3, 4), (0, 2))
    yield make.call(make(2, 3, 4), dim=(0, 1), correction=0)
    yield make.call(make(2, 3, 4), dim=-1, correction=2, keepdim=True)
    yield make.call(make(2, 3, 4), 1, True, True)
    yield make.call(make(2, 3), dim=0, unbiased=False)


@samples("dist", factor=8)
def _dist(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4))
    yield make.call(make(3, 4), make(4), 1)
    yield make.call(make(3, 4), make(3, 4), 3)
    yield make.call(make(3, 4), make(3, 4), float("inf"))
    yield make.call(make(3, 4), make(3, 4), 0)


@samples("norm", factor=8)
def _norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 1)
    yield make.call(make(3, 4), 2, 1)
    yield make.call(make(3, 4), 3, 0, True)
    yield make.call(make(2, 3, 4), "fro", (0, 1))
    yield make.call(make(3, 4), float("inf"), 1)
    yield make.call(make(3, 4), p=2, dim=-1, dtype=Named("float64"))


@samples("Tensor.norm", factor=8)
def _norm_method(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 1, 1)
    yield make.call(make(3, 4), p=2, dim=-1, keepdim=True)


@samples("linalg.vector_norm", factor=8)
def _vector_norm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    for order in (0, 1, 2, 3, 0.5, float("inf"), float("-inf")):
        yield make.call(make(3, 4), order, 1)
    yield make.call(make(2, 3, 4), 2, (0, 2), True)
    yield make.call(make(3), dtype=Named("float64"))


@samples("renorm", factor=8)
def _renorm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 2, 0, 1.0)
    yield make.call(make(3, 4), 1, 1, 2.0)
    yield make.call(make(2, 3, 4), 2, -1, 100.0)


@samples("Tensor.sum_to_size", factor=8)
def _sum_to_size(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 4)
    yield make.call(make(3, 4), 3, 1)
    yield make.call(make(2, 3, 4), (1, 3, 1))
    yield make.call(make(3, 4), (3, 5))


def scan(*names: str, dtype: bool = False, **options: Any) -> None:
    """Functions that keep the shape and run along one dimension."""

    @samples(*names, **{"dtypes": ALL, "family": "scan", "factor": 8, **options})
    def _(make: Maker) -> Iterator[Sample]:
        yield make.call(make(3, 4), 0)
        yield make.call(make(2, 3, 4), -1)
        yield make.call(make(2, 3, 4), dim=1)
        yield make.call(make(), 0)
        yield make.call(make(0, 3), 0)
        yield make.call(make(3), 1)
        if dtype:
            yield make.call(make(3, 4), 1, dtype=Named("float64"))


scan("cumsum", dtype=True)
scan("cumprod", dtype=True, domain=(0.4, 1.8))
scan("cummax", "cummin")
scan("logcumsumexp", double=False)


@samples(
    "softmax",
    "log_softmax",
    "nn.functional.softmax",
    "nn.functional.log_softmax",
    "nn.functional.softmin",
    dtypes=ALL,
    factor=8,
)
def _softmax(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 1)
    yield make.call(make(2, 3, 4), 0)
    yield make.call(make(2, 3, 4), dim=-2)
    yield make.call(make(), 0)
    yield make.call(make(0, 3), 0)
    yield make.call(make(3, 4), dim=1, dtype=Named("float64"))


@samples("quantile", "nanquantile", dtypes=(*FLOATS, "float16", "int64"), factor=4)
def _quantile(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4, distinct=True), 0.4)
    yield make.call(make(3, 4, distinct=True), 0.5, 1)
    yield make.call(make(3, 4, distinct=True), make.given([0.1, 0.5, 0.9], grad=False), dim=0, keepdim=True)
    for way in ("lower", "higher", "midpoint", "nearest"):
        yield make.call(make(3, 5, distinct=True), 0.3, dim=1, interpolation=way)


@samples("trapezoid", "trapz", "cumulative_trapezoid", factor=8)
def _trapezoid(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), dx=0.5)
    yield make.call(make(3, 4), make(4))
    yield make.call(make(3, 4), make(3, 4), dim=0)


@samples("diff")
def _diff(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 5))
    yield make.call(make(3, 5), 2, 0)
    yield make.call(make(3, 5), prepend=make(3, 1), append=make(3, 2))
    yield make.call(make())


@samples("gradient", factor=8)
def _gradient(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5))
    yield make.call(make(4, 5), spacing=2.0, dim=1)
    yield make.call(make(4, 5), edge_order=2)


@samples("segment_reduce", dtypes=(*FLOATS, "bfloat16"), factor=8, errors=False, double=False)
def _segment_reduce(make: Maker) -> Iterator[Sample]:
    lengths = make.given([2, 0, 3], "int64", grad=False)
    for way in ("sum", "mean", "max", "min", "prod"):
        yield make.call(make(5, distinct=True), way, lengths=lengths)
        yield make.call(make(5, 3), way, lengths=lengths, initial=0.5)
    rows = make.given([[1, 3], [4, 0]], "int64", grad=False)
    yield make.call(make(2, 4, 2), "sum", lengths=rows, axis=1)
    yield make.call(make(5, 3), "max", offsets=make.given([0, 2, 5], "int64", grad=False))
