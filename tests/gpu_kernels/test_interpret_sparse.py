"""Sparse tensors on the device: values, layouts, devices and gradients are those of the same calls on the host.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_sparse.py
"""

import io
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import flowtorch as ft

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy

ON_GPU = os.environ.get("FLOWTORCH_TEST_GPU") == "1"


@pytest.fixture(autouse=True)
def device_arrays(monkeypatch):
    if not ON_GPU:
        fake_cupy.install(monkeypatch.setattr)


ROWS = [[0.0, 2, 0, 1], [3, 0, 0, 0], [0, 0, -4, 0]]
CALLS = {
    "coo": lambda x: x.to_sparse(),
    "csr": lambda x: x.to_sparse_csr(),
    "csc": lambda x: x.to_sparse_csc(),
    "blocks": lambda x: x.to_sparse_bsr((1, 2)),
    "hybrid": lambda x: x.to_sparse(1),
    "dense again": lambda x: x.to_sparse().to_dense() + x.to_sparse_csr().to_dense(),
    "values": lambda x: x.to_sparse().values() * 2,
    "duplicates": lambda x: _repeated(x).coalesce(),
    "sum of two": lambda x: x.to_sparse() + _repeated(x),
    "product": lambda x: x.to_sparse() * x.to_sparse() * 3,
    "unary": lambda x: x.to_sparse().abs().sqrt(),
    "matmul": lambda x: x.to_sparse() @ x.t(),
    "matmul csr": lambda x: x.to_sparse_csr() @ x.t(),
    "matmul of two": lambda x: x.to_sparse() @ x.t().to_sparse(),
    "matmul from the left": lambda x: x.t() @ x.to_sparse(),
    "sparse.mm": lambda x: ft.sparse.mm(x.to_sparse(), x.t()),
    "reduced": lambda x: ft.sparse.mm(x.to_sparse_csr(), x.t(), "amax"),
    "addmm": lambda x: ft.addmm(x @ x.t(), x.to_sparse(), x.t(), beta=2.0),
    "sampled": lambda x: ft.sparse.sampled_addmm((x @ x.t()).to_sparse_csr(), x, x.t()),
    "sum": lambda x: ft.sparse.sum(x.to_sparse(), 0),
    "total": lambda x: x.to_sparse().sum(),
    "softmax": lambda x: ft.sparse.softmax(x.to_sparse(), 1),
    "mask": lambda x: x.sparse_mask(_repeated(x).coalesce()),
    "transposed": lambda x: x.to_sparse().t(),
    "select": lambda x: x.to_sparse()[1],
    "cat": lambda x: ft.cat([x.to_sparse(), x.to_sparse()]),
    "cast": lambda x: x.to_sparse().double(),
    "clone": lambda x: x.to_sparse().clone(),
    "gather": lambda x: _leaf(x, lambda y: y.gather(1, _whole(x, [[1, 0]]), sparse_grad=True)),
    "embedding": lambda x: _leaf(x, lambda y: ft.nn.functional.embedding(_whole(x, [2, 0, 2]), y, sparse=True)),
    "zeros_like": lambda x: ft.zeros_like(x.to_sparse()),
    "zeros": lambda x: ft.zeros(2, 3, layout=ft.sparse_coo, device=x.device),
    "spdiags": lambda x: ft.sparse.spdiags(x, _whole(x, [0, 1, -1]), (4, 4)),
    "in place": lambda x: x.to_sparse().detach().mul_(2).add_(_repeated(x.detach())),
    "saved": lambda x: _saved(x.detach().to_sparse()),
}  # fmt: skip


def _whole(x, numbers):
    return ft.tensor(numbers, device=x.device)


def _repeated(x):
    indices = _whole(x, [[0, 2, 0], [1, 2, 1]])
    return ft.sparse_coo_tensor(indices, x.flatten()[:3], (3, 4))


def _leaf(x, call):
    leaf = x.detach().clone().requires_grad_()
    call(leaf).sum().backward()
    return leaf.grad


def _saved(x):
    buffer = io.BytesIO()
    ft.save(x, buffer)
    buffer.seek(0)
    return ft.load(buffer)


def parts(t):
    """The dense tensors that make up a tensor."""
    if t.layout is ft.strided:
        return [t]
    if t.layout is ft.sparse_coo:
        return [t._indices(), t._values()]
    by_row = t.layout in (ft.sparse_csr, ft.sparse_bsr)
    return [*((t.crow_indices(), t.col_indices()) if by_row else (t.ccol_indices(), t.row_indices())), t.values()]


def outcome(name, device):
    x = ft.tensor(ROWS, device=device, requires_grad=True)
    result = CALLS[name](x)
    if result.requires_grad:
        (result.to_dense() if result.layout is not ft.strided else result).sum().backward()
    return result.detach(), x.grad


@pytest.mark.parametrize("name", CALLS)
def test_sparse_calls_on_the_device_give_what_they_give_on_the_host(name):
    expected, found = outcome(name, "cpu"), outcome(name, "cuda")
    for here, there in zip(expected, found, strict=True):
        if here is None or there is None:
            assert here is there
            continue
        assert there.device.type == "cuda" and there.layout is here.layout and there.shape == here.shape
        for left, right in zip(parts(here), parts(there), strict=True):
            assert right.device.type == "cuda" and (ON_GPU or type(right._array) is fake_cupy.ndarray)
            assert left.dtype is right.dtype
            np.testing.assert_allclose(right.cpu().numpy(), left.numpy(), rtol=1e-5)


def test_constructors_take_their_device_from_the_argument_or_the_values():
    indices, values = ft.tensor([[0, 1]]), ft.tensor([1.0, 2.0])
    for t in (
        ft.sparse_coo_tensor(indices, values, (3,), device="cuda", requires_grad=True),
        ft.sparse_coo_tensor(indices, values.cuda(), (3,), requires_grad=True),
        ft.sparse_csr_tensor([0, 1, 2], [0, 1], values.cuda(), (2, 2), requires_grad=True),
        ft.sparse_coo_tensor([[0, 1]], [1.0, 2.0], device="cuda", requires_grad=True),
    ):
        assert {part.device.type for part in (t, *parts(t.detach()))} == {"cuda"}
        assert t.is_leaf and t.requires_grad
    assert ft.sparse_coo_tensor(indices.cuda(), values.cuda(), (3,), device="cpu")._indices().device.type == "cpu"


def test_devices_do_not_mix():
    x = ft.tensor(ROWS)
    with pytest.raises(RuntimeError, match="same device"):
        x.to_sparse().cuda() @ x.t()
    with pytest.raises(RuntimeError, match="same device"):
        x.to_sparse().cuda() + x.to_sparse()


def test_sparse_adam_steps_on_the_device():
    weights = {}
    for device in ("cpu", "cuda"):
        weight = ft.tensor(ROWS, device=device, requires_grad=True)
        optimizer = ft.optim.SparseAdam([weight], lr=0.1)
        for _ in range(2):
            optimizer.zero_grad()
            ft.nn.functional.embedding(_whole(weight, [2, 0, 2]), weight, sparse=True).square().sum().backward()
            optimizer.step()
        weights[device] = weight.detach().cpu().numpy()
    np.testing.assert_allclose(weights["cuda"], weights["cpu"], rtol=1e-5)
