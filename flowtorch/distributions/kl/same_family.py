"""Divergences between two distributions of one family."""
from __future__ import annotations

from math import inf
from typing import Any

import flowtorch as ft

from ..bernoulli import Bernoulli
from ..beta import Beta
from ..binomial import Binomial
from ..categorical import Categorical
from ..cauchy import Cauchy
from ..continuous_bernoulli import ContinuousBernoulli
from ..dirichlet import Dirichlet
from ..exp_family import ExponentialFamily
from ..exponential import Exponential
from ..gamma import Gamma
from ..geometric import Geometric
from ..gumbel import Gumbel
from ..half_normal import HalfNormal
from ..independent import Independent
from ..laplace import Laplace
from ..normal import Normal
from ..one_hot_categorical import OneHotCategorical
from ..pareto import Pareto
from ..poisson import Poisson
from ..transformed_distribution import TransformedDistribution
from ..uniform import Uniform
from ..utils import _sum_rightmost, euler_constant
from .registry import kl_divergence, pairs


@pairs((ExponentialFamily, ExponentialFamily))
def _exponential_families(p: Any, q: Any) -> Any:
    """The Bregman divergence of the log normaliser."""
    if type(p) is not type(q):
        raise NotImplementedError("The cross KL-divergence between different exponential families cannot be "
                                  "computed "
                                  "using Bregman divergences")
    params = [x.detach().requires_grad_() for x in p._natural_params]
    normalizer = p._log_normalizer(*params)
    gradients = ft.autograd.grad(normalizer.sum(), params, create_graph=True)
    result = q._log_normalizer(*q._natural_params) - normalizer
    for mine, theirs, g in zip(params, q._natural_params, gradients, strict=True):
        result = result - _sum_rightmost((theirs - mine) * g, len(q.event_shape))
    return result


@pairs((Bernoulli, Bernoulli))
def _bernoulli(p: Any, q: Any) -> Any:
    softplus = ft.nn.functional.softplus
    success = p.probs * (softplus(-q.logits) - softplus(-p.logits))
    success = success.masked_fill(q.probs == 0, inf).masked_fill(p.probs == 0, 0.0)
    failure = (1 - p.probs) * (softplus(q.logits) - softplus(p.logits))
    failure = failure.masked_fill(q.probs == 1, inf).masked_fill(p.probs == 1, 0.0)
    return success + failure


@pairs((Beta, Beta))
def _beta(p: Any, q: Any) -> Any:
    p1, p0, q1, q0 = p.concentration1, p.concentration0, q.concentration1, q.concentration0
    total_p, total_q = p1 + p0, q1 + q0
    log_beta = (q1.lgamma() + q0.lgamma() + total_p.lgamma()) - (p1.lgamma() + p0.lgamma() + total_q.lgamma())
    return (log_beta + (p1 - q1) * p1.digamma() + (p0 - q0) * p0.digamma()
            + (total_q - total_p) * total_p.digamma())


@pairs((Binomial, Binomial))
def _binomial(p: Any, q: Any) -> Any:
    if (p.total_count < q.total_count).any():
        raise NotImplementedError("KL between Binomials where q.total_count > p.total_count is not "
                                  "implemented")
    trial = p.probs * (p.logits - q.logits) + (-p.probs).log1p() - (-q.probs).log1p()
    return (p.total_count * trial).masked_fill(p.total_count > q.total_count, inf)


@pairs((Categorical, Categorical))
def _categorical(p: Any, q: Any) -> Any:
    terms = p.probs * (p.logits - q.logits)
    return terms.masked_fill(q.probs == 0, inf).masked_fill(p.probs == 0, 0.0).sum(-1)


@pairs((OneHotCategorical, OneHotCategorical))
def _one_hot_categorical(p: Any, q: Any) -> Any:
    return _categorical(p._categorical, q._categorical)


@pairs((Cauchy, Cauchy))
def _cauchy(p: Any, q: Any) -> Any:
    apart = (p.scale + q.scale).pow(2) + (p.loc - q.loc).pow(2)
    return apart.log() - (4 * p.scale * q.scale).log()


@pairs((ContinuousBernoulli, ContinuousBernoulli))
def _continuous_bernoulli(p: Any, q: Any) -> Any:
    mine = p._cont_bern_log_norm() + ft.log1p(-p.probs)
    theirs = q._cont_bern_log_norm() + ft.log1p(-q.probs)
    return p.mean * (p.logits - q.logits) + mine - theirs


@pairs((Dirichlet, Dirichlet))
def _dirichlet(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    total_a, total_b = a.sum(-1), b.sum(-1)
    expected_logs = a.digamma() - total_a.digamma().unsqueeze(-1)
    return (total_a.lgamma() - total_b.lgamma() - (a.lgamma() - b.lgamma()).sum(-1)
            + ((a - b) * expected_logs).sum(-1))


@pairs((Exponential, Exponential))
def _exponential(p: Any, q: Any) -> Any:
    ratio = q.rate / p.rate
    return -ratio.log() + ratio - 1


@pairs((Gamma, Gamma))
def _gamma(p: Any, q: Any) -> Any:
    a, b = p.concentration, q.concentration
    return (b * (p.rate / q.rate).log() + (b.lgamma() - a.lgamma()) + (a - b) * a.digamma()
            + (q.rate - p.rate) * (a / p.rate))


@pairs((Geometric, Geometric))
def _geometric(p: Any, q: Any) -> Any:
    return -p.entropy() - ft.log1p(-q.probs) / p.probs - q.logits


@pairs((Gumbel, Gumbel))
def _gumbel(p: Any, q: Any) -> Any:
    ratio, theirs, mine = p.scale / q.scale, q.loc / q.scale, p.loc / q.scale
    expected = ft.exp(theirs + (1 + ratio).lgamma() - mine)
    return (-ratio.log() - theirs + mine) + ratio * euler_constant + expected - (1 + euler_constant)


@pairs((Laplace, Laplace))
def _laplace(p: Any, q: Any) -> Any:
    ratio, apart = p.scale / q.scale, (p.loc - q.loc).abs()
    return -ratio.log() + apart / q.scale + ratio * ft.exp(-apart / p.scale) - 1


@pairs((Normal, Normal))
def _normal(p: Any, q: Any) -> Any:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


@pairs((HalfNormal, HalfNormal))
def _half_normal(p: Any, q: Any) -> Any:
    return _normal(p.base_dist, q.base_dist)


@pairs((Pareto, Pareto))
def _pareto(p: Any, q: Any) -> Any:
    ratio = q.alpha / p.alpha
    result = q.alpha * (p.scale / q.scale).log() - ratio.log() + ratio - 1
    return result.masked_fill(p.scale < q.scale, inf)


@pairs((Poisson, Poisson))
def _poisson(p: Any, q: Any) -> Any:
    return p.rate * (p.rate.log() - q.rate.log()) - (p.rate - q.rate)


@pairs((Uniform, Uniform))
def _uniform(p: Any, q: Any) -> Any:
    result = ((q.high - q.low) / (p.high - p.low)).log()
    return result.masked_fill((q.low > p.low) | (q.high < p.high), inf)


@pairs((TransformedDistribution, TransformedDistribution))
def _transformed(p: Any, q: Any) -> Any:
    """A bijection that both went through changes nothing."""
    if p.transforms != q.transforms or p.event_shape != q.event_shape:
        raise NotImplementedError
    return kl_divergence(p.base_dist, q.base_dist)


@pairs((Independent, Independent))
def _independent(p: Any, q: Any) -> Any:
    if p.reinterpreted_batch_ndims != q.reinterpreted_batch_ndims:
        raise NotImplementedError
    return _sum_rightmost(kl_divergence(p.base_dist, q.base_dist), p.reinterpreted_batch_ndims)
