"""Transforms, indexing and errors with device tensors under Triton's interpreter: what the CPU gives, on the device.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_transforms.py
"""

import copy
import io
import pickle

import numpy as np
import pytest

import flowtorch as ft

F = ft.nn.functional


def numbers(*shape, seed=0, dtype="float64"):
    return ft.tensor(np.random.default_rng(seed).standard_normal(shape)).to(getattr(ft, dtype))


def both(function, *tensors):
    """The function's results on the CPU and on the device, as host arrays."""
    found = []
    for device in ("cpu", "cuda"):
        out = function(*(t.to(device) for t in tensors))
        assert out.device.type == device
        found.append(out.detach().cpu().numpy())
    np.testing.assert_allclose(found[1], found[0], rtol=1e-9, atol=1e-11)


def rows(x, *places):
    return ft.tensor(places, device=x.device)


FUNCTIONS = {
    "layer norm": lambda x, y: F.layer_norm(x, (4,)) * y,
    "rms norm": lambda x, y: F.rms_norm(x, (4,), y[0]),
    "group norm": lambda x, y: F.group_norm(x[None], 3),
    "batch norm": lambda x, y: F.batch_norm(x, None, None, y[0], training=True),
    "cross entropy": lambda x, y: F.cross_entropy(x, rows(x, 0, 1, 2)) * y.sum(),
    "attention": lambda x, y: F.scaled_dot_product_attention(x[None], y[None], y[None]),
    "index": lambda x, y: (x * y)[rows(x, 0, 2)],
    "gather": lambda x, y: x.gather(1, rows(x, [0], [1], [2])) * y,
    "embedding": lambda x, y: F.embedding(rows(x, 0, 2), x) * y[0],
    "segments": lambda x, y: ft.segment_reduce(x, "sum", lengths=rows(x, 1, 2)) * y[:2],
    "logsumexp": lambda x, y: (x + y).logsumexp(-1),
    "var": lambda x, y: (x * y).var(0),
    "norm": lambda x, y: (x + y).norm(dim=-1),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_vmap_and_derivatives(name):
    function, x, y = FUNCTIONS[name], numbers(2, 3, 4), numbers(2, 3, 4, seed=1)

    def gradient(x, y):
        return ft.func.grad(lambda x: function(x, y).square().sum())(x)

    both(ft.vmap(function), x, y)
    both(ft.vmap(function, in_dims=(0, None)), x, y[0])
    both(ft.vmap(gradient), x, y)
    both(lambda x, y: ft.func.jvp(lambda x: function(x, y), (x,), (y,))[1], x[0], y[0])
    both(lambda x, y: ft.func.grad(lambda x: gradient(x, y).square().sum())(x), x[0], y[0])


def test_each_example_drops_its_own():
    y = ft.vmap(lambda x: F.dropout(x, 0.5), randomness="different")(ft.ones(2, 300, device="cuda"))
    assert (y[0] != y[1]).any() and set(y.unique().tolist()) == {0.0, 2.0}


INDICES = {
    "a tensor of the host": ft.tensor([0, 2]),
    "a mask of the host": ft.tensor([True, False, True]),
    "lists": ([0, 2], [1, 3]),
    "an array": np.array([0, 1]),
    "an element": ft.tensor(1),
}


@pytest.mark.parametrize("name", INDICES)
def test_what_the_host_selects(name):
    index, x = INDICES[name], numbers(3, 4)
    both(lambda x: x[index], x)

    def written(x):
        x = x.clone()
        x[index] = 5
        x[index] += 1
        x[index] = ft.tensor(2.5, dtype=x.dtype)  # one element of the host, too
        return x

    both(written, x)
    if isinstance(index, ft.Tensor) and index.dim():
        both(lambda x: x.index_put((index,), x[:2]), x)
        both(lambda x: x.clone().index_put_((index,), x[:2], accumulate=True), x)


def test_views_written_in_place_pass_gradients_on():
    def run(x):
        x = x.detach().requires_grad_()
        y = x * 2
        part = y[1:3]
        part.mul_(3)
        part.t().add_(1)
        y[0].zero_()
        y.view(-1)[5:7] = 9
        y.sum().backward()
        return ft.stack([y.detach(), x.grad])

    both(run, numbers(4, 4))


def test_copies_pickles_and_checkpoints():
    x = numbers(3, 4).cuda()
    file = io.BytesIO()
    ft.save({"x": x}, file)
    file.seek(0)
    copies = (pickle.loads(pickle.dumps(x)), copy.deepcopy(x), ft.load(file)["x"])
    for y in (*copies, x.cpu().to("cuda", non_blocking=True)):
        assert y.device == x.device and (y == x).all() and y.data_ptr() != x.data_ptr()
    file.seek(0)
    assert ft.load(file, map_location="cpu")["x"].device.type == "cpu"


@pytest.mark.parametrize("call", [
    lambda a, b: a + b, lambda a, b: a @ b, lambda a, b: ft.cat([a, b]), lambda a, b: F.linear(a, b),
    lambda a, b: F.layer_norm(a, (3,), b[0]), lambda a, b: F.rms_norm(a, (3,), b[0]),
    lambda a, b: F.group_norm(a, 3, b[0]), lambda a, b: F.batch_norm(a, b[0], b[0], training=True),
    lambda a, b: F.scaled_dot_product_attention(a[None], b[None], b[None]),
])  # fmt: skip
def test_tensors_of_two_devices_are_refused(call):
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device, but found at least two"):
        call(numbers(3, 3).cuda(), numbers(3, 3))


def test_autocast():
    with ft.autocast("cuda", dtype=ft.bfloat16):
        x, w = numbers(3, 4, dtype="float32").cuda(), numbers(5, 4, dtype="float32").cuda()
        y = F.linear(x, w)
        assert y.dtype is ft.bfloat16 and F.softmax(y, -1).dtype is ft.float32
        assert F.layer_norm(y, (5,)).dtype is ft.float32
