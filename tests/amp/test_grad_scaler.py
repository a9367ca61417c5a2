"""GradScaler against torch: scales over a run with overflows, the order of calls, state."""

import copy
import pickle
import warnings

import pytest
import torch

import flowtorch as ft

OVERFLOWS = [False, False, True, False, False, False, True, True, False, False]


def train(t, overflows=OVERFLOWS, unscale=False, clip=False, optimizer="SGD", **options):
    scaler = t.amp.GradScaler("cpu", init_scale=8.0, **options)
    p, q = t.nn.Parameter(t.tensor([1.0, -2.0])), t.nn.Parameter(t.tensor([0.5]))
    optim = getattr(t.optim, optimizer)([p, q], lr=0.1)
    seen = []
    for overflow in overflows:
        optim.zero_grad()
        loss = (p * p).sum() + (q * 3).sum()
        scaler.scale(loss).backward()
        if overflow:
            p.grad[1] = float("inf") if len(seen) % 2 else float("nan")
        if unscale:
            scaler.unscale_(optim)
        if clip:
            t.nn.utils.clip_grad_norm_([p, q], 1.0)
        scaler.step(optim)
        scaler.update()
        seen.append((scaler.get_scale(), scaler._get_growth_tracker(), p.tolist(), q.tolist()))
    return seen, scaler


@pytest.mark.parametrize("options", [
    {}, {"growth_interval": 2}, {"growth_interval": 1, "growth_factor": 3.0, "backoff_factor": 0.25},
    {"growth_interval": 2, "unscale": True}, {"growth_interval": 3, "unscale": True, "clip": True},
    {"optimizer": "Adam", "growth_interval": 2}, {"enabled": False, "overflows": [False] * 3},
])
def test_training(options):
    (mine, a), (theirs, b) = train(ft, **options), train(torch, **options)
    for x, y in zip(mine, theirs, strict=True):
        assert x[:2] == y[:2]
        assert x[2] == pytest.approx(y[2], rel=1e-6, abs=1e-7)
        assert x[3] == pytest.approx(y[3], rel=1e-6, abs=1e-7)
    assert a.state_dict() == b.state_dict()


def test_state_comes_back():
    _, scaler = train(ft, growth_interval=3)
    again = ft.amp.GradScaler("cpu", growth_interval=3)
    again.load_state_dict(scaler.state_dict())
    assert again.state_dict() == scaler.state_dict()
    for other in (copy.deepcopy(scaler), pickle.loads(pickle.dumps(scaler))):
        assert other.get_scale() == scaler.get_scale()
    assert ft.amp.GradScaler("cpu", enabled=False).state_dict() == {}


def refusals(t):
    """(what the calls in the wrong order raise)"""
    p = t.nn.Parameter(t.ones(2))
    optim = t.optim.SGD([p], lr=0.1)
    steps = []

    def note(function, *args, **kwargs):
        try:
            function(*args, **kwargs)
        except (RuntimeError, AssertionError, ValueError, TypeError) as error:
            steps.append((type(error).__name__, str(error)[:60]))
        else:
            steps.append("passes")

    scaler = t.amp.GradScaler("cpu")
    note(scaler.update)
    note(scaler.step, optim)
    scaler.scale(p.sum()).backward()
    note(scaler.unscale_, optim)
    note(scaler.unscale_, optim)
    note(scaler.step, optim, lambda: 0.0, closure=lambda: 0.0)
    note(scaler.step, optim)
    note(scaler.step, optim)
    note(scaler.unscale_, optim)
    note(scaler.update, 4.0)
    note(scaler.update, t.tensor([2.0, 3.0]))
    note(scaler.update)
    note(scaler.load_state_dict, {})
    note(scaler.scale, 3)
    note(scaler.set_growth_factor, 3.0)
    note(t.amp.GradScaler, "cpu", growth_factor=0.5)
    note(t.amp.GradScaler, "cpu", backoff_factor=1.5)
    half = t.nn.Parameter(t.ones(2, dtype=t.float16))
    half.grad = t.ones(2, dtype=t.float16)
    note(scaler.unscale_, t.optim.SGD([half], lr=0.1))
    return steps, scaler.get_scale(), scaler.get_growth_factor()


def test_the_order_of_calls():
    assert refusals(ft) == refusals(torch)


def test_scaling_of_nested_outputs():
    for t in (ft, torch):
        scaler = t.amp.GradScaler("cpu", init_scale=4.0)
        first, (second,) = scaler.scale((t.ones(2), [t.ones(1)]))
        assert first.tolist() == [4.0, 4.0]
        assert second.tolist() == [4.0]


def test_an_optimizer_that_unscales_by_itself():
    for t in (ft, torch):
        class Fussy(t.optim.SGD):
            _step_supports_amp_scaling = True

            def step(self, closure=None):
                self.seen = float(self.grad_scale), float(self.found_inf)

        p = t.nn.Parameter(t.ones(2))
        optim = Fussy([p], lr=0.1)
        scaler = t.amp.GradScaler("cpu", init_scale=16.0)
        scaler.scale(p.sum()).backward()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            scaler.step(optim)
        assert optim.seen == (16.0, 0.0)


def test_cpu_autocast_with_scaling():
    losses = []
    for t in (ft, torch):
        t.manual_seed(0)
        model = t.nn.Linear(4, 2)
        optim = t.optim.Adam(model.parameters(), lr=0.05)
        scaler = t.amp.GradScaler("cpu", init_scale=128.0)
        x, y = t.randn(16, 4), t.randn(16, 2)
        run = []
        for _ in range(10):
            optim.zero_grad()
            with t.autocast("cpu"):
                loss = t.nn.functional.mse_loss(model(x), y)
            scaler.scale(loss).backward()
            scaler.step(optim)
            scaler.update()
            run.append(loss.item())
        losses.append(run)
    assert losses[0] == pytest.approx(losses[1], rel=2e-3)
