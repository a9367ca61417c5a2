"""Gamma and Dirichlet samples with their pathwise derivatives: what ``torch.distributions`` reparametrises."""

from __future__ import annotations

from flowtorch.ops.families import op
from flowtorch.ops.op import composite
from flowtorch.ops.random_tensor import source
from flowtorch.streams import samplers
from flowtorch.tensor import Tensor


@op(tensors=("self", "output"), low="keep", method=False, out=False)
def _gamma_grad(self, output):
    from flowtorch.streams import gamma_gradients

    return gamma_gradients.standard_gamma_grad(self, output)


@op(
    tensors=("self",),
    low="keep",
    method=False,
    out=False,
    node="StandardGammaBackward0",
    vjp=lambda g, self, out: g * _gamma_grad(self, out),
)
def _gamma(self, generator):
    return samplers.standard_gamma(source("_standard_gamma", generator), self)


@op(tensors=("x", "alpha", "total"), low="keep", method=False, out=False)
def _dirichlet_gradient(x, alpha, total):
    from flowtorch.streams import gamma_gradients

    return gamma_gradients.dirichlet_grad(x, alpha, total)


def _dirichlet_derivative(g: Tensor, self: Tensor, out: Tensor) -> Tensor:
    total = self.sum(-1, True)  # type: ignore[attr-defined]
    return _dirichlet_gradient(out, self, total) * (g - (out * g).sum(-1, True))


@op(
    tensors=("self",),
    low="keep",
    method=False,
    out=False,
    node="SampleDirichletBackward0",
    vjp=_dirichlet_derivative,
)
def _dirichlet(self, generator):
    return samplers.dirichlet(source("_sample_dirichlet", generator), self)


@composite
def _standard_gamma(self, generator=None):
    """Gamma samples whose shapes are in ``self``; differentiable by them."""
    return _gamma(self, generator)


@composite
def _standard_gamma_grad(self, output):
    """The derivative of the gamma samples ``output`` by their shapes ``self``."""
    return _gamma_grad(self, output)


@composite
def _sample_dirichlet(self, generator=None):
    """Dirichlet samples whose concentrations lie along the last dimension of ``self``; differentiable by them."""
    return _dirichlet(self, generator)


@composite
def _dirichlet_grad(x, alpha, total):
    """The derivative of Dirichlet components ``x`` by their concentrations ``alpha``, over ``1 - x``."""
    return _dirichlet_gradient(x, alpha, total)
