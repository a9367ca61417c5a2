"""Captured graphs: a replayed training step does what the eager one does.

The arrays and streams are those of fake_cupy.py. While a stream is captured, launches are noted instead of run, and run
at a replay by Triton's interpreter; whatever a step computed, or read, on the host would show here.
Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_graphs.py
"""

import copy
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import flowtorch as ft

sys.path.insert(0, str(Path(__file__).parent))
import fake_cupy

F = ft.nn.functional
cuda = ft.cuda


ON_GPU = os.environ.get("FLOWTORCH_TEST_GPU") == "1"


@pytest.fixture(autouse=True)
def device_arrays(monkeypatch):
    if not ON_GPU:
        fake_cupy.install(monkeypatch.setattr)


def assert_same(left, right):
    """Equal bit by bit; on a GPU, where sums may be made in another order, nearly."""
    kind = {"rtol": 1e-4, "atol": 1e-5} if ON_GPU else {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(left.detach().cpu(), right.detach().cpu(), **kind)


def captured(function):
    graph = cuda.CUDAGraph()
    with cuda.graph(graph):
        result = function()
    return graph, result


def network(convolution):
    ft.manual_seed(3)
    if convolution:
        return ft.nn.Sequential(
            ft.nn.Conv2d(1, 2, 3, padding=1), ft.nn.BatchNorm2d(2), ft.nn.ReLU(), ft.nn.MaxPool2d(2), ft.nn.Flatten(),
            ft.nn.Dropout(0.3), ft.nn.Linear(8, 3),
        ).to("cuda")  # fmt: skip
    layer = ft.nn.TransformerEncoderLayer(8, 2, 16, dropout=0.2, batch_first=True)
    return ft.nn.Sequential(ft.nn.Embedding(5, 8), layer, ft.nn.Linear(8, 3)).to("cuda")


OPTIMIZERS = {
    "AdamW": {"lr": 0.01, "capturable": True},
    "Adam": {"lr": 0.01, "fused": True, "amsgrad": True},
    "SGD": {"lr": 0.05, "momentum": 0.9, "nesterov": True},
    "RMSprop": {"lr": 0.01, "capturable": True, "momentum": 0.5},
}
CAPTURABLE = ("ASGD", "Adadelta", "Adamax", "NAdam", "RAdam", "Rprop")


@pytest.mark.parametrize("convolution", [True, False], ids=["convolutions", "attention"])
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_replayed_training_step_is_the_eager_one(name, convolution):
    net = network(convolution)
    shape = (4, 1, 4, 4) if convolution else (4, 3)
    inputs = [ft.randn(shape) if convolution else ft.randint(0, 5, shape) for _ in range(4)]
    targets = [ft.randint(0, 3, (4,) if convolution else (12,)) for _ in range(4)]
    x, y = inputs[0].to("cuda"), targets[0].to("cuda")

    def step(net, optimizer):
        optimizer.zero_grad(set_to_none=True)
        loss = F.cross_entropy(net(x).flatten(0, -2), y)
        loss.backward()
        optimizer.step()
        return loss

    optimizer = getattr(ft.optim, name)(net.parameters(), **OPTIMIZERS[name])
    step(net, optimizer)
    other, state = copy.deepcopy(net), copy.deepcopy(optimizer.state_dict())
    twin = getattr(ft.optim, name)(other.parameters(), **OPTIMIZERS[name])
    twin.load_state_dict(state)
    random = cuda.get_rng_state()
    before = [p.detach().clone() for p in net.parameters()]
    graph, loss = captured(lambda: step(net, optimizer))
    assert all((p == b).all() for p, b in zip(net.parameters(), before, strict=True))  # nothing ran
    losses = []
    for values, wanted in zip(inputs, targets, strict=True):
        x.copy_(values)
        y.copy_(wanted)
        graph.replay()
        losses.append(loss.item())
    after = cuda.get_rng_state()
    cuda.set_rng_state(random)
    for k, (values, wanted) in enumerate(zip(inputs, targets, strict=True)):
        x.copy_(values)
        y.copy_(wanted)
        assert_same(step(other, twin), ft.tensor(losses[k]))
    for left, right in zip((*net.parameters(), *net.buffers()), (*other.parameters(), *other.buffers()), strict=True):
        assert_same(left, right)
    assert (cuda.get_rng_state() == after).all() and len(set(losses)) == 4


@pytest.mark.parametrize("name", CAPTURABLE)
def test_every_capturable_optimiser_counts_on_the_device(name):
    def made():
        p = ft.full((3,), 2.0, device="cuda", requires_grad=True)
        p.grad = ft.tensor([0.5, -1.0, 2.0], device="cuda")
        optimizer = getattr(ft.optim, name)([p], lr=0.1, capturable=True)
        optimizer.step()
        return p, optimizer

    (p, optimizer), (q, twin) = made(), made()
    graph, _ = captured(optimizer.step)
    for _ in range(8):  # RAdam changes its formula on the way
        graph.replay()
        twin.step()
        assert_same(p, q)


def test_random_numbers_go_on_from_replay_to_replay():
    cuda.manual_seed(7)
    expected = [(ft.rand(5, device="cuda"), ft.randn(5, device="cuda")) for _ in range(3)]
    cuda.manual_seed(1)
    graph, (first, second) = captured(lambda: (ft.rand(5, device="cuda"), ft.randn(5, device="cuda")))
    cuda.manual_seed(7)
    for a, b in expected:
        graph.replay()
        assert (first == a).all() and (second == b).all()
    assert (ft.rand(2, device="cuda") != first[:2]).all()


DRAWS = ["bernoulli", "multinomial", "normal_", "exponential_", "randperm", "randint", "dropout", "attention"]


@pytest.mark.parametrize("draw", DRAWS)
def test_every_draw_can_be_captured(draw):
    p = ft.full((3, 4), 0.5, device="cuda")
    out = ft.empty(6, device="cuda")
    x = ft.linspace(0, 1, 32, device="cuda").view(1, 1, 4, 8)
    calls = {
        "bernoulli": lambda: ft.bernoulli(p), "multinomial": lambda: ft.multinomial(p, 3, True),
        "normal_": lambda: out.normal_(), "exponential_": lambda: out.exponential_(),
        "randperm": lambda: ft.randperm(9, device="cuda"), "randint": lambda: ft.randint(0, 99, (9,), device="cuda"),
        "dropout": lambda: F.dropout(p, 0.5),
        "attention": lambda: F.scaled_dot_product_attention(x, x, x, dropout_p=0.5),
    }  # fmt: skip
    cuda.manual_seed(11)
    expected = [calls[draw]().clone() for _ in range(2)]
    graph, result = captured(calls[draw])
    cuda.manual_seed(11)
    for wanted in expected:
        graph.replay()
        np.testing.assert_array_equal(result.cpu(), wanted.cpu())


def test_a_generator_of_ones_own_is_registered():
    own = ft.Generator("cuda").manual_seed(5)
    with pytest.raises(RuntimeError, match="register_generator_state"), cuda.graph(cuda.CUDAGraph()):
        ft.rand(3, device="cuda", generator=own)
    expected = [ft.rand(3, device="cuda", generator=own) for _ in range(2)]
    graph = cuda.CUDAGraph()
    graph.register_generator_state(own)
    with cuda.graph(graph):
        result = ft.rand(3, device="cuda", generator=own)
    own.manual_seed(5)
    for wanted in expected:
        graph.replay()
        assert (result == wanted).all()


def test_reading_a_result_during_capture_is_an_error_and_ends_it():
    x = ft.ones(3, device="cuda")
    assert not cuda.is_current_stream_capturing()
    for read in (lambda t: t.sum().item(), lambda t: bool(t.sum() > 0), lambda t: float(t[0])):
        with pytest.raises(RuntimeError, match="CUDA error: operation not permitted when stream is capturing"):
            captured(lambda read=read: read(x))
        assert not cuda.is_current_stream_capturing()
    assert (x + 1).sum().item() == 6


def test_mistakes():
    graph = cuda.CUDAGraph()
    with pytest.raises(RuntimeError, match="without a preceding successful capture"):
        graph.replay()
    with pytest.raises(RuntimeError, match="nothing is being captured"):
        graph.capture_end()
    with pytest.raises(RuntimeError, match="on a non-default stream"):
        graph.capture_begin()
    with cuda.stream(cuda.Stream()):
        graph.capture_begin()
        assert cuda.is_current_stream_capturing()
        with pytest.raises(RuntimeError, match="one graph at a time"):
            cuda.CUDAGraph().capture_begin()
        graph.capture_end()
    graph.replay()
    graph.reset()
    with pytest.raises(RuntimeError, match="without a preceding"):
        graph.replay()


def test_memory_that_a_capture_used_is_kept_for_replays():
    x = ft.arange(4.0, device="cuda")
    graph, y = captured(lambda: (x * 2 + 1).exp().log())
    junk = [ft.full((4,), 9.0, device="cuda") for _ in range(50)]
    graph.replay()
    np.testing.assert_allclose(y.cpu(), 2 * np.arange(4) + 1, rtol=1e-6)
    assert all((t == 9).all() for t in junk)
