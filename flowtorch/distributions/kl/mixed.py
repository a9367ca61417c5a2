"""Divergences between distributions of different families.

Where p can fall where q cannot, the divergence is infinite. Otherwise it is the expectation under p of -log
q, less the entropy of p, in closed form.
"""
from __future__ import annotations

import math
from math import inf
from typing import Any

import flowtorch as ft
from flowtorch.tensor import Tensor

from ..bernoulli import Bernoulli
from ..beta import Beta
from ..binomial import Binomial
from ..continuous_bernoulli import ContinuousBernoulli
from ..exponential import Exponential
from ..gamma import Gamma
from ..gumbel import Gumbel
from ..laplace import Laplace
from ..normal import Normal
from ..pareto import Pareto
from ..poisson import Poisson
from ..uniform import Uniform
from ..utils import euler_constant
from .registry import pairs


def _infinite_like(tensor: Tensor) -> Tensor:
    return ft.full_like(tensor, inf)


def _x_log_x(tensor: Tensor) -> Tensor:
    return ft.xlogy(tensor, tensor)


def _each(p: type, *qs: type) -> Any:
    return pairs(*((p, q) for q in qs))


# ---- supports that do not fit

@_each(Beta, Pareto)
def _beta_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.concentration1)


@_each(ContinuousBernoulli, Pareto)
def _continuous_bernoulli_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.probs)


@_each(Exponential, Beta, ContinuousBernoulli, Pareto, Uniform)
def _exponential_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.rate)


@_each(Gamma, Beta, ContinuousBernoulli, Pareto, Uniform)
def _gamma_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.concentration)


@_each(Gumbel, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
@_each(Laplace, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
@_each(Normal, Beta, ContinuousBernoulli, Exponential, Gamma, Pareto, Uniform)
def _real_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.loc)


@_each(Pareto, Beta, ContinuousBernoulli, Uniform)
def _pareto_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.scale)


@_each(Poisson, Bernoulli, Binomial)
def _poisson_infinite(p: Any, q: Any) -> Any:
    return _infinite_like(p.rate)


# ---- discrete

@_each(Bernoulli, Poisson)
def _bernoulli_poisson(p: Any, q: Any) -> Any:
    return -p.entropy() - (p.probs * q.rate.log() - q.rate)


# ---- from the unit interval

@_each(Beta, ContinuousBernoulli)
@_each(Uniform, ContinuousBernoulli)
def _to_continuous_bernoulli(p: Any, q: Any) -> Any:
    result = -p.entropy() - p.mean * q.logits - ft.log1p(-q.probs) - q._cont_bern_log_norm()
    if isinstance(p, Uniform):
        result = ft.where((p.high >= 1.0) | (p.low <= 0.0), _infinite_like(result), result)
    return result


@_each(Beta, Exponential)
@_each(ContinuousBernoulli, Exponential)
@_each(Gamma, Exponential)
def _to_exponential(p: Any, q: Any) -> Any:
    return -p.entropy() - q.rate.log() + q.rate * p.mean


@_each(Beta, Gamma)
def _beta_gamma(p: Any, q: Any) -> Any:
    total = p.concentration1 + p.concentration0
    expected_log = p.concentration1.digamma() - total.digamma()
    return (-p.entropy() + q.concentration.lgamma() - q.concentration * q.rate.log()
            - (q.concentration - 1) * expected_log + q.rate * p.mean)


@_each(Beta, Normal)
@_each(ContinuousBernoulli, Normal)
def _bounded_normal(p: Any, q: Any) -> Any:
    square = p.variance + p.mean.pow(2) - 2 * q.loc * p.mean + q.loc.pow(2)
    return -p.entropy() + 0.5 * (q.scale.pow(2) * 2 * math.pi).log() + 0.5 * square / q.scale.pow(2)


@_each(Beta, Uniform)
def _beta_uniform(p: Any, q: Any) -> Any:
    result = -p.entropy() + (q.high - q.low).log()
    return result.masked_fill((q.low > 0.0) | (q.high < 1.0), inf)


@_each(ContinuousBernoulli, Uniform)
def _continuous_bernoulli_uniform(p: Any, q: Any) -> Any:
    result = -p.entropy() + (q.high - q.low).log()
    return ft.where((q.low >= 0.0) | (q.high <= 1.0), _infinite_like(result), result)


# ---- from the exponential and gamma distributions

@_each(Exponential, Gamma)
def _exponential_gamma(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return (-q.concentration * ft.log(ratio) + ratio + q.concentration.lgamma()
            + q.concentration * euler_constant - (1 + euler_constant))


@_each(Exponential, Gumbel)
def _exponential_gumbel(p: Any, q: Any) -> Any:
    scale, loc = p.rate * q.scale, q.loc / q.scale
    return scale.log() - 1 - loc + ft.exp(loc) * scale / (scale + 1) + scale.reciprocal()


@_each(Exponential, Normal)
def _exponential_normal(p: Any, q: Any) -> Any:
    variance, rate2 = q.scale.pow(2), p.rate.pow(2)
    square = rate2.reciprocal() - q.loc / p.rate + q.loc.pow(2) * 0.5
    return 0.5 * ft.log(rate2 * variance * 2 * math.pi) - 1 + square / variance


@_each(Gamma, Gumbel)
def _gamma_gumbel(p: Any, q: Any) -> Any:
    a, scale, loc = p.concentration, p.rate * q.scale, q.loc / q.scale
    negative_entropy = (a - 1) * a.digamma() - a.lgamma() - a
    expected = ft.exp(loc) * (1 + scale.reciprocal()).pow(-a)
    return negative_entropy + scale.log() + a / scale + expected - loc


@_each(Gamma, Normal)
def _gamma_normal(p: Any, q: Any) -> Any:
    a, variance, rate2 = p.concentration, q.scale.pow(2), p.rate.pow(2)
    negative_entropy = 0.5 * ft.log(rate2 * variance * 2 * math.pi) - a - a.lgamma() + (a - 1) * a.digamma()
    square = 0.5 * (a.pow(2) + a) / rate2 - q.loc * a / p.rate + 0.5 * q.loc.pow(2)
    return negative_entropy + square / variance


# ---- from distributions of all real numbers

@_each(Gumbel, Normal)
def _gumbel_normal(p: Any, q: Any) -> Any:
    ratio = p.scale / q.scale
    spread = (math.pi * ratio * 0.5).pow(2) / 3
    shift = ((p.loc + p.scale * euler_constant - q.loc) / q.scale).pow(2) * 0.5
    return -(ratio / math.sqrt(2 * math.pi)).log() + spread + shift - (euler_constant + 1)


@_each(Laplace, Normal)
def _laplace_normal(p: Any, q: Any) -> Any:
    variance = q.scale.pow(2)
    ratio = p.scale.pow(2) / variance
    shift = 0.5 * p.loc.pow(2) - p.loc * q.loc + 0.5 * q.loc.pow(2)
    return -0.5 * ft.log(2 * ratio / math.pi) + ratio + shift / variance - 1


@_each(Normal, Gumbel)
def _normal_gumbel(p: Any, q: Any) -> Any:
    mine, theirs, ratio2 = p.loc / q.scale, q.loc / q.scale, (p.scale / q.scale).pow(2)
    expected = ft.exp(-mine + 0.5 * ratio2 + theirs)
    return -ratio2.log() * 0.5 + (mine - theirs) + expected - 0.5 * (1 + math.log(2 * math.pi))


@_each(Normal, Laplace)
def _normal_laplace(p: Any, q: Any) -> Any:
    apart, ratio = p.loc - q.loc, p.scale / q.scale
    z = apart / p.scale
    expected = (math.sqrt(2 / math.pi) * p.scale * ft.exp(-0.5 * z.pow(2))
                + apart * ft.erf(math.sqrt(0.5) * z))
    return -ft.log(ratio) + expected / q.scale - 0.5 * (1 + math.log(0.5 * math.pi))


# ---- from the Pareto distribution

@_each(Pareto, Exponential)
def _pareto_exponential(p: Any, q: Any) -> Any:
    scale = p.scale * q.rate
    result = (p.alpha / scale).log() - p.alpha.reciprocal() + p.alpha * scale / (p.alpha - 1) - 1
    return result.masked_fill(p.alpha <= 1, inf)


@_each(Pareto, Gamma)
def _pareto_gamma(p: Any, q: Any) -> Any:
    expected_log = p.scale.log() + p.alpha.reciprocal()
    result = (p.alpha.log() - expected_log + q.concentration.lgamma() - q.concentration * q.rate.log()
              + (1 - q.concentration) * expected_log + q.rate * p.alpha * p.scale / (p.alpha - 1) - 1)
    return result.masked_fill(p.alpha <= 1, inf)


@_each(Pareto, Normal)
def _pareto_normal(p: Any, q: Any) -> Any:
    unit = p.scale / (p.alpha - 1)
    square = p.alpha * unit.pow(2) / (p.alpha - 2) + (p.alpha * unit - q.loc).pow(2)
    result = ((math.sqrt(2 * math.pi) * q.scale * p.alpha / p.scale).log() - p.alpha.reciprocal()
              + square / (2 * q.scale.pow(2)) - 1)
    return result.masked_fill(p.alpha <= 2, inf)


# ---- from the uniform distribution

def _mean_log(low: Tensor, high: Tensor) -> Tensor:
    """The mean of log x between two bounds."""
    return (_x_log_x(high) - _x_log_x(low) - (high - low)) / (high - low)


@_each(Uniform, Beta)
def _uniform_beta(p: Any, q: Any) -> Any:
    a, b = q.concentration1, q.concentration0
    log_beta = a.lgamma() + b.lgamma() - (a + b).lgamma()
    result = (log_beta - ft.log(p.high - p.low) - (a - 1) * _mean_log(p.low, p.high)
              - (b - 1) * _mean_log(1 - p.high, 1 - p.low))
    return result.masked_fill((p.high > 1.0) | (p.low < 0.0), inf)


@_each(Uniform, Exponential)
def _uniform_exponential(p: Any, q: Any) -> Any:
    result = q.rate * (p.high + p.low) / 2 - ((p.high - p.low) * q.rate).log()
    return result.masked_fill(p.low < 0.0, inf)


@_each(Uniform, Gamma)
def _uniform_gamma(p: Any, q: Any) -> Any:
    result = (-(p.high - p.low).log() + q.concentration.lgamma() - q.concentration * q.rate.log()
              + (1 - q.concentration) * _mean_log(p.low, p.high) + q.rate * (p.high + p.low) / 2)
    return result.masked_fill(p.low < 0.0, inf)


@_each(Uniform, Gumbel)
def _uniform_gumbel(p: Any, q: Any) -> Any:
    ratio, high, low = q.scale / (p.high - p.low), (p.high - q.loc) / q.scale, (p.low - q.loc) / q.scale
    return ratio.log() + 0.5 * (high + low) - ratio * (ft.exp(-high) - ft.exp(-low))


@_each(Uniform, Normal)
def _uniform_normal(p: Any, q: Any) -> Any:
    width = p.high - p.low
    square = width.pow(2) / 12 + ((p.high + p.low - 2 * q.loc) / 2).pow(2)
    return (math.sqrt(math.pi * 2) * q.scale / width).log() + 0.5 * square / q.scale.pow(2)


@_each(Uniform, Pareto)
def _uniform_pareto(p: Any, q: Any) -> Any:
    result = (_mean_log(p.low, p.high) * (q.alpha + 1)
              - (q.alpha * q.scale.pow(q.alpha) * (p.high - p.low)).log())
    return result.masked_fill(p.low < q.scale, inf)
