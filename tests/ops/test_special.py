"""Special functions, polynomials, differences and covariances like torch's."""
from __future__ import annotations

import numpy as np
import pytest
from against_torch import close, same, same_gradients

import flowtorch

SETUP = """
S = torch.special
x = torch.tensor([-3.0, -1.0, -0.3, 0.0, 0.2, 0.5, 0.9, 1.0, 2.5, 7.0], dtype=torch.float64)
p, i, n = x.abs() + 0.1, torch.tensor([0, 1, 2, 3]), torch.arange(10)
m = torch.arange(12.0).reshape(3, 4).sin()
w = torch.tensor([1, 2, 1, 3])
c = torch.complex(m, m * m)
ends = torch.tensor([0.0, -0.0, 1.0, -1.0, float("inf"), -float("inf"), float("nan")])
"""
UNARY = ["entr", "erfcx", "i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr", "modified_bessel_i0", "modified_bessel_i1",
         "airy_ai", "spherical_bessel_j0", "sinc", "expit", "psi", "gammaln", "erf", "exp2", "expm1", "round"]
POLYNOMIALS = [
    *(f"{s}chebyshev_polynomial_{k}" for s in ("", "shifted_") for k in "tuvw"),
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
]
VALUES = [
    *[f"S.{f}(x)" for f in UNARY],
    *[
        f"S.{f}(p)"
        for f in (
            "bessel_y0",
            "bessel_y1",
            "modified_bessel_k0",
            "modified_bessel_k1",
            "scaled_modified_bessel_k0",
            "scaled_modified_bessel_k1",
        )
    ],
    "S.bessel_j0(x[:9])",
    "S.bessel_j1(x[:9])",  # beyond 5 torch itself is right to six digits only
    *[f"S.{f}(i)" for f in ("entr", "i0e", "ndtr", "bessel_j0")],
    *[f"S.{f}(x[3:8], n[:, None])" for f in POLYNOMIALS],
    "S.ndtri(torch.tensor([0.0, 0.1, 0.5, 1.0]))",
    "S.hermite_polynomial_h(2.0, i)",
    "S.legendre_polynomial_p(x, n=3)",
    "S.chebyshev_polynomial_t(0.3, n * 20)",
    "S.gammainc(p, p.flip(0))",
    "S.gammaincc(p, p.flip(0))",
    "torch.igamma(p, p)",
    *[f"torch.igamma{c}(ends[:, None], ends)" for c in ("", "c")],
    "S.zeta(p + 1, p)",
    "S.zeta(3, i + 1)",
    "S.xlog1py(x, p)",
    "S.xlog1py(0, i)",
    "S.xlogy(i, 2.0)",
    "S.polygamma(2, p)",
    "S.multigammaln(p + 2, 3)",
    "torch.mvlgamma(i + 3, 2)",
    "S.logit(x, 0.1)",
    "S.softmax(m, 1)",
    "S.log_softmax(m, 0)",
    "S.logsumexp(m, 1)",
    "S.i0(x.half())",
    "S.entr(x.bfloat16())",
    "list(torch.frexp(x))",
    "list(torch.frexp(x.half()))",
    "torch.diff(m)",
    "torch.diff(m, 2, 0)",
    "torch.diff(m, prepend=m[:, :2], append=m[:, :1])",
    "torch.diff(m > 0)",
    "torch.diff(m, 9)",
    "torch.gradient(m)",
    "torch.gradient(m, spacing=2.0, edge_order=2)",
    "torch.gradient(m, spacing=(torch.tensor([0.0, 1.0, 4.0, 5.0]),), dim=1)",
    "torch.gradient(m, spacing=(2, 3))",
    "torch.cov(m)",
    "torch.cov(m[0])",
    "torch.cov(m, correction=0, fweights=w)",
    "torch.cov(m, aweights=m[0].abs())",
    "torch.cov(c)",
    "torch.corrcoef(m)",
    "torch.corrcoef(c)",
    "torch.corrcoef(m[0])",
    *[f"torch.cdist(m, m[:2], {q})" for q in (0, 1, 1.5, 2, 3, "float('inf')")],
    "torch.cdist(m.expand(2, 3, 4), m)",
    "torch.cdist(torch.arange(60.0).reshape(30, 2), torch.ones(3, 2)).round(decimals=2)",
    "torch.trace(i.reshape(2, 2))",
]
ERRORS = [
    *[f"S.{f}(c)" for f in ("i0e", "ndtri", "airy_ai", "bessel_j0")],
    *[f"S.{f}(x.half())" for f in ("erfcx", "ndtri", "log_ndtr", "bessel_j1")],
    "torch.mvlgamma(p, 0)",
    "torch.frexp(i)",
    "torch.diff(torch.tensor(1.0))",
    "torch.diff(m, -1)",
    "torch.diff(m, prepend=m[0])",
    "torch.gradient(m, edge_order=3)",
    "torch.gradient(m[:1])",
    "torch.cov(m > 0)",
    "torch.cov(m[None])",
    "torch.cov(m, fweights=m[0])",
    "torch.corrcoef(m[None])",
    "torch.cdist(m, m.mT)",
    "torch.cdist(m, m[0])",
    "torch.cdist(m, m, -1.0)",
    "torch.cdist(w[None], w[None])",
    "torch.trace(m[0])",
]


@pytest.mark.parametrize("source", VALUES)
def test_values(source):
    close(source, SETUP)


@pytest.mark.parametrize("source", ERRORS)
def test_errors(source):
    same(source, SETUP, message="_cpu" not in source and not source.startswith("S."))


@pytest.mark.parametrize(
    "source",
    [
        *[f"torch.special.{f}(a)" for f in ("i0", "i0e", "i1", "i1e", "ndtr", "log_ndtr", "erfcx")],
        "torch.special.entr(b)",
        "torch.special.ndtri(b / 4)",
        "torch.special.xlog1py(a, b)",
        "torch.igamma(b.detach(), b) + 0 * a",
        "torch.igammac(b.detach(), b) + 0 * a",
        "torch.special.zeta(b.detach() + 2, b) + 0 * a",
        "torch.mvlgamma(b + 2, 2)",
        "torch.frexp(a)[0]",
        "torch.diff(a * a, 2)",
        "torch.cat([t.ravel() for t in torch.gradient(a * b, spacing=0.5)])",
        "torch.cov(a)",
        "torch.corrcoef(a)",
        "torch.cdist(a, b)",
    ],
)
def test_gradients_twice(source):
    rng = np.random.default_rng(2)
    same_gradients(source, [rng.standard_normal((3, 3)), rng.random((3, 3)) + 0.5], second="cdist" not in source)


@pytest.mark.parametrize("name", ["torch.igamma(a, b)", "torch.igammac(a, b)", "torch.special.zeta(a, b)"])
def test_derivatives_that_do_not_exist(name):
    a, b = flowtorch.ones(2, requires_grad=True), flowtorch.ones(2) + 1
    out = eval(name, {"torch": flowtorch, "a": a, "b": b})
    with pytest.raises(NotImplementedError, match="is not implemented"):
        out.sum().backward()


def test_low_rank_decompositions_reconstruct():
    flowtorch.manual_seed(0)
    a = flowtorch.randn(8, 3) @ flowtorch.randn(3, 5)
    U, S, V = flowtorch.svd_lowrank(a, q=4)
    assert flowtorch.allclose(U * S @ V.mT, a, atol=1e-4)
    U, S, V = flowtorch.pca_lowrank(a, q=4)
    assert flowtorch.allclose(U * S @ V.mT, a - a.mean(0), atol=1e-4)
