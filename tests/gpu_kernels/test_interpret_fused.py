"""Fused layers on device "cuda" under Triton's interpreter: values, gradients and second derivatives are the CPU's.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_fused.py
"""

import numpy as np
import pytest

import flowtorch as ft
from flowtorch.ops.op import REGISTRY

F = ft.nn.functional


def numbers(*shape, dtype="float32", seed=0, grad=True):
    array = np.random.default_rng(seed).standard_normal(shape)
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


def batch_norm(x, w, b):
    return F.batch_norm(x, None, None, w, b, training=True)


NORMS = {
    "rms": (lambda x, w, b: F.rms_norm(x, (6,), w), (5, 4, 6), 6),
    "rms, no weight": (lambda x, w, b: F.rms_norm(x, (4, 6)) * w + b, (5, 4, 6), 6),
    "rms, columns": (lambda x, w, b: F.rms_norm(x.transpose(0, 2), (5,), w), (5, 4, 6), 5),
    "group": (lambda x, w, b: F.group_norm(x, 2, w, b), (3, 4, 5, 2), 4),
    "group of all": (lambda x, w, b: F.group_norm(x, 1, w, b), (3, 4, 7), 4),
    "groups of one": (lambda x, w, b: F.group_norm(x, 4, w), (2, 4, 3), 4),
    "group without spatial": (lambda x, w, b: F.group_norm(x, 2), (3, 4), 4),
    "batch": (batch_norm, (3, 4, 5, 2), 4),
    "batch of vectors": (batch_norm, (7, 4), 4),
    "batch, 3-d": (batch_norm, (2, 3, 2, 2, 2), 3),
    "batch, no weight": (lambda x, w, b: batch_norm(x, None, None), (5, 4, 3), 4),
    "batch, channels last": (lambda x, w, b: batch_norm(x.to(memory_format=ft.channels_last), w, b), (3, 4, 5, 2), 4),
    "batch, strided": (lambda x, w, b: batch_norm(x.transpose(0, 2), w, b), (5, 4, 3), 4),
}


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "float64"])
@pytest.mark.parametrize("name", NORMS)
def test_norms(name, dtype, same):
    function, shape, count = NORMS[name]
    w, b = numbers(count, dtype=dtype, seed=1), numbers(count, dtype=dtype, seed=2)
    scale = 40 if dtype in ("float32", "float64") else 8
    same(function, numbers(*shape, dtype=dtype), w, b, grad=True, scale=scale)


@pytest.mark.parametrize("name", NORMS)
def test_second_derivatives(name):
    function, shape, count = NORMS[name]
    found = []
    for device in ("cpu", "cuda"):
        given = [numbers(*s, dtype="float64", seed=k) for k, s in enumerate((shape, (count,), (count,)))]
        x, w, b = (t.detach().to(device).requires_grad_() for t in given)
        out = function(x, w, b)
        weight = ft.linspace(-1, 1, out.numel(), dtype=ft.float64, device=device).view(out.shape)
        (g,) = ft.autograd.grad((out * weight).sum(), x, create_graph=True)
        found.append(ft.autograd.grad((g * g * g).sum(), x)[0].cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["_rms_norm", "_group_norm"])
def test_the_bodies_say_what_the_kernels_compute(name):
    x, w = numbers(3, 4, 5, grad=False), numbers(5 if name == "_rms_norm" else 4, seed=1, grad=False)
    options = {"count": 5} if name == "_rms_norm" else {"groups": 2}
    op, adjoint = REGISTRY[name], REGISTRY[f"{name}_adjoint"]
    found = op.public(x.cuda(), w.cuda(), **options)
    np.testing.assert_allclose(found.cpu().numpy(), op.public(x, w, **options).numpy(), rtol=1e-5, atol=1e-6)
    g = numbers(3, 4, 5, seed=2, grad=False)
    pairs = [adjoint.public(*(t.to(device) for t in (g, x, w)), **options) for device in ("cuda", "cpu")]
    for left, right in zip(*pairs, strict=True):
        np.testing.assert_allclose(left.cpu().numpy(), right.numpy(), rtol=1e-4, atol=1e-5)


def test_half_precision_with_parameters_of_float32(same):
    x = numbers(3, 4, 5, dtype="bfloat16")
    w, b = numbers(4, seed=1), numbers(4, seed=2)
    same(lambda x, w, b: F.group_norm(x, 2, w, b), x, w, b, scale=8)
    same(batch_norm, x, w, b, scale=8)


def test_running_statistics_follow():
    layers = [ft.nn.BatchNorm2d(4), ft.nn.BatchNorm2d(4).cuda()]
    for seed in range(3):
        x = numbers(3, 4, 5, 2, seed=seed, grad=False) * 3 + 1
        for layer in layers:
            layer(x.to(layer.weight.device))
    for name in ("running_mean", "running_var", "num_batches_tracked"):
        left, right = (getattr(layer, name).cpu().numpy() for layer in layers)
        np.testing.assert_allclose(left, right, rtol=1e-5)


def test_chunks_of_channels_are_joined(monkeypatch, same):
    """What a GPU does for large maps: the moments of chunks, far from zero, and one more kernel."""
    from flowtorch.ops.cuda import norms

    monkeypatch.setattr(norms, "_chunks", lambda programs, total: 5)
    monkeypatch.setattr(norms, "tile", lambda *sizes: {"ROWS": 1, "COLS": 8})
    x = (numbers(3, 4, 7, 3, grad=False) + 1000).requires_grad_()
    w = numbers(4, seed=1)
    for layout in (ft.contiguous_format, ft.channels_last):
        same(lambda x, w: batch_norm(x.to(memory_format=layout), w, w), x, w, grad=True, scale=4000)


def test_long_rows_are_walked(monkeypatch, same):
    from flowtorch.ops.cuda import norms

    monkeypatch.setattr(norms, "tile", lambda *sizes: {"ROWS": 2, "COLS": 8})
    x, w = numbers(5, 4, 21), numbers(21, seed=1)
    same(lambda x, w: F.rms_norm(x, (21,), w), x, w, grad=True, scale=20)
    same(lambda x, w: F.group_norm(x, 2, w[:4], w[:4]), x, w, grad=True, scale=20)


# ---------------------------------------------------------------- dropout

@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64"])
def test_dropout_in_one_kernel(dtype):
    x = numbers(50, 41, dtype=dtype, grad=False).add(3).cuda().requires_grad_()
    y = F.dropout(x, 0.3)
    kept = y != 0
    assert abs(kept.double().mean().item() - 0.7) < 0.05
    expected = (x.detach().double() / 0.7).to(x.dtype)[kept].cpu().double().numpy()
    tolerance = 1e-6 if x.dtype.itemsize > 2 else 1e-2
    np.testing.assert_allclose(y.detach()[kept].cpu().double().numpy(), expected, rtol=tolerance)
    y.backward(ft.ones_like(y))
    np.testing.assert_allclose(x.grad.cpu().double().numpy(), (kept.double() / 0.7).cpu().numpy(), rtol=1e-2)
    assert type(y.grad_fn).__name__ == "NativeDropoutBackward0"


def test_dropped_elements_depend_on_seed_call_and_place_alone(monkeypatch):
    def draw(x):
        ft.cuda.manual_seed(5)
        return [F.dropout(x, 0.5).cpu().numpy() != 0 for _ in range(2)]

    x = ft.ones(1000, device="cuda")
    first, second = draw(x)
    assert (first != second).any()
    again = draw(ft.ones(300, device="cuda"))
    assert (again[0] == first[:300]).all() and (again[1] == second[:300]).all()
    import triton

    original = triton.next_power_of_2
    monkeypatch.setattr(triton, "next_power_of_2", lambda n: min(original(n), 64))  # other blocks, more programs
    assert (draw(x)[0] == first).all()


def test_dropout_of_views_and_specials():
    x = numbers(6, 10, grad=False).cuda()
    for view in (x.t(), x[:, ::2], x[0, 0], x[:0], x.expand(3, 6, 10)):
        y = F.dropout(view, 0.5)
        assert y.shape == view.shape and ((y == 0) | (y == 2 * view)).all()
    assert F.dropout(ft.full((64,), float("nan"), device="cuda"), 0.5).isnan().all()
    out, mask = ft.native_dropout(x, 0.25, True)
    assert mask.dtype is ft.bool and ((out != 0) == mask).all()
    assert F.dropout(x, 0.5, training=False) is x or (F.dropout(x, 0.5, training=False) == x).all()
    (g,) = ft.autograd.grad(F.dropout(x.requires_grad_(), 0.5).square().sum(), x, create_graph=True)
    g.sum().backward()
    assert ((x.grad == 0) | (x.grad == 8)).all()


# ---------------------------------------------------------------- attention with dropout

attend = F.scaled_dot_product_attention


def heads(*shape, seed=0, dtype="float64"):
    return numbers(*shape, seed=seed, dtype=dtype, grad=False).cuda().requires_grad_()


@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("is_causal", [False, True])
def test_attention_drops_the_same_weights_forward_and_backward(is_causal, shared):
    """Against the weights that single ops keep, which the kernel of the dropped weights gives."""
    from flowtorch.nn.functional.attention import _repeat_heads, explicit

    count = 2 if shared else 4
    q, k, v = heads(1, 4, 19, 16), heads(1, count, 21, 16, seed=1), heads(1, count, 21, 8, seed=2)
    ft.cuda.manual_seed(3)
    seed, offset = ft.cuda.initial_seed(), 0
    out = attend(q, k, v, is_causal=is_causal, dropout_p=0.3, enable_gqa=shared)
    weight = heads(1, 4, 19, 8, seed=4).detach()
    found = ft.autograd.grad(out, (q, k, v), weight)
    expected = explicit(q, _repeat_heads(q, k), _repeat_heads(q, v), None, (0.3, seed, offset), is_causal, 0.25)
    np.testing.assert_allclose(out.detach().cpu().numpy(), expected.detach().cpu().numpy(), rtol=1e-9, atol=1e-11)
    for left, right in zip(found, ft.autograd.grad(expected, (q, k, v), weight), strict=True):
        np.testing.assert_allclose(left.cpu().numpy(), right.cpu().numpy(), rtol=1e-8, atol=1e-10)
    plain = attend(q, k, v, is_causal=is_causal, enable_gqa=shared)
    assert (plain - out).abs().max().item() > 0.01


def test_attention_drops_its_share():
    q = ft.zeros(2, 3, 64, 16, device="cuda")
    v = ft.eye(64, device="cuda").expand(2, 3, 64, 64)
    weights = attend(q, q, v, dropout_p=0.25)  # the identity as values shows the weights
    kept = weights != 0
    assert abs(kept.float().mean().item() - 0.75) < 0.02
    np.testing.assert_allclose(weights[kept].cpu().numpy(), 1 / 64 / 0.75, rtol=1e-5)


def test_second_derivatives_of_attention_with_dropout():
    from flowtorch.nn.functional.attention import explicit

    given = q, k, v = heads(1, 2, 5, 4), heads(1, 2, 6, 4, seed=1), heads(1, 2, 6, 4, seed=2)
    ft.cuda.manual_seed(3)
    found = []
    for out in (attend(q, k, v, dropout_p=0.4), explicit(q, k, v, None, (0.4, 3, 0), False, 0.5)):
        first = ft.autograd.grad(out.square().sum(), given, create_graph=True)
        found.append(ft.autograd.grad(sum(g.square().sum() for g in first), given))
    for left, right in zip(*found, strict=True):
        np.testing.assert_allclose(left.cpu().numpy(), right.cpu().numpy(), rtol=1e-8, atol=1e-10)


def test_gradcheck_on_the_device():
    x = heads(2, 3)
    assert ft.autograd.gradcheck(ft.softmax, (x, 1))
    assert ft.autograd.gradgradcheck(lambda x: (x * x).sum(1), (x,))
