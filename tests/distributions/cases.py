"""One distribution of every family in both libraries, with values to judge it at."""

import importlib

import numpy as np

LIBRARIES = ("flowtorch", "torch")
MATRIX = [[2.0, 0.5, 0.1], [0.5, 1.5, -0.2], [0.1, -0.2, 0.8]]
TRIL = [[1.3, 0.0, 0.0], [0.2, 0.9, 0.0], [-0.4, 0.3, 1.1]]


class Maker:
    """Builds distributions of one library; ``t`` makes tensors of a dtype."""

    def __init__(self, library: str, dtype: str = "float64") -> None:
        self.lib = importlib.import_module(library)
        self.D = self.lib.distributions
        self.dtype = getattr(self.lib, dtype)

    def t(self, values, **kwargs):
        return self.lib.tensor(values, dtype=self.dtype, **kwargs)


# name: (distribution, values of its support)
FAMILIES = {
    "Bernoulli probs": (lambda m: m.D.Bernoulli(m.t([0.3, 0.6, 1.0, 0.0])), [[1, 0, 1, 0], [0, 0, 1, 0]]),
    "Bernoulli logits": (lambda m: m.D.Bernoulli(logits=m.t([-1.0, 2.0])), [[1, 0], [0, 1]]),
    "Beta": (lambda m: m.D.Beta(m.t([0.5, 2.0]), m.t([1.5, 3.0])), [[0.2, 0.7], [0.9, 0.01]]),
    "Beta numbers": (lambda m: m.D.Beta(2.0, 3.0), [0.2, 0.7]),
    "Binomial": (lambda m: m.D.Binomial(5, m.t([0.3, 0.6])), [[0, 5], [2, 3]]),
    "Binomial logits": (lambda m: m.D.Binomial(m.t([3.0, 4.0]), logits=m.t([0.3, -2.0])), [[0, 4], [2, 3]]),
    "Categorical": (lambda m: m.D.Categorical(m.t([[0.2, 0.3, 0.5], [1.0, 1.0, 0.0]])), [[0, 1], [2, 0]]),
    "Categorical logits": (lambda m: m.D.Categorical(logits=m.t([1.0, 2.0, -1.0])), [0, 2]),
    "Cauchy": (lambda m: m.D.Cauchy(m.t([0.0, 1.0]), m.t([1.0, 2.0])), [[0.5, -1.0], [20.0, 1.0]]),
    "Chi2": (lambda m: m.D.Chi2(m.t([1.0, 3.0])), [[0.5, 2.0], [3.0, 0.1]]),
    "ContinuousBernoulli": (lambda m: m.D.ContinuousBernoulli(m.t([0.3, 0.5, 0.9])), [[0.1, 0.2, 0.95]]),
    "ContinuousBernoulli logits": (lambda m: m.D.ContinuousBernoulli(logits=m.t([0.3, 0.0])), [[0.1, 0.2]]),
    "Dirichlet": (lambda m: m.D.Dirichlet(m.t([[0.5, 1.0, 2.0], [3.0, 0.2, 0.7]])),
                  [[[0.2, 0.3, 0.5], [0.6, 0.1, 0.3]]]),
    "Exponential": (lambda m: m.D.Exponential(m.t([0.5, 2.0])), [[0.5, 1.0], [0.0, 3.0]]),
    "FisherSnedecor": (lambda m: m.D.FisherSnedecor(m.t([3.0, 5.0, 1.0]), m.t([6.0, 3.0, 2.0])),
                       [[0.5, 1.0, 2.0]]),
    "Gamma": (lambda m: m.D.Gamma(m.t([0.5, 2.0, 30.0]), m.t([1.0, 3.0, 2.0])), [[0.5, 1.0, 14.0]]),
    "GeneralizedPareto": (lambda m: m.D.GeneralizedPareto(m.t([0.0, 1.0, 0.0, 0.0]),
                                                          m.t([1.0, 2.0, 1.0, 1.0]),
                                                          m.t([0.1, 0.2, 0.0, -0.4])),
                          [[0.5, 2.0, 0.3, 2.0]]),
    "Geometric": (lambda m: m.D.Geometric(m.t([0.3, 0.6, 1.0])), [[0, 4, 0]]),
    "Geometric logits": (lambda m: m.D.Geometric(logits=m.t([0.3, -1.0])), [[0, 4]]),
    "Gumbel": (lambda m: m.D.Gumbel(m.t([0.0, 1.0]), m.t([1.0, 2.0])), [[0.5, -1.0], [3.0, 4.0]]),
    "HalfCauchy": (lambda m: m.D.HalfCauchy(m.t([1.0, 2.0])), [[0.5, 1.0]]),
    "HalfNormal": (lambda m: m.D.HalfNormal(m.t([1.0, 2.0])), [[0.5, 1.0]]),
    "Independent": (lambda m: m.D.Independent(m.D.Normal(m.t([[0.0, 1.0, 2.0]] * 2), m.t(1.5)), 1),
                    [[[0.1, 0.2, 0.3]] * 2]),
    "InverseGamma": (lambda m: m.D.InverseGamma(m.t([2.5, 0.7]), m.t([1.0, 3.0])), [[0.5, 1.0]]),
    "Kumaraswamy": (lambda m: m.D.Kumaraswamy(m.t([0.5, 2.0]), m.t([1.0, 3.0])), [[0.5, 0.3]]),
    "LKJCholesky": (lambda m: m.D.LKJCholesky(3, m.t(0.7)), [[[1.0, 0, 0], [0.6, 0.8, 0], [0.0, 0.6, 0.8]]]),
    "Laplace": (lambda m: m.D.Laplace(m.t([0.0, 1.0]), m.t([1.0, 2.0])), [[0.5, -1.0], [0.0, 4.0]]),
    "LogNormal": (lambda m: m.D.LogNormal(m.t([0.0, 1.0]), m.t([1.0, 0.5])), [[0.5, 1.0]]),
    "LogisticNormal": (lambda m: m.D.LogisticNormal(m.t([0.0, 0.5]), m.t([1.0, 0.5])), [[0.2, 0.3, 0.5]]),
    "LowRankMultivariateNormal": (lambda m: m.D.LowRankMultivariateNormal(
        m.t([0.1, 0.2, 0.3]), m.t([[1.0], [0.5], [-0.3]]), m.t([1.0, 2.0, 0.5])), [[0.5, -1.0, 0.2]]),
    "LowRankMultivariateNormal batch": (lambda m: m.D.LowRankMultivariateNormal(
        m.t([[0.1, 0.2, 0.3], [0.0, 1.0, 2.0]]), m.t([[1.0], [0.5], [-0.3]]), m.t([1.0, 2.0, 0.5])),
                                        [[[0.5, -1.0, 0.2]] * 2]),
    "MixtureSameFamily": (lambda m: m.D.MixtureSameFamily(
        m.D.Categorical(m.t([0.3, 0.7])), m.D.Normal(m.t([0.0, 2.0]), m.t([1.0, 0.5]))), [0.5, 3.0]),
    "MixtureSameFamily vectors": (lambda m: m.D.MixtureSameFamily(
        m.D.Categorical(m.t([[0.3, 0.7]] * 2)),
        m.D.Independent(m.D.Normal(m.t([[[0.0, 1.0], [2.0, 3.0]]] * 2), m.t(1.0)), 1)), [[[0.5, 3.0]] * 2]),
    "Multinomial": (lambda m: m.D.Multinomial(4, m.t([0.2, 0.3, 0.5])), [[1, 1, 2], [0, 0, 4]]),
    "Multinomial logits": (lambda m: m.D.Multinomial(3, logits=m.t([0.2, -float("inf"), 0.5])), [[1, 0, 2]]),
    "MultivariateNormal": (lambda m: m.D.MultivariateNormal(m.t([0.1, 0.2, 0.3]), m.t(MATRIX)),
                           [[0.5, -1.0, 0.2]]),
    "MultivariateNormal tril": (lambda m: m.D.MultivariateNormal(m.t([[0.1, 0.2, 0.3]] * 2),
                                                                 scale_tril=m.t(TRIL)),
                                [[[0.5, -1.0, 0.2]] * 2]),
    "MultivariateNormal precision": (lambda m: m.D.MultivariateNormal(m.t([0.1, 0.2, 0.3]),
                                                                      precision_matrix=m.t(MATRIX)),
                                     [[0.5, -1.0, 0.2]]),
    "NegativeBinomial": (lambda m: m.D.NegativeBinomial(m.t([3.0, 5.0]), m.t([0.3, 0.6])), [[0, 4]]),
    "NegativeBinomial logits": (lambda m: m.D.NegativeBinomial(4, logits=m.t([0.3, -0.6])), [[0, 4]]),
    "Normal": (lambda m: m.D.Normal(m.t([0.0, 1.0]), m.t([1.0, 2.0])), [[0.5, -1.0], [3.0, 4.0]]),
    "Normal numbers": (lambda m: m.D.Normal(0.5, 2.0), [0.5, -1.0]),
    "OneHotCategorical": (lambda m: m.D.OneHotCategorical(m.t([0.2, 0.3, 0.5])), [[0, 1, 0], [0, 0, 1]]),
    "OneHotCategoricalStraightThrough": (lambda m: m.D.OneHotCategoricalStraightThrough(logits=m.t([0.2,
                                                                                                    0.3])),
                                         [[0, 1]]),
    "Pareto": (lambda m: m.D.Pareto(m.t([1.0, 2.0, 1.0]), m.t([3.0, 4.0, 0.5])), [[1.5, 2.5, 9.0]]),
    "Poisson": (lambda m: m.D.Poisson(m.t([0.5, 30.0, 0.0])), [[0, 25, 0]]),
    "RelaxedBernoulli": (lambda m: m.D.RelaxedBernoulli(m.t(0.5), m.t([0.3, 0.6])), [[0.2, 0.7]]),
    "RelaxedOneHotCategorical": (lambda m: m.D.RelaxedOneHotCategorical(m.t(0.5), m.t([0.2, 0.3, 0.5])),
                                 [[0.2, 0.3, 0.5]]),
    "StudentT": (lambda m: m.D.StudentT(m.t([3.0, 1.5, 1.0]), m.t(0.5), m.t(2.0)), [[0.5, -1.0, 3.0]]),
    "TransformedDistribution": (lambda m: m.D.TransformedDistribution(
        m.D.Normal(m.t([0.0, 0.5]), m.t(1.0)), [m.D.ExpTransform(), m.D.AffineTransform(1.0, -2.0)]),
                                [[-1.5, -4.0]]),
    "Uniform": (lambda m: m.D.Uniform(m.t([0.0, 1.0]), m.t([1.0, 3.0])), [[0.5, 2.0]]),
    "VonMises": (lambda m: m.D.VonMises(m.t([0.0, 1.0]), m.t([1.0, 5.0])), [[0.5, -1.0]]),
    "Weibull": (lambda m: m.D.Weibull(m.t([1.0, 2.0]), m.t([1.5, 3.0])), [[0.5, 1.0]]),
    "Wishart": (lambda m: m.D.Wishart(m.t(5.0), m.t(MATRIX)), [MATRIX]),
    "Wishart tril": (lambda m: m.D.Wishart(m.t([5.0, 4.0]), scale_tril=m.t(TRIL)), [[MATRIX] * 2]),
}
# The reference compares doubles with a float number in this family.
DTYPES = {"GeneralizedPareto": "float32"}
# These compute in float32, for that reason or because numbers make parameters of the default dtype.
LOOSE = {"GeneralizedPareto": 2e-5, "Beta numbers": 1e-5, "Normal numbers": 1e-5, "Multinomial": 1e-7,
         "Multinomial logits": 1e-7}


def both(name, dtype=None):
    """(maker, distribution, values) for flowtorch and for torch."""
    build, values = FAMILIES[name]
    dtype = DTYPES.get(name, dtype or "float64")
    result = []
    for library in LIBRARIES:
        m = Maker(library, dtype)
        result.append((m, build(m), [m.t(v) for v in values]))
    return result


def attempt(function):
    """What a call gives, or the kind of error it raises."""
    try:
        return function()
    except NotImplementedError:
        return "NotImplementedError"


def same(mine, theirs, what="", rtol=1e-9, atol=1e-11):
    if isinstance(theirs, str) or isinstance(mine, str) or theirs is None:
        assert isinstance(mine, type(theirs)) or mine == theirs, f"{what}: {mine} for {theirs}"
        return
    a, b = mine.detach(), theirs.detach()
    assert tuple(a.shape) == tuple(b.shape), what
    assert str(a.dtype) == str(b.dtype), what
    np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol, err_msg=what)
