"""Probability distributions, the constraints on their parameters, and the transforms between them."""
from __future__ import annotations

import importlib
from typing import Any

_FAMILIES = {
    "bernoulli": ("Bernoulli",), "beta": ("Beta",), "binomial": ("Binomial",),
    "categorical": ("Categorical",), "cauchy": ("Cauchy",), "chi2": ("Chi2",),
    "continuous_bernoulli": ("ContinuousBernoulli",), "dirichlet": ("Dirichlet",),
    "distribution": ("Distribution",), "exp_family": ("ExponentialFamily",), "exponential": ("Exponential",),
    "fishersnedecor": ("FisherSnedecor",), "gamma": ("Gamma",), "generalized_pareto": ("GeneralizedPareto",),
    "geometric": ("Geometric",), "gumbel": ("Gumbel",), "half_cauchy": ("HalfCauchy",),
    "half_normal": ("HalfNormal",), "independent": ("Independent",), "inverse_gamma": ("InverseGamma",),
    "kumaraswamy": ("Kumaraswamy",), "laplace": ("Laplace",), "lkj_cholesky": ("LKJCholesky",),
    "log_normal": ("LogNormal",), "logistic_normal": ("LogisticNormal",),
    "lowrank_multivariate_normal": ("LowRankMultivariateNormal",),
    "mixture_same_family": ("MixtureSameFamily",), "multinomial": ("Multinomial",),
    "multivariate_normal": ("MultivariateNormal",), "negative_binomial": ("NegativeBinomial",),
    "normal": ("Normal",), "one_hot_categorical": ("OneHotCategorical", "OneHotCategoricalStraightThrough"),
    "pareto": ("Pareto",), "poisson": ("Poisson",), "relaxed_bernoulli": ("RelaxedBernoulli",),
    "relaxed_categorical": ("RelaxedOneHotCategorical",), "studentT": ("StudentT",),
    "transformed_distribution": ("TransformedDistribution",), "uniform": ("Uniform",),
    "von_mises": ("VonMises",), "weibull": ("Weibull",), "wishart": ("Wishart",),
    "kl": ("kl_divergence", "register_kl"), "constraint_registry": ("biject_to", "transform_to"),
    "transforms": ("AbsTransform", "AffineTransform", "CatTransform", "ComposeTransform",
                   "CorrCholeskyTransform", "CumulativeDistributionTransform", "ExpTransform",
                   "IndependentTransform", "LowerCholeskyTransform", "PositiveDefiniteTransform",
                   "PowerTransform", "ReshapeTransform", "SigmoidTransform", "SoftmaxTransform",
                   "SoftplusTransform", "StackTransform", "StickBreakingTransform", "TanhTransform",
                   "Transform", "identity_transform"),
    "constraints": (), "utils": (),
}
_HOME = {name: module for module, names in _FAMILIES.items() for name in names}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> Any:
    module = _HOME.get(name, name)
    if module not in _FAMILIES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    loaded = importlib.import_module(f"{__name__}.{module}")
    value = loaded if module == name else getattr(loaded, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_FAMILIES})


for _name in __all__:  # libraries walk the module's dictionary
    __getattr__(_name)
