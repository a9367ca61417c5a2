"""Page-locked memory and copies that the host does not wait for, against a stand-in for CuPy whose streams are slow.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_pinned.py
"""

import gc
import sys
from pathlib import Path

import numpy as np
import pytest

import flowtorch as ft

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy


@pytest.fixture
def stream(monkeypatch):
    fake_cupy.install(monkeypatch.setattr)
    return fake_cupy.Stream.current


@pytest.fixture
def slow(stream, monkeypatch):
    monkeypatch.setattr(stream, "slow", True)
    yield stream
    stream.synchronize()


@pytest.mark.parametrize("stand_in", [True, False])
def test_pinned_tensors_are_copies_in_page_locked_memory(stand_in, request):
    if stand_in:
        request.getfixturevalue("stream")
    x = ft.arange(6.0).reshape(2, 3).t()
    y = x.pin_memory()
    assert not x.is_pinned() and y.is_pinned() and y[1:].is_pinned()
    assert ft.equal(x, y) and y.stride() == x.stride() and y.data_ptr() != x.data_ptr()
    assert y.pin_memory() is y and not (y + 1).is_pinned() and not y.clone().is_pinned()
    assert ft.ones(0, 3, dtype=ft.bfloat16).pin_memory().shape == (0, 3)
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        x.cuda().pin_memory()


def test_factories_make_pinned_tensors(stream):
    like = ft.zeros(2, 3)
    for x in (ft.empty(2, 3, pin_memory=True), ft.zeros(2, 3, pin_memory=True), ft.full((2, 3), 1.0, pin_memory=True),
              ft.tensor([[1.0] * 3] * 2, pin_memory=True), ft.empty_like(like, pin_memory=True)):
        assert x.is_pinned() and x.shape == (2, 3)
    with pytest.raises(RuntimeError, match="only dense CPU tensors can be pinned"):
        ft.zeros(2, device="cuda", pin_memory=True)


def test_copies_from_pinned_memory_wait_in_the_stream(slow):
    x = ft.arange(4.0).pin_memory()
    y = x.to("cuda", non_blocking=True)
    assert len(slow.waiting) == 1
    x.mul_(2)  # too early: what the device gets is what is there when the copy runs
    slow.synchronize()
    assert y._array._host.tolist() == [0, 2, 4, 6]
    blocking = x.to("cuda")
    assert not slow.waiting and blocking._array._host.tolist() == [0, 2, 4, 6]
    ordinary = ft.ones(2).to("cuda", non_blocking=True)
    assert not slow.waiting and ordinary._array._host.tolist() == [1, 1]


def test_copies_to_the_host_wait_in_the_stream(slow):
    x = ft.arange(4.0).to("cuda")
    y = x.to("cpu", non_blocking=True)
    assert y.is_pinned() and y.device.type == "cpu" and len(slow.waiting) == 1
    slow.synchronize()
    assert y.tolist() == [0, 1, 2, 3]
    z = ft.zeros(4).pin_memory()
    assert z.copy_(x, non_blocking=True) is z and z.tolist() == [0] * 4 and z._version == 1
    slow.synchronize()
    assert z.tolist() == [0, 1, 2, 3]


def test_what_must_be_converted_or_is_not_pinned_is_waited_for(slow):
    x = ft.arange(4.0).to("cuda")
    for y in (x.to("cpu", ft.float64, non_blocking=True), ft.zeros(4).copy_(x, non_blocking=True), x.cpu()):
        assert not slow.waiting and y.tolist() == [0, 1, 2, 3] and not y.is_pinned()


def test_memory_stays_until_its_copy_has_run(slow):
    from flowtorch.array import pinned

    gc.collect()
    pinned._under_way.clear()
    before = fake_cupy.PinnedMemory.alive
    y = ft.arange(4.0).pin_memory().to("cuda", non_blocking=True)
    ft.ones(4).to("cuda").to("cpu", non_blocking=True)
    gc.collect()
    assert fake_cupy.PinnedMemory.alive == before + 2
    slow.synchronize()
    np.testing.assert_array_equal(y._array._host, [0, 1, 2, 3])
    ft.ones(1).pin_memory().to("cuda", non_blocking=True)
    gc.collect()
    assert fake_cupy.PinnedMemory.alive == before + 1  # the last copy's


def test_gradients_flow_through_copies_that_are_not_waited_for(stream):
    x = ft.arange(3.0).pin_memory().requires_grad_()
    (x.cuda(non_blocking=True) * 2).sum().backward()
    assert x.grad.tolist() == [2, 2, 2] and x.grad.device.type == "cpu"


def test_a_loader_pins_its_batches(stream):
    batches = ft.utils.data.DataLoader(ft.utils.data.TensorDataset(ft.arange(4.0)), batch_size=2, pin_memory=True)
    assert all(x.is_pinned() for (x,) in batches)
    model = ft.nn.Linear(2, 2).to("cuda", non_blocking=True)
    assert model(next(iter(batches))[0].to("cuda", non_blocking=True)).device.type == "cuda"
