"""Tensors whose memory is not numpy's: everything a program does to them goes through the device array interface.

The arrays are those of fake_cupy.py, a stand-in for CuPy that refuses every implicit use by numpy; kernels run in
Triton's interpreter on its memory.
Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_device_arrays.py
"""

import copy
import io
import pickle
import sys
from pathlib import Path

import numpy as np
import pytest

import flowtorch as ft

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy

F = ft.nn.functional


@pytest.fixture(autouse=True)
def device_arrays(monkeypatch):
    fake_cupy.install(monkeypatch.setattr)


VALUES = [[1.0, 2, 3], [4, 5, 6]]
SAME = {
    "sum": lambda x: x.sum(1, keepdim=True),
    "scalars": lambda x: 2 - x / 3 + x * ft.tensor(2.0),
    "numbers from the device": lambda x: _numbered(x, x[0, 1], ft.tensor([1], device=x.device)),
    "comparison": lambda x: x > 2,
    "cast": lambda x: x.to(ft.float16),
    "matmul": lambda x: x @ x.t(),
    "softmax": lambda x: x.softmax(1),
    "view": lambda x: x.view(3, 2),
    "flatten": lambda x: x.t().flatten(),
    "expand": lambda x: x[None].expand(2, 2, 3),
    "as_strided": lambda x: x.as_strided((2, 2), (3, 1), 1),
    "diagonal": lambda x: x.diagonal(),
    "unbind": lambda x: x.unbind(0),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "contiguous": lambda x: x.t().contiguous(),
    "index": lambda x: x[ft.tensor([0, 1], device=x.device), 1:],
    "mask": lambda x: x[x > 2],
    "setitem": lambda x: _set(x.clone()),
    "in place": lambda x: x.clone().add_(1).mul_(x).clamp_(max=20).zero_().fill_(3),
    "copy_": lambda x: x.clone().copy_(ft.ones(3)),
    "out": lambda x: ft.add(x, x, out=ft.empty(2, 3, device=x.device)),
    "cat": lambda x: ft.cat([x, x]),
    "where": lambda x: ft.where(x > 2, x, 0),
    "gather": lambda x: x.gather(1, ft.zeros(2, 1, dtype=ft.int64, device=x.device)),
    "cumsum": lambda x: x.cumsum(0),
    "sort": lambda x: x.sort(1, descending=True),
    "unique": lambda x: x.unique(),
    "resize_": lambda x: x.clone().resize_(3),
    "factories": lambda x: ft.arange(3, device=x.device) + ft.eye(3, device=x.device) + ft.full((3,), 2).to(x.device),
    "like": lambda x: ft.zeros_like(x, dtype=ft.int32) + ft.ones_like(x) + x.new_tensor([1.0]),
    "one_hot": lambda x: F.one_hot(ft.arange(3, device=x.device)),
    "einsum": lambda x: ft.einsum("ij,kj->ik", x, x),
    "complex": lambda x: ft.complex(x, x) * 2j,
    "normalized": lambda x: F.layer_norm(x, (3,)),
    "std": lambda x: x.std(),
    "pickled": lambda x: pickle.loads(pickle.dumps(x)),
    "deepcopy": lambda x: copy.deepcopy(x),
    "saved": lambda x: _saved(x),
}


def _numbered(x, number, rows):
    total = ft.add(x, x, alpha=number).addcmul_(x, x, value=number)
    return ft.addmm(total, x, x.t() @ x, beta=number, alpha=number).index_add(0, rows, x[:1], alpha=number)


def _set(x):
    x[0, 1:3] = 5.0
    x[x > 5] = 0.0
    x[1] = x[0]
    return x


def _saved(x):
    buffer = io.BytesIO()
    ft.save({"x": x}, buffer)
    buffer.seek(0)
    return ft.load(buffer)["x"]


@pytest.mark.parametrize("name", SAME)
def test_device_arrays_give_what_host_arrays_give(name):
    expected = SAME[name](ft.tensor(VALUES))
    result = SAME[name](ft.tensor(VALUES, device="cuda"))
    for left, right in zip(*[r if isinstance(r, tuple) else (r,) for r in (result, expected)], strict=True):
        assert type(left._array) is fake_cupy.ndarray and left.device.type == "cuda"
        assert left.dtype is right.dtype and left.shape == right.shape and left.stride() == right.stride()
        np.testing.assert_allclose(left.cpu().numpy(), right.numpy(), rtol=1e-5, atol=1e-6)


def test_elements_reach_the_host_only_when_asked_for():
    x = ft.tensor(VALUES, device="cuda")
    assert x[1, 2].item() == 6 and x.tolist() == VALUES and bool(x[0, 0])
    assert repr(x).splitlines()[-1].endswith("device='cuda:0')")
    assert x.data_ptr() and x.untyped_storage().nbytes() == 24
    assert ft.ones(2, 3).copy_(x).tolist() == VALUES
    with pytest.raises(TypeError, match="convert cuda"):
        np.asarray(x)
    assert ft.equal(x, x) and ft.allclose(x, x)


def test_memory_is_shared_with_other_libraries():
    x = ft.tensor(VALUES, device="cuda")
    y = ft.from_dlpack(x)
    assert y.device.type == "cuda" and y.data_ptr() == x.data_ptr() and ft.from_dlpack(x._array).tolist() == VALUES
    assert ft.from_dlpack(x, copy=True).data_ptr() != x.data_ptr() and x.__dlpack_device__() == (2, 0)
    interface = x.t().__cuda_array_interface__
    assert interface == {"typestr": "<f4", "shape": (3, 2), "strides": (4, 12), "data": (x.data_ptr(), False),
                         "version": 2}  # fmt: skip
    assert x.__cuda_array_interface__["strides"] is None and not hasattr(x.cpu(), "__cuda_array_interface__")
    with pytest.raises(RuntimeError, match="requires grad"):
        x.requires_grad_().__cuda_array_interface__  # noqa: B018


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_training(optimizer):
    losses = {}
    for device in ("cpu", "cuda"):
        ft.manual_seed(0)
        net = ft.nn.Sequential(ft.nn.Linear(3, 4), ft.nn.ReLU(), ft.nn.LayerNorm(4), ft.nn.Linear(4, 2)).to(device)
        steps = getattr(ft.optim, optimizer)(net.parameters(), lr=0.01)
        for _ in range(2):
            steps.zero_grad()
            target = ft.zeros(2, dtype=ft.int64, device=device)
            loss = F.cross_entropy(net(ft.tensor(VALUES, device=device)), target)
            loss.backward()
            ft.nn.utils.clip_grad_norm_(net.parameters(), 1.0)
            steps.step()
        net.load_state_dict(net.state_dict())
        losses[device] = loss.item()
    assert abs(losses["cpu"] - losses["cuda"]) < 1e-5


LAYERS = {
    "convolution": lambda x: F.max_pool2d(F.conv2d(x, ft.ones(4, 3, 3, 3, device=x.device), padding=1), 2),
    "batch norm": lambda x: ft.nn.BatchNorm2d(3).to(x.device)(x) ** 2,
    "attention": lambda x: F.scaled_dot_product_attention(x, x, x, is_causal=True),
    "interpolation": lambda x: F.interpolate(x, scale_factor=2, mode="bilinear"),
    "embedding": lambda x: F.embedding(ft.zeros(3, dtype=ft.int64, device=x.device), x[0, 0]),
    "scatter": lambda x: x.scatter_add(1, ft.zeros(2, 1, 8, 8, dtype=ft.int64, device=x.device), x),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layers_and_their_gradients(name):
    grads = []
    for device in ("cpu", "cuda"):
        x = ft.tensor(np.random.default_rng(0).random((2, 3, 8, 8)), device=device).float().requires_grad_()
        LAYERS[name](x).sum().backward()
        grads.append(x.grad.cpu().numpy())
    np.testing.assert_allclose(*grads, rtol=1e-4, atol=1e-5)


def test_random_numbers():
    ft.manual_seed(0)
    x = ft.rand(1000, device="cuda")
    assert type(x._array) is fake_cupy.ndarray and abs(x.mean().item() - 0.5) < 0.05
    assert sorted(ft.randperm(9, device="cuda").tolist()) == list(range(9))


def test_indices_out_of_bounds_are_found_when_the_host_waits():
    x = ft.tensor(VALUES, device="cuda")
    picked = x[ft.tensor([0, 7], device="cuda")]
    with pytest.raises(RuntimeError, match="device-side assert triggered: index"):
        picked.cpu()


def numbers(*shape, dtype=ft.float32):
    values = ft.tensor(np.random.default_rng(sum(shape)).standard_normal((*shape, 2)))
    return (ft.view_as_complex(values) if dtype.is_complex else values[..., 0]).to(dtype)


PRODUCTS = {
    "plain": lambda n: n(70, 80) @ n(80, 90),
    "transposed left": lambda n: n(80, 70).t() @ n(80, 90),
    "transposed right": lambda n: n(70, 80) @ n(90, 80).t(),
    "columns of more": lambda n: n(70, 100)[:, :80] @ n(80, 99)[:, :90],
    "batches": lambda n: n(3, 70, 80) @ n(3, 80, 90),
    "two batch dimensions": lambda n: n(2, 3, 70, 80) @ n(2, 3, 80, 90),
    "a batch times a matrix": lambda n: n(3, 70, 80) @ n(80, 90),
    "linear": lambda n: F.linear(n(4, 70, 80), n(90, 80), n(90)),
    "scaled": lambda n: ft.addmm(n(70, 90), n(70, 80), n(80, 90), beta=0.5, alpha=2),
    "no addend": lambda n: ft.baddbmm(n(3, 70, 90) * float("nan"), n(3, 70, 80), n(3, 80, 90), beta=0),
}


@pytest.mark.parametrize("dtype", [ft.float32, ft.float64, ft.bfloat16, ft.float16, ft.complex64], ids=str)
@pytest.mark.parametrize("name", PRODUCTS)
def test_products_of_the_library(name, dtype):
    if dtype.is_complex and name in ("scaled", "no addend", "linear"):
        pytest.skip("a bias of complex numbers is added afterwards")
    before = fake_cupy.cuda.cublas.calls
    expected = PRODUCTS[name](lambda *shape: numbers(*shape, dtype=dtype))
    found = PRODUCTS[name](lambda *shape: numbers(*shape, dtype=dtype).to("cuda"))
    assert fake_cupy.cuda.cublas.calls == before + 1
    tolerance = {ft.float64: 1e-12, ft.bfloat16: 0.1, ft.float16: 0.02}.get(dtype, 1e-4)
    values = [t.cpu().to(ft.complex128).numpy() for t in (found, expected)]
    np.testing.assert_allclose(*values, rtol=tolerance, atol=tolerance)


def test_products_that_the_library_does_not_take_or_is_not_chosen_for_are_kernels():
    before = fake_cupy.cuda.cublas.calls
    left, right = numbers(4, 5), numbers(5, 6)
    np.testing.assert_allclose((left.to("cuda") @ right.to("cuda")).cpu(), left @ right, rtol=1e-4, atol=1e-4)
    strided = numbers(70, 160).to("cuda")[:, ::2]
    np.testing.assert_allclose((strided @ strided.t()).cpu(), strided.cpu() @ strided.cpu().t(), rtol=1e-4, atol=1e-4)
    assert fake_cupy.cuda.cublas.calls == before
