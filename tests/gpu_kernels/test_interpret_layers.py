"""Layers and losses on device "cuda" under Triton's interpreter: values and gradients are those of the CPU.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_layers.py
"""

import copy

import numpy as np
import pytest

import flowtorch as ft

F = ft.nn.functional
DTYPES = ["float32", "bfloat16", "float64"]


def numbers(*shape, dtype="float32", seed=0, grad=True):
    array = np.random.default_rng(seed).standard_normal(shape)
    return ft.tensor(array).to(getattr(ft, dtype)).requires_grad_(grad)


def indices(below, *shape, seed=0):
    return ft.tensor(np.random.default_rng(seed).integers(0, below, shape))


# ---------------------------------------------------------------- normalisation and losses

NORMS = {
    "layer": lambda x, w: F.layer_norm(x, (6,), w[:6], w[:6] / 2),
    "layer, all": lambda x, w: F.layer_norm(x, (4, 5, 6)),
    "rms": lambda x, w: F.rms_norm(x, (6,), w[:6]),
    "batch": lambda x, w: F.batch_norm(x, None, None, w[:4], w[:4], training=True),
    "group": lambda x, w: F.group_norm(x, 2, w[:4], w[:4]),
    "instance": lambda x, w: F.instance_norm(x),
    "local response": lambda x, w: F.local_response_norm(x, 3),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", NORMS)
def test_norms(name, dtype, same):
    scale = 4 if dtype == "bfloat16" else 20
    same(NORMS[name], numbers(3, 4, 5, 6, dtype=dtype), numbers(6, dtype=dtype, seed=1), grad=True, scale=scale)


def test_long_rows_are_walked(same, monkeypatch):
    from flowtorch.ops.cuda import norms

    tile = norms.tile
    small = {"ROWS": 2, "COLS": 8}
    monkeypatch.setattr(norms, "tile", lambda rows, length, limit: tile(rows, length, limit) | small)
    x, w = numbers(5, 50), numbers(50, seed=1)
    same(lambda x, w: F.layer_norm(x, (50,), w, w), x, w, grad=True, scale=20)


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("dtype", DTYPES)
def test_losses(dtype, reduction, same):
    x, w, t = numbers(6, 40, dtype=dtype), numbers(40, dtype=dtype, seed=1, grad=False).abs(), indices(40, 6)
    image, places = numbers(3, 4, 5, 6, dtype=dtype), indices(4, 3, 5, 6)
    options = {"reduction": reduction}
    scale = 8
    same(lambda x, t: F.cross_entropy(x, t, **options), x, t, grad=True, scale=scale)
    same(lambda x, t, w: F.cross_entropy(x, t, w, ignore_index=int(t[0]), **options), x, t, w, grad=True, scale=scale)
    same(lambda x, t: F.cross_entropy(x, t, label_smoothing=0.1, **options), x, t, grad=True, scale=scale)
    same(lambda x, t: F.cross_entropy(x, t, **options), image, places, grad=True, scale=scale)
    same(lambda x, t, w: F.nll_loss(x.log_softmax(1), t, w, **options), x, t, w, grad=True, scale=scale)
    same(lambda x, t: F.nll_loss(x, t, ignore_index=2, **options), image, places, grad=True, scale=scale)
    same(lambda x, w: F.mse_loss(x, w.expand(6, 40), **options), x, w, grad=True, scale=scale)


@pytest.mark.parametrize("name", ["cross_entropy", "nll_loss", "mse_loss", "layer_norm", "batch_norm"])
def test_second_derivatives(name):
    functions = {
        "cross_entropy": lambda x: F.cross_entropy(x, indices(6, 4).to(x.device)),
        "nll_loss": lambda x: F.nll_loss(x.log_softmax(1), indices(6, 4).to(x.device)),
        "mse_loss": lambda x: F.mse_loss(x, x.detach() * 2),
        "layer_norm": lambda x: F.layer_norm(x, (6,)) ** 3,
        "batch_norm": lambda x: F.batch_norm(x, None, None, training=True) ** 3,
    }
    found = []
    for device in ("cpu", "cuda"):
        x = numbers(4, 6, dtype="float64").detach().to(device).requires_grad_()
        (g,) = ft.autograd.grad(functions[name](x).sum(), x, create_graph=True)
        (g**2).sum().backward()
        found.append(x.grad.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-8, atol=1e-10)


def test_targets_out_of_bounds_are_refused():
    for device in ("cpu", "cuda"):
        with pytest.raises(IndexError, match="Target 7 is out of bounds"):
            F.cross_entropy(numbers(4, 5).to(device), ft.tensor([0, 1, 7, 2]).to(device))


def test_ctc_loss(same):
    x, t = numbers(10, 3, 6), indices(5, 3, 4) + 1
    lengths = (ft.tensor([10, 9, 8]), ft.tensor([4, 3, 2]))
    same(lambda x, t: F.ctc_loss(x.log_softmax(2), t, *lengths, zero_infinity=True), x, t, grad=True, scale=8)


# ---------------------------------------------------------------- attention

attend = F.scaled_dot_product_attention
BLIND = indices(2, 2, 4, 37, 45).bool()
BLIND[0, 1, 3] = False
ATTENTION = {
    "plain": lambda q, k, v: attend(q, k, v),
    "causal": lambda q, k, v: attend(q, k, v, is_causal=True),
    "scale": lambda q, k, v: attend(q, k, v, scale=0.3),
    "mask": lambda q, k, v: attend(q, k, v, indices(2, 37, 45).bool().to(q.device)),
    "blind rows": lambda q, k, v: attend(q, k, v, BLIND.to(q.device)),
    "added mask": lambda q, k, v: attend(q, k, v, numbers(2, 1, 37, 45, seed=5, grad=False).to(q)),
    "shared heads": lambda q, k, v: attend(q, k[:, :2], v[:, :2], enable_gqa=True, is_causal=True),
    "two dimensions": lambda q, k, v: attend(q[0, 0], k[0, 0], v[0, 0]),
    "three dimensions": lambda q, k, v: attend(q[0], k[0], v[0]),
    "transposed": lambda q, k, v: attend(q.transpose(1, 2), k[:, :, :4].transpose(1, 2), v[:, :, :4].transpose(1, 2)),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ATTENTION)
def test_attention(name, dtype, same):
    if name == "transposed":
        q, k, v = (numbers(2, 9, 4, 8, dtype=dtype, seed=s) for s in range(3))
    else:
        q, k = numbers(2, 4, 37, 20, dtype=dtype), numbers(2, 4, 45, 20, dtype=dtype, seed=1)
        v = numbers(2, 4, 45, 24, dtype=dtype, seed=2)
    same(ATTENTION[name], q, k, v, grad=True, scale=4 if dtype == "bfloat16" else 8)


def test_attention_differentiated_by_its_mask_and_twice(same):
    q, mask = numbers(2, 3, 9, 8, dtype="float64"), numbers(9, 9, dtype="float64", seed=1)
    same(lambda q, m: attend(q, q, q, m), q, mask, grad=True, scale=100)
    found = []
    for device in ("cpu", "cuda"):
        x = q.detach().to(device).requires_grad_()
        (g,) = ft.autograd.grad((attend(x, x, x) ** 2).sum(), x, create_graph=True)
        (g**2).sum().backward()
        found.append(x.grad.cpu().numpy())
    np.testing.assert_allclose(*found, rtol=1e-9)


# ---------------------------------------------------------------- convolution

CONVOLUTIONS = {
    "plain": lambda x, w, b: F.conv2d(x, w, b),
    "all options": lambda x, w, b: F.conv2d(x, w, b, stride=(2, 3), padding=(1, 2), dilation=(2, 1)),
    "groups": lambda x, w, b: F.conv2d(x, w[:, :3], groups=2, padding=1),
    "depthwise": lambda x, w, b: F.conv2d(x, w[:6, :1], b[:6], groups=6, padding=1, stride=2),
    "channels last": lambda x, w, b: F.conv2d(x.to(memory_format=ft.channels_last), w, b, padding=1),
    "one dimension": lambda x, w, b: F.conv1d(x[:, :, 0], w[:, :, 0], b),
    "three dimensions": lambda x, w, b: F.conv3d(x[:, :, None], w[:, :, None], b, padding=(1, 0, 0), stride=(1, 2, 2)),
    "transposed": lambda x, w, b: F.conv_transpose2d(x[:, :, :6, :6], w.transpose(0, 1), b, stride=2, padding=1,
                                                     output_padding=1),
    "unfold and fold": lambda x, w, b: F.fold(F.unfold(x, (3, 2), padding=1, stride=2), (11, 13), (3, 2), padding=1,
                                              stride=2),
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_convolutions(name, dtype, same):
    x, w = numbers(2, 6, 11, 13, dtype=dtype), numbers(8, 6, 3, 2, dtype=dtype, seed=1)
    b = numbers(8, dtype=dtype, seed=2)
    same(CONVOLUTIONS[name], x, w, b, grad=True, scale=5 if dtype == "bfloat16" else 20)


# ---------------------------------------------------------------- pooling and resampling

POOLS = {
    "max": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True),
    "max, dilated": lambda x: F.max_pool2d(x, (3, 2), 2, 1, dilation=2, ceil_mode=True),
    "max, one dimension": lambda x: F.max_pool1d(x[0], 3),
    "average": lambda x: F.avg_pool2d(x, 3, 2, 1, ceil_mode=True),
    "average without padding": lambda x: F.avg_pool2d(x, 3, 2, 1, count_include_pad=False),
    "average by a divisor": lambda x: F.avg_pool2d(x, 3, 2, 1, divisor_override=4),
    "average, three dimensions": lambda x: F.avg_pool3d(x[:, :, None].expand(2, 3, 4, 11, 13), 2),
    "adaptive": lambda x: F.adaptive_avg_pool2d(x, (4, 5)),
    "adaptive, larger": lambda x: F.adaptive_avg_pool2d(x, (14, 1)),
    "adaptive max": lambda x: F.adaptive_max_pool2d(x, (4, 5), return_indices=True),
    "grid": lambda x: F.grid_sample(x, numbers(2, 4, 5, 2, grad=False).clamp(-1, 1).to(x), align_corners=False),
    "antialias": lambda x: F.interpolate(x, (5, 6), mode="bilinear", antialias=True),
    **{mode: lambda x, mode=mode: F.interpolate(x, (7, 20), mode=mode) for mode in (
        "nearest", "bilinear", "bicubic", "nearest-exact", "area")},
}  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", POOLS)
def test_pools(name, dtype, same):
    same(POOLS[name], numbers(2, 3, 11, 13, dtype=dtype), grad=True, scale=4)


def test_pools_of_integers(same):
    image = ft.tensor(np.random.default_rng(0).integers(0, 256, (2, 3, 9, 9)))
    same(lambda x: F.max_pool2d(x, 2), image)
    same(lambda x: F.avg_pool2d(x, 2), image)
    same(lambda x: F.interpolate(x, (5, 6), mode="bilinear", antialias=True), image.to(ft.uint8))


# ---------------------------------------------------------------- layers out of other ops


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
def test_embedding_bags(mode, same):
    def bag(w, i):
        return F.embedding_bag(i, w, ft.tensor([0, 2, 2, 5], device=w.device), mode=mode)

    same(bag, numbers(9, 4), indices(9, 8), grad=True, scale=4)


@pytest.mark.parametrize("layer", ["LSTM", "GRU", "RNN"])
def test_recurrent_layers(layer, same):
    ft.manual_seed(0)
    net = getattr(ft.nn, layer)(5, 6)
    same(lambda x: copy.deepcopy(net).to(x.device)(x)[0], numbers(3, 2, 5), grad=True, scale=8)


def test_distances(same):
    same(lambda a, b: ft.cdist(a, b, 3.0), numbers(4, 5), numbers(6, 5, seed=1), grad=True, scale=20)
    many = numbers(30, 5, dtype="float64"), numbers(36, 5, dtype="float64", seed=1)
    same(lambda a, b: ft.cdist(a, b), *many, grad=True, scale=1000)


def test_a_transformer_and_a_small_convnet_train_as_on_the_cpu():
    losses = {}
    for device in ("cpu", "cuda"):
        ft.manual_seed(0)
        nets = [
            (ft.nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True), numbers(2, 7, 16, grad=False)),
            (
                ft.nn.Sequential(ft.nn.Conv2d(3, 4, 3, padding=1), ft.nn.BatchNorm2d(4), ft.nn.ReLU(),
                                 ft.nn.MaxPool2d(2), ft.nn.Flatten(), ft.nn.Linear(64, 5)),
                numbers(4, 3, 8, 8, seed=1, grad=False),
            ),
        ]  # fmt: skip
        losses[device] = []
        for net, x in nets:
            net, x = net.to(device), x.to(device)
            optimizer = ft.optim.AdamW(net.parameters(), lr=0.01)
            for _ in range(3):
                out = net(x).flatten(1)
                loss = F.cross_entropy(out, ft.zeros(len(out), dtype=ft.int64, device=device))
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                losses[device].append(loss.item())
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-4)
