"""Gamma and Dirichlet samples with derivatives with respect to the shape of their distribution.

A sample x of the cumulative distribution F(x; a) moves with the parameter so that F stays the same, which
gives ``dx/da = -(dF/da) / (dF/dx)`` (Figurnov et al., 2018). dF/da has no closed form. It is taken here from
differences of log F (in the upper tail, of log(1 - F)) over the log of the parameter, to about ten digits.
"""
from __future__ import annotations

from typing import Any

import numpy as np

import flowtorch as ft
from flowtorch.autograd.function import Function, once_differentiable
from flowtorch.tensor import Tensor

# A derivative from seven points at equal distances; exact for polynomials of degree six.
_STENCIL = ((1, 45 / 60), (2, -9 / 60), (3, 1 / 60))


def _log_derivative(function: Any, parameter: np.ndarray, width: np.ndarray) -> np.ndarray:
    """``d function / d log parameter``, for a function that varies over distances of about ``width``."""
    h = 1e-2 * width
    return sum(weight * (function(parameter * np.exp(k * h)) - function(parameter * np.exp(-k * h)))
               for k, weight in _STENCIL) / h


def _clean(value: np.ndarray) -> np.ndarray:
    """Samples that have been rounded to the end of the support do not move."""
    return np.where(np.isfinite(value), value, 0.0)


def standard_gamma_grad(alpha: np.ndarray, x: np.ndarray) -> np.ndarray:
    """The derivative of samples ``x`` of the gamma distribution with rate 1 with respect to ``alpha``."""
    from scipy import special

    width = 1 / np.sqrt(1 + alpha)
    with np.errstate(all="ignore"):
        lower = x < alpha
        log_pdf = (alpha - 1) * np.log(x) - x - special.gammaln(alpha)

        def log_tail(a: np.ndarray) -> np.ndarray:
            return np.log(np.where(lower, special.gammainc(a, x), special.gammaincc(a, x)))

        slope = _log_derivative(log_tail, alpha, width) / alpha
        tail = np.exp(log_tail(alpha) - log_pdf)
        return _clean(np.where(lower, -tail * slope, tail * slope))


def dirichlet_grad(x: np.ndarray, alpha: np.ndarray, total: np.ndarray) -> np.ndarray:
    """``-(dF/dalpha) / (dF/dx) / (1 - x)`` for samples ``x`` of Beta(alpha, total - alpha)."""
    from scipy import special

    beta = total - alpha
    width = 1 / np.sqrt(1 + alpha)
    with np.errstate(all="ignore"):
        lower = x < alpha / total
        log_pdf = (alpha - 1) * np.log(x) + (beta - 1) * np.log1p(-x) - special.betaln(alpha, beta)

        def log_tail(a: np.ndarray) -> np.ndarray:
            return np.log(np.where(lower, special.betainc(a, beta, x), special.betainc(beta, a, 1 - x)))

        slope = _log_derivative(log_tail, alpha, width) / alpha
        tail = np.exp(log_tail(alpha) - log_pdf - np.log1p(-x))
        return _clean(np.where(lower, -tail * slope, tail * slope))


def _float64(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().numpy()


class _StandardGamma(Function):
    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        x = ft._standard_gamma(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        x, concentration = ctx.saved_tensors
        derivative = standard_gamma_grad(_float64(concentration), _float64(x))
        return grad_output * ft.from_numpy(derivative).to(x)


class _Dirichlet(Function):
    @staticmethod
    def forward(ctx: Any, concentration: Tensor) -> Tensor:
        x = ft._sample_dirichlet(concentration)
        ctx.save_for_backward(x, concentration)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_output: Tensor) -> Tensor:
        x, concentration = ctx.saved_tensors
        total = concentration.sum(-1, True).expand_as(concentration)
        derivative = ft.from_numpy(dirichlet_grad(_float64(x), _float64(concentration),
                                                  _float64(total))).to(x)
        # Raising one share lowers the others in proportion.
        return derivative * (grad_output - (x * grad_output).sum(-1, True))


def standard_gamma(concentration: Tensor) -> Tensor:
    """Samples of the gamma distribution with rate 1."""
    return _StandardGamma.apply(concentration)


def sample_dirichlet(concentration: Tensor) -> Tensor:
    """Samples of the Dirichlet distribution; ``concentration`` is (..., K)."""
    return _Dirichlet.apply(concentration)
