"""Samples of losses and distances."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import Maker, Sample, samples

WORDS = ("none", "mean", "sum")
TRIED = ("float64", "float32", "bfloat16")


def losses(*names: str, **options: Any) -> Any:
    return samples(
        *(f"nn.functional.{n}" for n in names), **{"dtypes": TRIED, "factor": 8, "family": "loss", **options}
    )


@losses("l1_loss", "mse_loss", "smooth_l1_loss", "huber_loss", "kl_div", "poisson_nll_loss")
def _two(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(3, 4), make(3, 4, low=0.1), reduction=word)
    yield make.call(make(), make(low=0.1))
    yield make.call(make(3, 4), make(3, 4, low=0.1), reduction="other")


@losses("soft_margin_loss", "hinge_embedding_loss")
def _signs(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(4), make.given([1, -1, 1, -1], grad=False), reduction=word)


@losses("gaussian_nll_loss")
def _gaussian(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4), make(3, 4, low=0.2))
    yield make.call(make(3, 4), make(3, 4), make(3, 1, low=0.2), full=True, reduction="sum")


@losses("binary_cross_entropy", domain=(0.05, 0.95))
def _bce(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(3, 4), make(3, 4), reduction=word)
    yield make.call(make(3, 4), make(3, 4), make(4))
    yield make.call(make(3, 4), make(4))
    yield make.call(make(3, 4, low=1.5, high=2), make(3, 4))


@losses("binary_cross_entropy_with_logits")
def _bce_logits(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(3, 4), make(3, 4, low=0, high=1), reduction=word)
    yield make.call(make(3, 4), make(3, 4, low=0, high=1), make(4, low=0.1), pos_weight=make(4, low=0.1))


@losses("cross_entropy", "nll_loss")
def _classes(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(3, 5), make.index(3, below=5), reduction=word)
    yield make.call(make(3, 5), make.index(3, below=5), make(5, low=0.1, grad=False))
    yield make.call(make(2, 5, 3), make.index(2, 3, below=5), ignore_index=1)
    yield make.call(make(5), make.index(below=5))
    yield make.call(make(3, 5), make.given([0, 9, 1], "int64"))
    yield make.call(make(3, 5), make.index(2, below=5))


@losses("multi_margin_loss")
def _multi_margin(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 5), make.index(3, below=5))
    yield make.call(make(3, 5), make.index(3, below=5), p=2, margin=0.5, reduction="none")


@losses("multilabel_margin_loss", double=False)
def _multilabel_margin(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 4), make.given([[1, 2, -1, 0], [0, -1, 0, 0]], "int64"))


@losses("multilabel_soft_margin_loss")
def _multilabel_soft(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0, high=1))
    yield make.call(make(3, 4), make(3, 4, low=0, high=1), reduction="none")


@losses("margin_ranking_loss", "cosine_embedding_loss")
def _three(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4), make.given([1, -1, 1], grad=False), 0.2)
    yield make.call(make(4), make(4), make.given(1, grad=False))


@losses("triplet_margin_loss", "triplet_margin_with_distance_loss")
def _triplet(make: Maker) -> Iterator[Sample]:
    for word in WORDS:
        yield make.call(make(3, 4), make(3, 4), make(3, 4), reduction=word)
    yield make.call(make(3, 4), make(3, 4), make(3, 4), swap=True, margin=0.5)


@samples("margin_ranking_loss", "cosine_embedding_loss", dtypes=TRIED, factor=8)
def _torch_three(make: Maker) -> Iterator[Sample]:
    for code in (0, 1, 2):
        yield make.call(make(3, 4), make(3, 4), make.given([1, -1, 1], grad=False), 0.2, code)


@samples("hinge_embedding_loss", dtypes=TRIED, factor=8)
def _torch_hinge(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4), make.given([1, -1, 1, -1], grad=False), 1.0, 2)


@samples("kl_div", dtypes=TRIED, factor=8)
def _torch_kl(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0.1))
    yield make.call(make(3, 4), make(3, 4), 2, log_target=True)


@samples("poisson_nll_loss", dtypes=TRIED, factor=8)
def _torch_poisson(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0.1), True, False, 1e-8, 1)


@samples("triplet_margin_loss", dtypes=TRIED, factor=8)
def _torch_triplet(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4), make(3, 4))


@samples("binary_cross_entropy_with_logits", dtypes=TRIED, factor=8)
def _torch_bce(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0, high=1))


@samples("pairwise_distance", "nn.functional.pairwise_distance", dtypes=TRIED, factor=8)
def _pairwise(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4))
    yield make.call(make(3, 4), make(4), 1.0, keepdim=True)


@samples("cosine_similarity", "nn.functional.cosine_similarity", dtypes=TRIED, factor=8)
def _cosine(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4))
    yield make.call(make(3, 4), make(3, 4), 0)
    yield make.call(make(3, 4), make(4), dim=-1)


@samples("nn.functional.normalize", dtypes=TRIED, factor=8)
def _normalize(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), p=1, dim=0)


@losses("linear_cross_entropy", double=False)
def _linear_cross_entropy(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(5, 4), make.index(3, below=5))


# No strided copies: torch 2.13 reads the lengths and targets of such tensors as if they were contiguous, and crashes.
@losses("ctc_loss", dtypes=("float64", "float32"), double=False, errors=False, layouts=False)
def _ctc(make: Maker) -> Iterator[Sample]:
    inputs, targets = make.given([5, 4], "int64"), make.given([2, 3], "int64")
    yield make.call(make(5, 2, 4), make.index(2, 3, below=4, low=1), inputs, targets)
    yield make.call(
        make(5, 2, 4), make.index(5, below=4, low=1), (5, 4), (2, 3), reduction="none", zero_infinity=True
    )


@samples("ctc_loss", dtypes=("float64", "float32"), double=False, errors=False, factor=8, layouts=False)
def _torch_ctc(make: Maker) -> Iterator[Sample]:
    yield make.call(make(5, 2, 4), make.index(2, 3, below=4, low=1), (5, 4), (2, 3), 0, 2)


@samples("pdist", "nn.functional.pdist", dtypes=("float64", "float32"), factor=8, double=False)
def _pdist(make: Maker) -> Iterator[Sample]:
    yield make.call(make(4, 3))
    yield make.call(make(4, 3), 1)
