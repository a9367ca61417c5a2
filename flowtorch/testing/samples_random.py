"""Samples of the random functions: with equal seeds, both sides draw equal numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import FLOATS, REAL, Maker, Named, Sample, samples


def drawn(*names: str, **options: Any) -> Any:
    return samples(
        *names,
        **{
            "random": True,
            "gradient": False,
            "layouts": False,
            "dtypes": FLOATS,
            "factor": 8,
            "family": "random",
            **options,
        },
    )


@drawn("rand", "randn")
def _rand(make: Maker) -> Iterator[Sample]:
    yield make.call(2, 3)
    yield make.call((20,), dtype=Named(make.dtype))
    yield make.call(())


@drawn("randint")
def _randint(make: Maker) -> Iterator[Sample]:
    yield make.call(5, (3, 4))
    yield make.call(-3, 7, (20,), dtype=Named(make.dtype))
    yield make.call(3, 3, (2,))


@drawn("randperm", dtypes=("int64", "float32"))
def _randperm(make: Maker) -> Iterator[Sample]:
    yield make.call(9)
    yield make.call(7, dtype=Named(make.dtype))


@drawn("rand_like", "randn_like")
def _rand_like(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3))


@drawn("randint_like")
def _randint_like(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3), 5)
    yield make.call(make(2, 3), -2, 5)


def written(name: str, *given: tuple, dtypes: tuple[str, ...] = FLOATS) -> None:
    """Methods that fill a tensor with random numbers."""

    @drawn(f"Tensor.{name}", dtypes=dtypes)
    def _(make: Maker) -> Iterator[Sample]:
        for args in given:
            yield make.call(make(3, 7), *args)


written("uniform_", (), (1, 2), (2, 1))
written("normal_", (), (1, 2), (0, -1))
written("random_", (), (5,), (-3, 4), dtypes=REAL)
written("bernoulli_", (), (0.3,), (2,), dtypes=REAL)
written("exponential_", (), (2,), (-1,))
written("geometric_", (0.3,), (2,))
written("cauchy_", (), (1, 2))
written("log_normal_", (), (0.5, 0.3))


@drawn("bernoulli", domain=(0.0, 1.0))
def _bernoulli(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0.3)


@drawn("poisson", domain=(0.0, 6.0))
def _poisson(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))


@drawn("binomial", domain=(0.0, 1.0))
def _binomial(make: Maker) -> Iterator[Sample]:
    yield make.call(make.given([5.0, 9.0, 3.0]), make(3))


@drawn("multinomial", domain=(0.1, 1.0))
def _multinomial(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 5), 2)
    yield make.call(make(5), 9, True)
    yield make.call(make(5), 9)


@drawn("normal")
def _normal(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make(3, 4, low=0.1))
    yield make.call(make(3, 4))
    yield make.call(0.5, make(3, 4, low=0.1))
    yield make.call(1.0, 2.0, (3,))


@drawn(
    "dropout",
    "feature_dropout",
    "alpha_dropout",
    "feature_alpha_dropout",
    "dropout_",
    "feature_dropout_",
    "alpha_dropout_",
    "feature_alpha_dropout_",
)
def _dropout(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0.4, True)
    yield make.call(make(3, 4), 0.4, False)
    yield make.call(make(3, 4), 1.0, True)
    yield make.call(make(3, 4), 1.5, True)


@drawn("native_dropout")
def _native_dropout(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 0.4, True)
    yield make.call(make(3, 4), 0.4, False)
    yield make.call(make(3, 4), 0.4, None)
    yield make.call(make(3, 4), 1.0, True)
    yield make.call(make(0, 4), 1.5, True)


@drawn("nn.functional.dropout", "nn.functional.alpha_dropout", "nn.functional.feature_alpha_dropout")
def _functional_dropout(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0.4)
    yield make.call(make(3, 4), 0.4, training=False)
    yield make.call(make(3, 4), p=1.0)


@drawn("nn.functional.dropout1d", "nn.functional.dropout2d", "nn.functional.dropout3d")
def _channel_dropout(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 3, 4), 0.4)
    yield make.call(make(2, 3, 4), 0.4, False)


@drawn("nn.functional.gumbel_softmax")
def _gumbel(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0.5, True)


@drawn("rrelu", "rrelu_")
def _rrelu(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 4), 0.1, 0.3, True)


@drawn("_standard_gamma", "_sample_dirichlet", domain=(0.3, 4.0), gradient=True, double=False)
def _gamma(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
