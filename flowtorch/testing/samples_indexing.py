"""Samples of indexing: gather, scatter, index_*, masks."""

from __future__ import annotations

from collections.abc import Iterator

from .samples import ALL, REAL, Maker, Sample, samples


@samples("gather", dtypes=ALL)
def _gather(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 1, make.index(3, 2, below=4))
    yield make.call(make(3, 4), -2, make.index(2, 4, below=3))
    yield make.call(make(), 0, make.index(below=1))
    yield make.call(make(3, 4), 0, make.index(0, below=3))
    yield make.call(make(3, 4), 1, make.given([[9]], "int64"))
    yield make.call(make(3, 4), 1, make.given([[0.5]], "float32"))
    yield make.call(make(3, 4), 2, make.index(3, 2, below=2))


@samples("take", dtypes=ALL)
def _take(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.index(2, 2, below=12))
    yield make.call(make(3, 4), make.given([-1, 0], "int64"))
    yield make.call(make(3, 4), make.given([12], "int64"))


@samples("take_along_dim", dtypes=ALL)
def _take_along_dim(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.index(3, 2, below=4), 1)
    yield make.call(make(3, 4), make.index(1, 4, below=3), dim=0)
    yield make.call(make(3, 4), make.index(5, below=12))


@samples("index_select", dtypes=ALL)
def _index_select(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0, make.index(5, below=3))
    yield make.call(make(3, 4), -1, make.index(2, below=4, dtype="int32"))
    yield make.call(make(3, 4), 1, make.index(below=4))
    yield make.call(make(3, 4), 0, make.given([3], "int64"))
    yield make.call(make(3, 4), 0, make.index(2, 2, below=3))


@samples("masked_select", dtypes=ALL)
def _masked_select(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.mask(3, 4))
    yield make.call(make(3, 4), make.mask(4))
    yield make.call(make(3, 4), make(3, 4, dtype="float32"))


@samples("masked_fill", "Tensor.masked_fill_", dtypes=ALL)
def _masked_fill(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.mask(3, 4), 2)
    yield make.call(make(3, 4), make.mask(4), 1.5)
    yield make.call(make(3, 4), make.mask(3, 1), make())
    yield make.call(make(3, 4), make.index(3, 4, below=2), 1)


@samples("masked_scatter", "Tensor.masked_scatter_", dtypes=ALL)
def _masked_scatter(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.mask(3, 4), make(12))
    yield make.call(make(3, 4), make.mask(4), make(3, 4))
    yield make.call(make(3, 4), make.given([True, True, True, True], "bool"), make(2))


@samples("nonzero", "argwhere", dtypes=ALL)
def _nonzero(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make())
    yield make.call(make(0, 2))


@samples("nonzero_static", dtypes=("float32", "int64", "bool"))
def _nonzero_static(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3), size=4)
    yield make.call(make(2, 3), size=2, fill_value=7)


@samples("scatter", "Tensor.scatter_", dtypes=ALL)
def _scatter(make: Maker) -> Iterator[Sample]:
    rows = make.given([[0, 1], [2, 0], [1, 2]], "int64")
    yield make.call(make(3, 4), 0, rows, make(3, 2))
    yield make.call(make(3, 4), 0, rows, make(3, 4))
    yield make.call(make(3, 4), 1, rows, 2)
    yield make.call(make(3, 4), 1, rows, value=1.5)
    yield make.call(make(3, 4), -1, rows, make(3, 2), reduce="add")
    yield make.call(make(3, 4), -1, rows, make(3, 2), reduce="multiply")
    yield make.call(make(3, 4), 0, rows, make(3, 1))
    yield make.call(make(3, 2), 0, make.given([[5]], "int64"), make(1, 1))


@samples("scatter_add", "Tensor.scatter_add_", dtypes=ALL)
def _scatter_add(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0, make.index(5, 4, below=3), make(5, 4))
    yield make.call(make(3, 4), 1, make.index(2, 3, below=4), make(3, 4))
    yield make.call(make(3, 4), 1, make.index(2, 3, below=4), make(1, 1))


@samples("scatter_reduce", dtypes=REAL, double=False, factor=4, domain=(0.3, 3.0))
def _scatter_reduce(make: Maker) -> Iterator[Sample]:
    for how in ("sum", "prod", "mean", "amax", "amin"):
        yield make.call(make(3, 4), 1, make.index(3, 5, below=4), make(3, 5), how)
        yield make.call(make(3, 4), 0, make.index(5, 4, below=3), make(5, 4), how, include_self=False)
    yield make.call(make(3, 4), 0, make.index(5, 4, below=3), make(5, 4), "other")


@samples("index_add", dtypes=ALL)
def _index_add(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0, make.index(5, below=3), make(5, 4))
    yield make.call(make(3, 4), -1, make.index(2, below=4), make(3, 2), alpha=2)
    yield make.call(make(3, 4), 0, make.index(2, below=3), make(3, 4))
    yield make.call(make(3, 4), 0, make.given([5], "int64"), make(1, 4))


@samples("index_copy", dtypes=ALL)
def _index_copy(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0, make.given([2, 0], "int64"), make(2, 4))
    yield make.call(make(3, 4), 1, make.given([1, 3], "int64"), make(3, 2))
    yield make.call(make(3, 4), 1, make.given([1, 3], "int64"), make(2, 2))


@samples("index_fill", dtypes=ALL)
def _index_fill(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0, make.given([2, 0], "int64"), 2)
    yield make.call(make(3, 4), 1, make.given([1, 3], "int64"), 1.5)
    yield make.call(make(3, 4), -1, make.given([1], "int64"), make())


@samples("index_reduce", dtypes=REAL, double=False, factor=4, domain=(0.3, 3.0))
def _index_reduce(make: Maker) -> Iterator[Sample]:
    for how in ("prod", "mean", "amax", "amin"):
        yield make.call(make(3, 4), 0, make.index(5, below=3), make(5, 4), how)
        yield make.call(make(3, 4), 1, make.index(2, below=4), make(3, 2), how, include_self=False)


@samples("index_put", "index_put_", dtypes=ALL)
def _index_put(make: Maker) -> Iterator[Sample]:
    rows, columns = make.given([0, 2], "int64"), make.given([1, 3], "int64")
    yield make.call(make(3, 4), (rows,), make(2, 4))
    yield make.call(make(3, 4), (rows, columns), make(2))
    yield make.call(make(3, 4), (rows, columns), make())
    yield make.call(make(3, 4), (make.given([1, 1], "int64"),), make(4), accumulate=True)
    yield make.call(make(3), (make.given([True, False, True], "bool"),), make(2))
    yield make.call(make(3, 4), (rows,), make(3, 4))


@samples("put", dtypes=ALL)
def _put(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.given([1, 5], "int64"), make(2))
    yield make.call(make(3, 4), make.given([[1, 1]], "int64"), make(1, 2), accumulate=True)
    yield make.call(make(3, 4), make.given([1, 5], "int64"), make(3))


@samples("Tensor.__getitem__", dtypes=("float64", "float32", "bfloat16", "int64", "bool"))
def _getitem(make: Maker) -> Iterator[Sample]:
    i, j = make.given([0, 2, 1], "int64"), make.given([1, 3, 0], "int64")
    for index in (
        0,
        -1,
        slice(1, None),
        slice(None, None, 2),
        None,
        Ellipsis,
        (0, 1),
        (slice(None), -1),
        (Ellipsis, 0),
        (None, slice(0, 2)),
        i,
        (i, j),
        (slice(None), j),
        [0, 2],
        (i, slice(1, 3)),
        (slice(None), [True, False, True, True]),
        True,
        (),
        3,
        1.5,
        "a",
        (0, 0, 0),
        make.mask(3, 4),
        make.mask(3),
        make.given(1, "int64"),
        make.given([1.0], "float32"),
        make.given([5], "int64"),
    ):
        yield make.call(make(3, 4), index)


@samples("embedding", dtypes=("float64", "float32", "bfloat16"))
def _embedding(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5, 3), make.index(2, 4, below=5))
    yield make.call(make(5, 3), make.index(below=5, dtype="int32"))
    yield make.call(make(5, 3), make.given([7], "int64"))


@samples("nn.functional.embedding", dtypes=("float64", "float32", "bfloat16"))
def _f_embedding(make: Maker) -> Iterator[Sample]:
    yield make.call(make.index(2, 4, below=5), make(5, 3))
    yield make.call(make.index(4, below=5), make(5, 3), padding_idx=1)
    yield make.call(make.index(4, below=5), make(5, 3), scale_grad_by_freq=True)


@samples("embedding_renorm_", dtypes=("float64", "float32"), gradient=False)
def _embedding_renorm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5, 3, grad=False), make.index(4, below=5), 1.0, 2.0)


@samples("nn.functional.one_hot", dtypes=("int64", "int32", "float32"), domain=(0, 4))
def _one_hot(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), 6)
    yield make.call(make(4))
    yield make.call(make(4), 1)


@samples("bincount", dtypes=("int64", "uint8", "float32"), domain=(0, 5), gradient=False)
def _bincount(make: Maker) -> Iterator[Sample]:
    yield make.call(make(6))
    yield make.call(make(6), minlength=9)
    yield make.call(make(6), make(6, dtype="float32"))


@samples("nn.functional.embedding_bag", dtypes=("float64", "float32"), double=False)
def _f_embedding_bag(make: Maker) -> Iterator[Sample]:
    for mode in ("mean", "sum", "max"):
        yield make.call(make.index(3, 4, below=6), make(6, 3), mode=mode)
        yield make.call(make.index(5, below=6), make(6, 3), make.given([0, 2, 2], "int64"), mode=mode)
    yield make.call(
        make.index(5, below=6), make(6, 3), make.given([0, 3], "int64"), mode="sum", per_sample_weights=make(5)
    )


@samples("embedding_bag", dtypes=("float64", "float32"), gradient=False, errors=False)
def _embedding_bag(make: Maker) -> Iterator[Sample]:
    yield make.call(make(6, 3), make.index(5, below=6), make.given([0, 2], "int64"))
