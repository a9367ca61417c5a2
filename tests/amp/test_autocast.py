"""autocast on the CPU against torch: the dtypes of results, contexts, decorators, gradients."""

import threading
import warnings

import numpy as np
import pytest
import torch

import flowtorch as ft

# name: what to run on (library, float32 maker, low-precision maker)
CALLS = {
    "linear": lambda t, r: t.nn.functional.linear(r(4, 6), r(5, 6), r(5)),
    "Linear": lambda t, r: t.nn.Linear(6, 5)(r(4, 6)),
    "matmul": lambda t, r: r(4, 6) @ r(6, 3),
    "mm": lambda t, r: t.mm(r(4, 6), r(6, 3)),
    "bmm": lambda t, r: t.bmm(r(2, 4, 6), r(2, 6, 3)),
    "addmm": lambda t, r: t.addmm(r(4, 3), r(4, 6), r(6, 3)),
    "baddbmm": lambda t, r: t.baddbmm(r(2, 4, 3), r(2, 4, 6), r(2, 6, 3)),
    "mv": lambda t, r: t.mv(r(4, 6), r(6)),
    "dot": lambda t, r: t.dot(r(4), r(4)),
    "einsum": lambda t, r: t.einsum("ij,jk->ik", r(4, 6), r(6, 3)),
    "einsum of an outer product": lambda t, r: t.einsum("i,j->ij", r(4), r(3)),
    "einsum of a sum": lambda t, r: t.einsum("ij->i", r(4, 6)),
    "einsum of two sums": lambda t, r: t.einsum("ij,ij->i", r(4, 6), r(4, 6)),
    "einsum of three": lambda t, r: t.einsum("ij,jk,kl->il", r(4, 6), r(6, 3), r(3, 2)),
    "inner": lambda t, r: t.inner(r(4), r(4)),
    "inner of rows": lambda t, r: t.inner(r(4, 6), r(3, 6)),
    "tensordot of all": lambda t, r: t.tensordot(r(4, 6), r(4, 6), 2),
    "convolution": lambda t, r: t.convolution(r(2, 3, 9), r(4, 3, 3), None, [1], [0], [1], False, [0], 1),
    "reflect": lambda t, r: t.nn.functional.pad(r(2, 3, 4).bfloat16(), (1, 2), "reflect"),
    "replicate": lambda t, r: t.nn.functional.pad(r(2, 3, 4, 4).bfloat16(), (1, 2, 0, 1), "replicate"),
    "reflect volumes": lambda t, r: t.nn.functional.pad(r(2, 3, 4, 4, 4).bfloat16(), (1, 2, 0, 1, 1, 1), "reflect"),
    "circular": lambda t, r: t.nn.functional.pad(r(2, 3, 4).bfloat16(), (1, 2), "circular"),
    "adaptive maxima": lambda t, r: t.nn.functional.adaptive_max_pool3d_with_indices(r(2, 3, 4, 4, 4).bfloat16(), 2)[0],
    "tensordot": lambda t, r: t.tensordot(r(4, 6), r(6, 3), 1),
    "outer": lambda t, r: t.outer(r(4), r(3)),
    "conv1d": lambda t, r: t.nn.functional.conv1d(r(2, 3, 9), r(4, 3, 3)),
    "conv2d": lambda t, r: t.nn.functional.conv2d(input=r(2, 3, 8, 8), weight=r(4, 3, 3, 3), padding=1),
    "conv3d": lambda t, r: t.nn.functional.conv3d(r(2, 3, 5, 5, 5), r(4, 3, 3, 3, 3)),
    "conv_transpose2d": lambda t, r: t.nn.functional.conv_transpose2d(r(2, 3, 8, 8), r(3, 4, 3, 3)),
    "prelu": lambda t, r: t.nn.functional.prelu(r(2, 3, 4), r(3)),
    "attention": lambda t, r: t.nn.functional.scaled_dot_product_attention(r(2, 4, 8), r(2, 4, 8),
                                                                           r(2, 4, 8)),
    "bilinear": lambda t, r: t.nn.functional.bilinear(r(4, 6), r(4, 5), r(3, 6, 5)),
    "relu": lambda t, r: t.relu(r(4, 6)),
    "softmax": lambda t, r: t.softmax(r(4, 6), -1),
    "log_softmax": lambda t, r: t.log_softmax(r(4, 6), -1),
    "exp": lambda t, r: r(4, 6).exp(),
    "sum": lambda t, r: r(4, 6).sum(0),
    "norm": lambda t, r: r(4, 6).norm(),
    "prod": lambda t, r: r(4, 6).prod(),
    "prod of rows": lambda t, r: r(4, 6).prod(1),
    "cumsum": lambda t, r: r(4, 6).cumsum(0),
    "power": lambda t, r: r(4, 6) ** 2,
    "quantile": lambda t, r: t.quantile(r(4, 6), 0.5),
    "LayerNorm": lambda t, r: t.nn.LayerNorm(6)(r(4, 6)),
    "cat": lambda t, r: t.cat([r(4, 6), r(4, 6).bfloat16()]),
    "stack": lambda t, r: t.stack([r(4, 6), r(4, 6).bfloat16()]),
    "add": lambda t, r: r(4, 6) + r(4, 6).bfloat16(),
    "mse": lambda t, r: t.nn.functional.mse_loss(r(4, 6), r(4, 6)),
    "l1": lambda t, r: t.nn.functional.l1_loss(r(4, 6), r(4, 6), reduction="none"),
    "huber": lambda t, r: t.nn.functional.huber_loss(r(4, 6), r(4, 6)),
    "smooth_l1": lambda t, r: t.nn.functional.smooth_l1_loss(r(4, 6), r(4, 6)),
    "cross_entropy": lambda t, r: t.nn.functional.cross_entropy(r(4, 6), t.tensor([0, 5, 1, 2])),
    "CrossEntropyLoss": lambda t, r: t.nn.CrossEntropyLoss(label_smoothing=0.1)(r(4, 6),
                                                                                t.tensor([0, 5, 1, 2])),
    "nll": lambda t, r: t.nn.functional.nll_loss(r(4, 6), t.tensor([0, 5, 1, 2])),
    "bce": lambda t, r: t.nn.functional.binary_cross_entropy(t.sigmoid(r(4, 6)), t.sigmoid(r(4, 6))),
    "bce logits": lambda t, r: t.nn.functional.binary_cross_entropy_with_logits(r(4, 6), t.sigmoid(r(4, 6))),
    "kl_div": lambda t, r: t.nn.functional.kl_div(r(4, 6), t.sigmoid(r(4, 6))),
    "cosine_embedding": lambda t, r: t.nn.functional.cosine_embedding_loss(r(4, 6), r(4, 6), t.ones(4)),
    "triplet": lambda t, r: t.nn.functional.triplet_margin_loss(r(4, 6), r(4, 6), r(4, 6)),
    "poisson_nll": lambda t, r: t.nn.functional.poisson_nll_loss(r(4, 6), t.sigmoid(r(4, 6))),
    "gaussian_nll": lambda t, r: t.nn.functional.gaussian_nll_loss(r(4, 6), r(4, 6), t.sigmoid(r(4, 6))),
    "avg_pool3d": lambda t, r: t.nn.functional.avg_pool3d(r(2, 3, 4, 4, 4), 2),
    "max_pool3d": lambda t, r: t.nn.functional.max_pool3d(r(2, 3, 4, 4, 4), 2),
    "avg_pool2d": lambda t, r: t.nn.functional.avg_pool2d(r(2, 3, 4, 4), 2),
    "grid_sample": lambda t, r: t.nn.functional.grid_sample(r(2, 3, 4, 4), r(2, 4, 4, 2),
                                                            align_corners=False),
    "interpolate": lambda t, r: t.nn.functional.interpolate(r(2, 3, 4, 4), scale_factor=2.0, mode="bilinear"),
    "embedding": lambda t, r: t.nn.functional.embedding(t.tensor([0, 2]), r(4, 6)),
    "LSTM": lambda t, r: t.nn.LSTM(6, 5)(r(4, 6))[0],
    "GRU": lambda t, r: t.nn.GRU(6, 5)(r(4, 6))[0],
    "RNN": lambda t, r: t.nn.RNN(6, 5)(r(4, 6))[0],
    "LSTMCell": lambda t, r: t.nn.LSTMCell(6, 5)(r(4, 6))[0],
    "RNNCell": lambda t, r: t.nn.RNNCell(6, 5)(r(4, 6)),
    "MultiheadAttention": lambda t, r: t.nn.MultiheadAttention(6, 2)(*[r(4, 1, 6)] * 3)[0],
    "TransformerEncoderLayer": lambda t, r: t.nn.TransformerEncoderLayer(6, 2, 8, dropout=0.0)(r(4, 1, 6)),
    "Sequential": lambda t, r: t.nn.Sequential(t.nn.Conv2d(3, 4, 3), t.nn.BatchNorm2d(4), t.nn.ReLU(),
                                               t.nn.Flatten(), t.nn.Linear(144, 5))(r(2, 3, 8, 8)),
}


def run(t, call, dtype, options=None):
    t.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with t.autocast("cpu", **(options or {})):
            return CALLS[call](t, lambda *shape: t.randn(*shape).to(getattr(t, dtype)))


# These need weights of the input's dtype when autocast leaves it alone.
DOUBLES = sorted(set(CALLS) - {"Sequential", "LayerNorm", "GRU", "LSTM", "RNN", "LSTMCell", "RNNCell",
                               "Linear", "MultiheadAttention", "TransformerEncoderLayer", "cat",
                               "cosine_embedding"})


@pytest.mark.parametrize(("call", "dtype"), [
    *((call, dtype) for call in CALLS for dtype in ("float32", "bfloat16")),
    *((call, "float64") for call in DOUBLES)])
def test_what_is_cast(call, dtype):
    a, b = run(ft, call, dtype), run(torch, call, dtype)
    assert str(a.dtype) == str(b.dtype)
    low = dtype != "float64"
    np.testing.assert_allclose(a.detach().float().numpy(), b.detach().float().numpy(),
                               rtol=0.03 if low else 1e-5, atol=0.05 if low else 1e-5)


def test_float16_and_disabled():
    assert run(ft, "matmul", "float32", {"dtype": ft.float16}).dtype == ft.float16
    assert run(ft, "matmul", "float32", {"enabled": False}).dtype == ft.float32
    with ft.autocast("cpu"), ft.autocast("cpu", enabled=False):
        assert (ft.ones(2, 2) @ ft.ones(2, 2)).dtype == ft.float32
        with ft.autocast("cpu", dtype=ft.float16):
            assert (ft.ones(2, 2) @ ft.ones(2, 2)).dtype == ft.float16


def test_state():
    for t in (ft, torch):
        assert not t.is_autocast_enabled("cpu")
        assert t.get_autocast_dtype("cpu") == t.bfloat16
        assert t.get_autocast_dtype("cuda") == t.float16
        with t.autocast("cpu", dtype=t.float16, cache_enabled=False):
            assert t.is_autocast_enabled("cpu")
            assert not t.is_autocast_enabled("cuda")
            assert not t.is_autocast_enabled()
            assert t.get_autocast_dtype("cpu") == t.float16
            assert not t.is_autocast_cache_enabled()
        assert t.get_autocast_dtype("cpu") == t.bfloat16
        assert t.is_autocast_cache_enabled()
        assert t.amp.is_autocast_available("cpu")
        assert not t.amp.is_autocast_available("meta")


def test_an_error_inside_restores_the_state():
    with pytest.raises(ZeroDivisionError), ft.autocast("cpu"):
        1 / 0  # noqa: B018
    assert not ft.is_autocast_enabled("cpu")
    with pytest.raises(RuntimeError), ft.autocast("cpu"):
        ft.nn.functional.conv2d(ft.ones(1, 3, 4, 4), ft.ones(1, 2, 3, 3))
    assert (ft.ones(2, 2) @ ft.ones(2, 2)).dtype == ft.float32


def test_each_thread_has_its_own():
    seen = []
    with ft.autocast("cpu"):
        thread = threading.Thread(target=lambda: seen.append((ft.ones(2, 2) @ ft.ones(2, 2)).dtype))
        thread.start()
        thread.join()
    assert seen == [ft.float32]


def test_as_a_decorator():
    for t in (ft, torch):
        @t.autocast("cpu", dtype=t.bfloat16)
        def product(x, t=t):
            """A product."""
            return x @ x

        assert product(t.ones(2, 2)).dtype == t.bfloat16
        assert product.__doc__ == "A product."
        assert not t.is_autocast_enabled("cpu")
        with pytest.raises(TypeError, match="requires a callable, but got int"):
            t.autocast("cpu")(3)


def test_refusals():
    for t in (ft, torch):
        with pytest.raises(ValueError, match="Expected `device_type` of type `str`, got: `<class 'int'>`"):
            t.autocast(3)
        with pytest.raises(RuntimeError, match=r"Expected one of cpu, cuda, .* string: abacus"):
            t.autocast("abacus")
        with pytest.warns(UserWarning, match="target dtype is not supported. Disabling autocast."):
            context = t.autocast("cpu", dtype=t.float64)
        with context:
            assert not t.is_autocast_enabled("cpu")


def test_gradients_reach_the_float32_parameters():
    grads = []
    for t in (ft, torch):
        t.manual_seed(0)
        model = t.nn.Sequential(t.nn.Linear(6, 8), t.nn.ReLU(), t.nn.Linear(8, 3))
        x, target = t.randn(4, 6), t.tensor([0, 1, 2, 0])
        with t.autocast("cpu"):
            loss = t.nn.functional.cross_entropy(model(x), target)
        assert loss.dtype == t.float32
        loss.backward()
        grads.append([p.grad for p in model.parameters()])
        assert all(p.grad.dtype == t.float32 for p in model.parameters())
    for a, b in zip(*grads, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=0.02, atol=2e-3)


def test_a_parameter_is_cast_once():
    weight = ft.nn.Parameter(ft.randn(3, 3))
    with ft.autocast("cpu"):
        a, b = ft.mm(weight, weight), ft.mm(weight, weight)
        held = ft.amp.state._state.cache[id(weight)][1]
        assert held.dtype == ft.bfloat16
        assert held.requires_grad
    assert not ft.amp.state._state.cache
    with ft.autocast("cpu"):
        with ft.no_grad():
            assert not ft.mm(weight, weight).requires_grad
        assert ft.mm(weight, weight).requires_grad
    (a.float().sum() + b.float().sum()).backward()
    w = weight.detach()
    expected = 2 * (w.sum(1)[None, :].expand(3, 3) + w.sum(0)[:, None].expand(3, 3))
    np.testing.assert_allclose(weight.grad.numpy(), expected.numpy(), rtol=0.05, atol=0.05)


def test_custom_functions():
    for t in (ft, torch):
        class Product(t.autograd.Function):
            @staticmethod
            @t.amp.custom_fwd(device_type="cpu", cast_inputs=t.float32)
            def forward(ctx, a, b, t=t):
                assert not t.is_autocast_enabled("cpu")
                ctx.save_for_backward(a, b)
                return a.mm(b)

            @staticmethod
            @t.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g, t=t):
                assert not t.is_autocast_enabled("cpu")
                a, b = ctx.saved_tensors
                return g.mm(b.t()), a.t().mm(g)

        class Plain(t.autograd.Function):
            @staticmethod
            @t.amp.custom_fwd(device_type="cpu")
            def forward(ctx, a):
                ctx.save_for_backward(a)
                return a.mm(a)

            @staticmethod
            @t.amp.custom_bwd(device_type="cpu")
            def backward(ctx, g, t=t):
                assert t.is_autocast_enabled("cpu")
                (a,) = ctx.saved_tensors
                return (g.mm(a.t()) + a.t().mm(g)).to(a.dtype)

        a = t.ones(2, 2, dtype=t.bfloat16, requires_grad=True)
        with t.autocast("cpu"):
            out = Product.apply(a, a)
            other = Plain.apply(t.ones(2, 2, requires_grad=True))
        assert out.dtype == t.float32
        assert other.dtype == t.bfloat16
        out.sum().backward()
        other.sum().backward()
        assert a.grad.tolist() == [[4.0, 4.0], [4.0, 4.0]]
