"""Searching, special functions, linear algebra and transforms on device "cuda" under Triton's interpreter.

The linear algebra and the transforms are CuPy's on a GPU; here numpy stands in for it, so this holds the glue alone.
Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_functions.py
"""

import numpy as np
import pytest

import flowtorch as ft

L, S = ft.linalg, ft.special


def numbers(*shape, dtype="float32", seed=0, grad=False):
    array = np.random.default_rng(seed).standard_normal(shape)
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


def integers(low, high, *shape, seed=0):
    return ft.tensor(np.random.default_rng(seed).integers(low, high, shape))


SEARCHES = {
    "unique": lambda x: x.unique(return_inverse=True, return_counts=True),
    "unique rows": lambda x: x.repeat(2, 1).unique(dim=0, return_inverse=True, return_counts=True),
    "unique columns": lambda x: x.unique(dim=1),
    "runs": lambda x: x.flatten().sort()[0].unique_consecutive(return_inverse=True, return_counts=True),
    "runs of rows": lambda x: x.repeat_interleave(2, 0).unique_consecutive(dim=0),
    "searchsorted": lambda x: ft.searchsorted(x.flatten().sort()[0], x),
    "searchsorted rows": lambda x: ft.searchsorted(x.sort(1)[0], x, right=True),
    "bucketize": lambda x: ft.bucketize(x, x.flatten().sort()[0][:5], right=True),
    "isin": lambda x: ft.isin(x, x[0]),
    "not in": lambda x: ft.isin(x, x[0], invert=True),
}


@pytest.mark.parametrize("dtype", ["float32", "int64", "bfloat16", "uint8"])
@pytest.mark.parametrize("name", SEARCHES)
def test_searches(name, dtype, same):
    same(SEARCHES[name], (numbers(4, 6) * 2).round().abs().to(getattr(ft, dtype)))


def test_counts(same):
    same(lambda x: x.bincount(minlength=9), integers(0, 7, 20))
    same(lambda x, w: x.bincount(w), integers(0, 7, 20), numbers(20), scale=4)
    same(lambda x: x.histc(5, -2, 3), numbers(40))
    same(lambda x: ft.histogramdd(x, [3, 4], range=[-2.0, 2, -2, 2])[0], numbers(20, 2, dtype="float64"))
    same(lambda x: ft.histogram(x, 4, range=(-1.0, 1.0), density=True)[0], numbers(30, dtype="float64"))


SPECIAL = [
    "i0", "i1", "i0e", "i1e", "modified_bessel_i0", "modified_bessel_i1", "bessel_j0", "bessel_j1", "ndtr", "log_ndtr",
    "entr", "spherical_bessel_j0", "bessel_y0", "bessel_y1", "ndtri", "erfcx",
]  # fmt: skip
POLYNOMIALS = [
    "chebyshev_polynomial_t", "chebyshev_polynomial_u", "chebyshev_polynomial_v", "chebyshev_polynomial_w",
    "shifted_chebyshev_polynomial_t", "shifted_chebyshev_polynomial_w", "hermite_polynomial_h", "hermite_polynomial_he",
    "laguerre_polynomial_l", "legendre_polynomial_p",
]  # fmt: skip


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions(name, same):
    for dtype in ("float32", "float64"):
        x = numbers(5, 7, dtype=dtype) * 4
        if name.startswith("bessel_y"):
            x = x.abs()
        elif name in ("ndtri", "erfcx"):
            x = x.sigmoid()
        same(getattr(S, name), x, scale=50 if dtype == "float32" else 1000)
        if name in ("i0e", "i1e"):
            same(getattr(S, name), x * 100, scale=10 if dtype == "float32" else 1e6)  # six terms of a series


SERIES = {
    "zeta": lambda x, y: S.zeta(x.abs() + 0.5, y),
    "polygamma": lambda x, y: S.polygamma(2, y),
    "trigamma": lambda x, y: S.polygamma(1, x),
    "igamma": lambda x, y: ft.igamma(y, x.abs()),
    "igammac": lambda x, y: ft.igammac(y, x.abs()),
    "airy": lambda x, y: S.airy_ai(x * 4),
    "k0": lambda x, y: S.modified_bessel_k0(y),
    "k1": lambda x, y: S.modified_bessel_k1(y),
    "scaled k0": lambda x, y: S.scaled_modified_bessel_k0(y),
    "scaled k1": lambda x, y: S.scaled_modified_bessel_k1(y),
    "logit": lambda x, y: ft.logit(x.sigmoid()),
    "clamped logit": lambda x, y: ft.logit(x, 0.1),
}


@pytest.mark.parametrize("name", SERIES)
def test_series(name, same):
    for dtype in ("float32", "float64"):
        x = numbers(5, 7, dtype=dtype) * 3
        same(SERIES[name], x, x.abs().flip(0) * 3 + 0.125, scale=4 if dtype == "float32" else 2000)


def test_incomplete_gamma_at_the_ends(same):
    ends = ft.tensor([0.0, 1.0, -1.0, float("inf"), float("nan")])
    same(ft.igamma, ends[:, None], ends)
    same(ft.igammac, ends[:, None], ends)


def test_gradients_of_samples():
    """PyTorch's own formulas are good to three digits."""
    rng = np.random.default_rng(0)
    a, b = rng.uniform(0.2, 20, (2, 30))
    x, y = ft.tensor(rng.gamma(a)), ft.tensor(rng.beta(a, b))
    a, total = ft.tensor(a), ft.tensor(a + b)
    for function, given in ((ft._standard_gamma_grad, (a, x)), (ft._dirichlet_grad, (y, a, total))):
        found = function(*(t.to("cuda") for t in given))
        np.testing.assert_allclose(found.cpu(), function(*given), rtol=4e-3)


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name, same):
    x, n = numbers(5, 7, dtype="float64") / 2, integers(-1, 6, 5, 7).double()
    same(getattr(S, name), x, n, scale=1000)


def test_pieces_of_numbers(same):
    same(ft.gcd, integers(-30, 30, 4, 5), integers(-30, 30, 4, 5, seed=1))
    same(ft.lcm, integers(-30, 30, 4, 5), integers(-30, 30, 4, 5, seed=1))
    same(ft.complex, numbers(3, 4).t(), numbers(4, 3, seed=1))
    for dtype in ("float32", "float64", "float16"):
        same(lambda x: x.frexp(), numbers(4, 6, dtype=dtype) * 1000)
    same(lambda x: x.frexp(), ft.tensor([0.0, -0.0, 1e-45, 1e-39, float("inf"), -8.0, 0.75]))


def _definite(a):
    return a @ a.mT + 4 * ft.eye(4, dtype=a.dtype, device=a.device)


LINEAR = {
    "inv": lambda a, b: L.inv(a),
    "det": lambda a, b: L.det(a),
    "slogdet": lambda a, b: L.slogdet(a)[1],
    "solve": lambda a, b: L.solve(a, b),
    "cholesky": lambda a, b: L.cholesky(_definite(a)),
    "cholesky_solve": lambda a, b: ft.cholesky_solve(b, L.cholesky(_definite(a))),
    "cholesky_inverse": lambda a, b: ft.cholesky_inverse(L.cholesky(_definite(a))),
    "qr": lambda a, b: L.qr(a),
    "eigvalsh": lambda a, b: L.eigvalsh(_definite(a)),
    "svdvals": lambda a, b: L.svdvals(a),
    "upper triangle": lambda a, b: L.solve_triangular(a.triu(), b, upper=True),
    "lower triangle": lambda a, b: L.solve_triangular(a.tril(), b.mT, upper=False, left=False),
    "unit triangle": lambda a, b: L.solve_triangular(a.triu(), b, upper=True, unitriangular=True),
    "pinv": lambda a, b: L.pinv(a),
    "lstsq": lambda a, b: L.lstsq(a, b)[0],
    "matrix_exp": lambda a, b: L.matrix_exp(a),
    "lu": lambda a, b: L.lu(a),
}


@pytest.mark.parametrize("name", LINEAR)
def test_linear_algebra(name, same):
    a = (numbers(2, 4, 4, dtype="float64") + 4 * ft.eye(4, dtype=ft.float64)).requires_grad_()
    same(LINEAR[name], a, numbers(2, 4, 3, dtype="float64", seed=1, grad=True), grad=True, scale=1e4)


def test_fourier_transforms(same):
    x = numbers(4, 6, grad=True)
    same(lambda x: ft.fft.fft(x).abs(), x, grad=False, scale=4)
    same(lambda x: ft.fft.rfft2(x), x, scale=4)
    same(lambda x: ft.fft.irfft(ft.fft.rfft(x)), x, scale=4)


COMPLEX = {
    "add": lambda z, w: z + w,
    "mul": lambda z, w: z * w,
    "div": lambda z, w: z / w,
    "numbers": lambda z, w: z * (1 + 2j) - 2 * w,
    "abs": lambda z, w: z.abs(),
    "angle": lambda z, w: z.angle(),
    "conj": lambda z, w: z.conj() * w,
    "exp": lambda z, w: z.exp(),
    "log": lambda z, w: z.log(),
    "sqrt": lambda z, w: z.sqrt(),
    "square": lambda z, w: z**2,
    "pow": lambda z, w: z**w,
    "sin": lambda z, w: z.sin(),
    "tanh": lambda z, w: z.tanh(),
    "sigmoid": lambda z, w: z.sigmoid(),
    "sgn": lambda z, w: z.sgn(),
    "eq": lambda z, w: z == w,
    "where": lambda z, w: ft.where(z.abs() > 1, z, w),
    "sum": lambda z, w: z.sum(0),
    "mean": lambda z, w: z.mean(),
    "norm": lambda z, w: z.norm(),
    "transposed": lambda z, w: z.t() + w.t(),
}


@pytest.mark.parametrize("name", COMPLEX)
def test_complex_numbers(name, same):
    for dtype in (ft.complex64, ft.complex128):
        z, w = ft.complex(numbers(3, 4), numbers(3, 4, seed=1)), ft.complex(numbers(3, 4, seed=2), numbers(4, seed=3))
        same(COMPLEX[name], z.to(dtype), w.to(dtype), scale=10)


def test_gradients_of_complex_functions():
    z = ft.complex(numbers(3, 4, dtype="float64"), numbers(3, 4, dtype="float64", seed=1))
    grads = []
    for device in ("cpu", "cuda"):
        x = z.to(device).detach().requires_grad_()
        (x * x.exp()).abs().sum().backward()
        grads.append(x.grad.cpu().numpy())
    np.testing.assert_allclose(*grads, rtol=1e-12)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_neighbours_of_numbers(dtype):
    points = [0.0, 1.0, -1.0, 2.5, float("inf"), -float("inf"), float("nan"), 6e-8, -6e-8, 65504.0, -65504.0]
    x = ft.tensor(points).to(getattr(ft, dtype))
    left, right = x[:, None].expand(11, 11), x.expand(11, 11)
    expected, found = ft.nextafter(left, right), ft.nextafter(left.cuda(), right.cuda()).cpu()
    np.testing.assert_array_equal(found.double().numpy(), expected.double().numpy())


def test_half_precision_quotients_are_rounded_before_they_are_truncated(same):
    for dtype in (ft.float16, ft.bfloat16, ft.float32):
        x, y = (10 * numbers(40, 40)).to(dtype), numbers(40, 40, seed=1).to(dtype)
        same(lambda x, y: ft.div(x, y, rounding_mode="trunc"), x, y)


def test_rounding_to_decimal_places(same):
    for decimals in (2, -2, 0):
        same(lambda x: ft.round(x, decimals=decimals), 1000 * numbers(40))
