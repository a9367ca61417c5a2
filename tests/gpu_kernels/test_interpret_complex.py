"""Complex numbers on device "cuda" under Triton's interpreter: elementary functions, scans, products, systems.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_complex.py
"""

import numpy as np
import pytest

import flowtorch as ft

F = ft.nn.functional


def numbers(*shape, dtype="complex128", seed=0, grad=False):
    rng = np.random.default_rng(seed)
    array = rng.standard_normal(shape) + 1j * rng.standard_normal(shape)
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


POINTS = [
    0, 1, -1, 1j, -1j, 2, -2, 2j, -2j, 0.5, -0.5, 30 + 1j, -30 + 2j, 1e-9 + 1e-9j, 3 - 0j, -3 - 0j,
    float("inf"), complex(0, float("inf")), complex(float("nan"), 1), 1e-4 + 3j, -100 + 0.1j,
]  # fmt: skip
FUNCTIONS = [
    "asin", "acos", "atan", "asinh", "acosh", "atanh", "exp2", "expm1", "log1p", "tanh", "tan", "sigmoid", "log",
    "sqrt", "rsqrt", "reciprocal", "sgn", "angle",
]  # fmt: skip


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_on_both_sides_of_their_branch_cuts(name, dtype):
    rng = np.random.default_rng(0)
    wide = (rng.standard_normal(100) + 1j * rng.standard_normal(100)) * np.exp(2 * rng.standard_normal(100))
    points = np.concatenate([wide, POINTS])
    x = ft.tensor(np.concatenate([points, points.conj()])).to(getattr(ft, dtype))
    expected, found = getattr(ft, name)(x).numpy(), getattr(ft, name)(x.cuda()).cpu().numpy()
    tolerance = 1e-11 if dtype == "complex128" else 1e-5
    known = np.isfinite(expected)
    assert not np.isfinite(found[~known & ~np.isfinite(x.numpy())]).any()  # elsewhere the CPU overflows on its way
    np.testing.assert_allclose(found[known], expected[known], rtol=tolerance, atol=tolerance)


CALLS = {
    "prod": lambda z: z.prod(),
    "prod of a dimension": lambda z: z.prod(1, keepdim=True),
    "prod of nothing": lambda z: z[:0].prod(0),
    "cumprod": lambda z: z.cumprod(1),
    "cumsum": lambda z: z.cumsum(-1),
    "logcumsumexp": lambda z: z.logcumsumexp(0),
    "logaddexp": lambda z: ft.logaddexp(z, z.flip(0)),
    "norm": lambda z: ft.linalg.vector_norm(z, 3, 1),
    "largest": lambda z: ft.linalg.vector_norm(z, float("inf")),
    "count": lambda z: z.count_nonzero(0),
    "squares": lambda z: (z.view(4, -1) - z.view(4, -1).flip(0)).square().mean(),
    "unfold": lambda z: F.unfold(z[None].permute(0, 2, 3, 1), 2),
    "conv": lambda z: F.conv1d(z, z[:2, :, :2], z[0, :2, 0], padding=1),
    "grouped conv": lambda z: F.conv1d(z[:, :4], z[:4, :1, :2], groups=4),
    "transposed conv": lambda z: F.conv_transpose1d(z, z[0, :, None, :2].clone(), stride=2),
    "scaled product": lambda z: ft.addmm(z[0, :3, :2], z[1, :3], z[2, :3, :2], alpha=2 + 1j, beta=0.5j),
    "cross": lambda z: ft.linalg.cross(z, z.flip(0)),
}


@pytest.mark.parametrize("dtype", ["complex64", "complex128"])
@pytest.mark.parametrize("name", CALLS)
def test_calls_and_their_gradients(name, dtype, same):
    grad = not name.startswith(("count", "largest")) and "nothing" not in name
    same(CALLS[name], numbers(4, 5, 3, dtype=dtype, grad=grad), grad=grad, scale=100)


def test_long_rows_are_walked(monkeypatch):
    from flowtorch.ops.cuda import reductions, scans

    small = {"ROWS": 2, "COLS": 8}
    monkeypatch.setattr(scans, "tile", lambda *sizes: small)
    monkeypatch.setattr(reductions, "tile", lambda *sizes: small)
    z = numbers(3, 21)
    for f in (lambda z: z.cumprod(1), lambda z: z.logcumsumexp(1), lambda z: z.prod(1)):
        np.testing.assert_allclose(f(z.cuda()).cpu().numpy(), f(z).numpy(), rtol=1e-11)


@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_triangular_systems(dtype):
    kind = getattr(ft, dtype)
    a, b = numbers(2, 5, 5), numbers(2, 5, 3, seed=1)
    if not kind.is_complex:
        a, b = a.real, b.real
    a, b = (a + 3 * ft.eye(5)).to(kind), b.to(kind)
    tolerance = 1e-10 if dtype in ("float64", "complex128") else 1e-3
    for upper in (False, True):
        for unit in (False, True):
            options = {"upper": upper, "unitriangular": unit}
            for left, right in ((True, b), (False, b.mT)):
                expected = ft.linalg.solve_triangular(a, right, left=left, **options)
                found = ft.linalg.solve_triangular(a.cuda(), right.cuda(), left=left, **options).cpu()
                np.testing.assert_allclose(found.numpy(), expected.numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.filterwarnings("error")
def test_real_results_are_stored_as_real_numbers():
    z = numbers(3, 4)
    for f in (ft.angle, ft.abs, ft.isnan):
        assert f(z.cuda()).dtype is f(z).dtype
        np.testing.assert_allclose(f(z.cuda()).cpu().numpy(), f(z).numpy(), rtol=1e-12)


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("dtype", ["float64", "complex128"])
def test_large_triangular_systems_are_solved_by_blocks(dtype, upper, monkeypatch):
    from flowtorch.ops.cuda import systems

    monkeypatch.setattr(systems, "_BLOCK", 2)
    kind = getattr(ft, dtype)
    a, b = numbers(2, 1, 7, 7), numbers(3, 7, 3, seed=1)
    a, b = ((a + 3 * ft.eye(7)).to(kind), b.to(kind)) if kind.is_complex else (a.real + 3 * ft.eye(7), b.real)
    for left, right in ((True, b), (False, b.mT)):
        expected = ft.linalg.solve_triangular(a, right, left=left, upper=upper)
        found = ft.linalg.solve_triangular(a.cuda(), right.cuda(), left=left, upper=upper)
        assert found.shape == expected.shape
        np.testing.assert_allclose(found.cpu().numpy(), expected.numpy(), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("hermitian", [False, True])
@pytest.mark.parametrize("dtype", ["float32", "float64", "complex64", "complex128"])
def test_factors_of_symmetric_matrices(dtype, hermitian):
    kind = getattr(ft, dtype)
    for seed, hollow in ((0, False), (1, True), (2, True)):  # without a diagonal, most blocks are of two
        a, b = numbers(2, 6, 6, seed=seed), numbers(2, 6, 2, seed=seed + 9)
        if not kind.is_complex:
            a, b = a.real, b.real
        if hollow:
            a = a - ft.diag_embed(ft.diagonal(a, dim1=-2, dim2=-1))
        a, b = (a + (a.mH if hermitian else a.mT)).to(kind), b.to(kind)
        expected = ft.linalg.ldl_factor(a, hermitian=hermitian)
        found = ft.linalg.ldl_factor(a.cuda(), hermitian=hermitian)
        tolerance = 1e-9 if dtype in ("float64", "complex128") else 1e-3
        assert found[1].cpu().tolist() == expected[1].tolist()
        np.testing.assert_allclose(found[0].cpu().numpy(), expected[0].numpy(), rtol=tolerance, atol=tolerance)
        x = ft.linalg.ldl_solve(*found, b.cuda(), hermitian=hermitian).cpu()
        np.testing.assert_allclose((a @ x).numpy(), b.numpy(), rtol=10 * tolerance, atol=10 * tolerance)


def test_a_singular_symmetric_matrix_is_told():
    factors = ft.linalg.ldl_factor_ex(ft.zeros(3, 3, device="cuda"))
    assert factors.info.item() == 1
    with pytest.raises(RuntimeError, match="The factorization could not be completed"):
        ft.linalg.ldl_factor(ft.zeros(3, 3, device="cuda"))


def test_reflections():
    for dtype in ("float32", "complex128"):
        a = numbers(2, 4, 3).real if dtype == "float32" else numbers(2, 4, 3)
        a = a.to(getattr(ft, dtype))
        for left, right in zip(ft.geqrf(a), ft.geqrf(a.cuda()), strict=True):
            np.testing.assert_allclose(right.cpu().numpy(), left.numpy(), rtol=1e-5, atol=1e-5)
