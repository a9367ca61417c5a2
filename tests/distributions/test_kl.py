"""Divergences against torch, and how pairs are registered."""

import itertools
import warnings

import numpy as np
import pytest
import torch
from cases import MATRIX, TRIL, Maker, attempt, same

import flowtorch as ft

SCALARS = {
    "Bernoulli": lambda m, k: m.D.Bernoulli(m.t([[0.3, 0.0, 1.0], [0.6, 0.3, 0.9]][k])),
    "Beta": lambda m, k: m.D.Beta(m.t([[0.5, 2.0, 3.0], [2.0, 1.0, 0.3]][k]),
                                  m.t([[1.5, 3.0, 0.7], [3.0, 2.0, 4.0]][k])),
    "Binomial": lambda m, k: m.D.Binomial(m.t([[5.0, 6.0, 3.0], [5.0, 4.0, 3.0]][k]),
                                          m.t([[0.3, 0.2, 0.1], [0.6, 0.2, 0.9]][k])),
    "Cauchy": lambda m, k: m.D.Cauchy(m.t([[0.0, 1.0, 2.0], [1.0, 1.0, 1.0]][k]),
                                      m.t([[1.0, 2.0, 3.0], [2.0, 2.0, 0.5]][k])),
    "ContinuousBernoulli": lambda m, k: m.D.ContinuousBernoulli(m.t([[0.3, 0.5, 0.9], [0.6, 0.4, 0.5]][k])),
    "Exponential": lambda m, k: m.D.Exponential(m.t([[0.5, 1.0, 2.0], [2.0, 1.0, 0.3]][k])),
    "Gamma": lambda m, k: m.D.Gamma(m.t([[0.5, 2.0, 3.0], [2.0, 1.0, 0.3]][k]),
                                    m.t([[1.5, 3.0, 0.7], [3.0, 2.0, 4.0]][k])),
    "Chi2": lambda m, k: m.D.Chi2(m.t([[0.5, 2.0, 3.0], [2.0, 1.0, 0.3]][k])),
    "Geometric": lambda m, k: m.D.Geometric(m.t([[0.3, 0.5, 0.9], [0.6, 0.4, 0.5]][k])),
    "Gumbel": lambda m, k: m.D.Gumbel(m.t([[0.0, 1.0, -1.0], [0.5, 0.5, 0.5]][k]),
                                      m.t([[1.0, 2.0, 0.5], [2.0, 1.0, 0.7]][k])),
    "HalfNormal": lambda m, k: m.D.HalfNormal(m.t([[1.0, 2.0, 0.5], [2.0, 1.0, 0.7]][k])),
    "Laplace": lambda m, k: m.D.Laplace(m.t([[0.0, 1.0, -1.0], [0.5, 0.5, 0.5]][k]),
                                        m.t([[1.0, 2.0, 0.5], [2.0, 1.0, 0.7]][k])),
    "LogNormal": lambda m, k: m.D.LogNormal(m.t([[0.0, 1.0, -1.0], [0.5, 0.5, 0.5]][k]),
                                            m.t([[1.0, 2.0, 0.5], [2.0, 1.0, 0.7]][k])),
    "Normal": lambda m, k: m.D.Normal(m.t([[0.0, 1.0, -1.0], [0.5, 0.5, 0.5]][k]),
                                      m.t([[1.0, 2.0, 0.5], [2.0, 1.0, 0.7]][k])),
    "Pareto": lambda m, k: m.D.Pareto(m.t([[1.0, 2.0, 0.5], [0.7, 2.5, 0.5]][k]),
                                      m.t([[3.0, 1.5, 0.7], [2.0, 1.0, 4.0]][k])),
    "Poisson": lambda m, k: m.D.Poisson(m.t([[0.5, 3.0, 2.0], [2.0, 1.0, 4.0]][k])),
    "Uniform": lambda m, k: m.D.Uniform(m.t([[0.1, 0.2, 0.5], [-1.0, 0.3, 0.4]][k]),
                                        m.t([[0.4, 0.8, 0.9], [2.0, 0.9, 1.5]][k])),
}
VECTORS = {
    "Categorical": lambda m, k: m.D.Categorical(m.t([[0.2, 0.0, 0.8], [0.5, 0.5, 0.0]][k])),
    "OneHotCategorical": lambda m, k: m.D.OneHotCategorical(m.t([[0.2, 0.3, 0.5], [0.5, 0.25, 0.25]][k])),
    "Dirichlet": lambda m, k: m.D.Dirichlet(m.t([[0.5, 1.0, 2.0], [1.0, 2.0, 0.7]][k])),
    "Independent": lambda m, k: m.D.Independent(SCALARS["Normal"](m, k), 1),
    "MultivariateNormal": lambda m, k: (m.D.MultivariateNormal(m.t([0.0, 1.0, 2.0]), m.t(MATRIX)) if k
                                        else m.D.MultivariateNormal(m.t([[0.5] * 3] * 2),
                                                                    scale_tril=m.t(TRIL))),
    "LowRankMultivariateNormal": lambda m, k: m.D.LowRankMultivariateNormal(
        m.t([[0.1, 0.2, 0.3], [0.0, 1.0, 2.0]][k]), m.t([[[1.0], [0.5], [-0.3]], [[0.3], [0.9], [1.0]]][k]),
        m.t([[1.0, 2.0, 0.5], [2.0, 0.3, 1.0]][k])),
    "Wishart": lambda m, k: m.D.Wishart(m.t([5.0, 4.0][k]), m.t(MATRIX if k else [[1.0, 0, 0], [0, 2.0, 0],
                                                                                  [0, 0, 3.0]])),
    "LogisticNormal": lambda m, k: m.D.LogisticNormal(m.t([[0.0, 1.0], [0.5, 0.5]][k]),
                                                      m.t([[1.0, 2.0], [2.0, 1.0]][k])),
}


def divergence(library, families, p, q):
    m = Maker(library)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return attempt(lambda: m.D.kl_divergence(families[p](m, 0), families[q](m, 1)))


@pytest.mark.parametrize(("p", "q"), list(itertools.product(SCALARS, SCALARS)))
def test_scalars(p, q):
    same(divergence("flowtorch", SCALARS, p, q), divergence("torch", SCALARS, p, q), rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("p", "q"), list(itertools.product(VECTORS, VECTORS)))
def test_vectors(p, q):
    same(divergence("flowtorch", VECTORS, p, q), divergence("torch", VECTORS, p, q), rtol=1e-8, atol=1e-9)


def test_events_must_agree():
    for library in ("flowtorch", "torch"):
        m = Maker(library)
        with pytest.raises(ValueError, match="different event shapes"):
            m.D.kl_divergence(m.D.MultivariateNormal(m.t([0.0]), m.t([[1.0]])),
                              m.D.MultivariateNormal(m.t([0.0, 0.0]), m.t([[1.0, 0.0], [0.0, 1.0]])))


def test_the_divergence_is_differentiable():
    results = []
    for library in ("flowtorch", "torch"):
        m = Maker(library)
        loc, scale = m.t([0.3], requires_grad=True), m.t([1.3], requires_grad=True)
        kl = m.D.kl_divergence(m.D.Normal(loc, scale), m.D.Laplace(m.t([0.0]), m.t([1.0])))
        results.append(m.lib.autograd.grad(kl.sum(), [loc, scale]))
    for a, b in zip(*results, strict=True):
        same(a, b)


def test_registration():
    for lib in (ft, torch):
        D = lib.distributions

        class Base(D.Normal):
            pass

        class Derived(Base):
            pass

        @D.register_kl(Base, D.Normal)
        def base_any(p, q):
            return "base, any"

        @D.register_kl(D.Normal, Derived)
        def any_derived(p, q):
            return "any, derived"

        assert D.kl_divergence(Base(0.0, 1.0), D.Normal(0.0, 1.0)) == "base, any"
        assert D.kl_divergence(D.Normal(0.0, 1.0), Derived(0.0, 1.0)) == "any, derived"
        with pytest.warns(RuntimeWarning, match=r"Ambiguous kl_divergence\(Derived, Derived\)"):
            assert D.kl_divergence(Derived(0.0, 1.0), Derived(0.0, 1.0)) == "base, any"
        with pytest.raises(NotImplementedError,
                           match=r"No KL\(p \|\| q\) is implemented for p type Normal and q type Wei"):
            D.kl_divergence(D.Normal(0.0, 1.0), D.Weibull(1.0, 1.0))


def test_any_class_can_be_registered_and_nothing_else():
    class Mixin:
        pass

    class Mixed(Mixin, ft.distributions.Normal):
        pass

    ft.distributions.register_kl(Mixin, ft.distributions.Weibull)(lambda p, q: "mixed")
    assert ft.distributions.kl_divergence(Mixed(0.0, 1.0), ft.distributions.Weibull(1.0, 1.0)) == "mixed"
    with pytest.raises(TypeError, match="class"):
        ft.distributions.register_kl(3, ft.distributions.Normal)


@pytest.mark.parametrize(("p", "q"), [("Gamma", "Gumbel"), ("Beta", "Normal"), ("Laplace", "Normal"),
                                      ("Uniform", "Beta")])
def test_against_sampling(p, q):
    m = Maker("flowtorch")
    ft.manual_seed(0)
    a, b = SCALARS[p](m, 0), SCALARS[q](m, 1)
    x = a.sample((200_000,))
    estimate = (a.log_prob(x) - b.log_prob(x)).mean(0)
    np.testing.assert_allclose(ft.distributions.kl_divergence(a, b).numpy(), estimate.numpy(), rtol=0.05,
                               atol=0.02)
