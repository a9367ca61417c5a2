"""Samples of products of matrices."""

from __future__ import annotations

from collections.abc import Iterator

from .samples import Maker, Sample, samples


@samples("matmul", factor=8)
def _matmul(make: Maker) -> Iterator[Sample]:
    for a, b in (
        ((3,), (3,)),
        ((2, 3), (3,)),
        ((3,), (3, 2)),
        ((2, 3), (3, 4)),
        ((5, 2, 3), (3, 4)),
        ((5, 2, 3), (5, 3, 4)),
        ((3,), (5, 3, 4)),
        ((2, 1, 2, 3), (5, 3, 4)),
        ((0, 3), (3, 2)),
        ((2, 0), (0, 3)),
        ((2, 3), (2, 3)),
        ((), (3,)),
    ):
        yield make.call(make(*a), make(*b))
    yield make.call(make(2, 3), make(3, 2, dtype="float64"))


def products(*names: str, shapes: tuple) -> None:
    """Products of tensors of these shapes."""

    @samples(*names, factor=8)
    def _(make: Maker) -> Iterator[Sample]:
        for each in shapes:
            yield make.call(*(make(*s) for s in each))


products("mm", shapes=(((2, 3), (3, 4)), ((0, 3), (3, 2)), ((2, 3), (2, 3)), ((3,), (3, 2))))
products("bmm", shapes=(((2, 2, 3), (2, 3, 4)), ((0, 2, 3), (0, 3, 4)), ((2, 2, 3), (1, 3, 4))))
products("mv", shapes=(((2, 3), (3,)), ((2, 3), (2,))))
products("dot", "vdot", "inner", shapes=(((3,), (3,)), ((3,), (4,)), ((2, 3), (3,))))
products("outer", "ger", shapes=(((3,), (2,)), ((2, 2), (2,))))
products(
    "addmm", shapes=(((2, 4), (2, 3), (3, 4)), ((4,), (2, 3), (3, 4)), ((), (2, 3), (3, 4)), ((3,), (2, 3), (3, 4)))
)
products("addmv", shapes=(((2,), (2, 3), (3,)), ((), (2, 3), (3,))))
products("addr", shapes=(((2, 3), (2,), (3,)), ((3,), (2,), (3,))))
products("baddbmm", shapes=(((2, 2, 4), (2, 2, 3), (2, 3, 4)), ((4,), (2, 2, 3), (2, 3, 4))))
products("addbmm", shapes=(((2, 4), (2, 2, 3), (2, 3, 4)),))
products("chain_matmul", shapes=(((2, 3), (3, 4), (4, 2)),))
products("kron", shapes=(((2, 2), (2, 3)), ((3,), (2,))))
products(
    "linear",
    "nn.functional.linear",
    shapes=(
        ((2, 3), (4, 3)),
        ((2, 3), (4, 3), (4,)),
        ((3,), (4, 3), (4,)),
        ((5, 2, 3), (4, 3), (4,)),
        ((2, 3), (3, 4)),
        ((2, 3), (3,)),
    ),
)
products(
    "bilinear", "nn.functional.bilinear", shapes=(((2, 3), (2, 4), (5, 3, 4)), ((2, 3), (2, 4), (5, 3, 4), (5,)))
)


@samples("cross", "linalg.cross")
def _cross(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), make(2, 3))
    yield make.call(make(2, 3), make(3))
    yield make.call(make(3, 2), make(3, 2), dim=0)
    yield make.call(make(2, 2), make(2, 2), dim=0)


@samples("linalg.multi_dot", factor=16)
def _multi_dot(make: Maker) -> Iterator[Sample]:
    yield make.call([make(2, 3), make(3, 4), make(4, 2)])
    yield make.call([make(3), make(3, 2), make(2)])
    yield make.call([make(2, 3), make(2, 4)])


@samples("tensordot", factor=16)
def _tensordot(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4), make(3, 4, 5))
    yield make.call(make(2, 3), make(3, 2), 1)
    yield make.call(make(2, 3, 4), make(4, 3, 2), dims=([1, 2], [1, 0]))
    yield make.call(make(2, 3), make(3, 2), ([0], [0]))


@samples("einsum", factor=16)
def _einsum(make: Maker) -> Iterator[Sample]:
    yield make.call("ij,jk->ik", make(2, 3), make(3, 4))
    yield make.call("bij,bjk", make(2, 2, 3), make(2, 3, 4))
    yield make.call("ii->i", make(3, 3))
    yield make.call("...ij->...ji", make(2, 3, 4))
    yield make.call("i,j,k->kji", make(2), make(3), make(4))
    yield make.call("ij,jk->ik", make(2, 3), make(2, 4))


@samples("nn.functional.grouped_mm", dtypes=("bfloat16", "float32"), factor=16)
def _grouped_mm(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 8, 8), make(2, 8, 8))
    yield make.call(make(8, 8), make(2, 8, 8), offs=make.given([3, 8], "int32"))


@samples("cdist", dtypes=("float64", "float32"), factor=32, double=False)
def _cdist(make: Maker) -> Iterator[Sample]:
    for p in (2.0, 1.0, 3.0, float("inf"), 0.0):
        yield make.call(make(4, 3), make(2, 3), p)
    yield make.call(make(2, 4, 3), make(2, 2, 3), compute_mode="donot_use_mm_for_euclid_dist")
    yield make.call(make(4, 3), make(2, 2))


@samples("trace")
def _trace(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3))


@samples("cov", "corrcoef", factor=32)
def _cov(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 5))
    yield make.call(make(5))


@samples(
    "pca_lowrank", "svd_lowrank", dtypes=("float64",), random=True, gradient=False, layouts=False, factor=1e6,
    columns=True,
)  # fmt: skip
def _lowrank(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5, 4), 2)
