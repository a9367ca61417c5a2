"""Every optimiser takes the steps that torch's takes, with every option, layout and kind of parameter."""

import numpy as np
import pytest
import torch
from twins import SHAPES, Twins, close

import flowtorch as ft
from flowtorch.array import scaled
from flowtorch.optim import blocked


def tensor_lr(lib):
    return lib.tensor(0.013)


COMMON = [{}, {"lr": 0.037}, {"maximize": True}, {"foreach": True}, {"lr": tensor_lr},
          {"lr": lambda lib: lib.tensor([0.013])}]
DECAY = [{"weight_decay": 0.1}, {"weight_decay": 0.3, "maximize": True}]
CASES = {
    "SGD": [*COMMON, *DECAY, {"momentum": 0.9}, {"momentum": 0.9, "dampening": 0.4, "weight_decay": 0.1},
            {"momentum": 0.8, "nesterov": True}, {"fused": True}, {"momentum": 0.7, "fused": True},
            {"momentum": 0.9, "maximize": True, "weight_decay": 0.01}],
    "Adam": [*(c for c in COMMON if c.get("lr") is None or "foreach" not in c), *DECAY, {"amsgrad": True},
             {"betas": (0.3, 0.4)}, {"betas": (0.0, 0.0)}, {"eps": 1e-3, "amsgrad": True,
                                                            "weight_decay": 0.2},
             {"fused": True}, {"decoupled_weight_decay": True, "weight_decay": 0.4},
             {"betas": lambda lib: (lib.tensor(0.85), lib.tensor(0.97))}],
    "AdamW": [*COMMON, *DECAY, {"amsgrad": True}, {"fused": True, "amsgrad": True}],
    "Adagrad": [*COMMON, *DECAY, {"lr_decay": 0.3}, {"initial_accumulator_value": 0.5}, {"fused": True}],
    "Adadelta": [*COMMON, *DECAY, {"rho": 0.7, "eps": 1e-4}],
    "Adamax": [*COMMON, *DECAY, {"betas": (0.2, 0.9)}],
    "ASGD": [*COMMON, *DECAY, {"t0": 1, "lambd": 0.1}, {"t0": 0, "alpha": 0.5}],
    "NAdam": [*COMMON, *DECAY, {"momentum_decay": 0.05},
              {"weight_decay": 0.2, "decoupled_weight_decay": True}],
    "RAdam": [*COMMON, *DECAY, {"betas": (0.9, 0.7)}, {"weight_decay": 0.2, "decoupled_weight_decay": True}],
    "RMSprop": [*COMMON, *DECAY, {"centered": True}, {"momentum": 0.9},
                {"momentum": 0.5, "centered": True, "weight_decay": 0.1}],
    "Rprop": [*COMMON, {"etas": (0.3, 1.7)}, {"step_sizes": (1e-2, 2e-2)}],
    "Adafactor": [*(c for c in COMMON if "foreach" not in c), *DECAY, {"beta2_decay": -0.5, "d": 1.5},
                  {"eps": (1e-8, 1e-2)}],
}
ELEMENTWISE = [name for name in CASES if name != "Adafactor"]
ALL = [(name, options) for name, cases in CASES.items() for options in cases]


def label(value):
    return value if isinstance(value, str) else "-".join(value) or "default"


def shapes_for(name):
    # torch's Adafactor divides by the size of an empty parameter.
    return [s for s in SHAPES if 0 not in s] if name == "Adafactor" else SHAPES


@pytest.mark.parametrize(("name", "options"), ALL, ids=label)
def test_float64_steps(name, options):
    twins = Twins(name, shapes_for(name), **options)
    for _ in range(7):
        twins.step()
    # A float32 learning rate is a tensor that is rounded at each operation, in either library's order.
    # torch's foreach ASGD works with its float32 rate as a tensor.
    rounded = name == "ASGD" and "foreach" in options
    loose = rounded or callable(options.get("lr")) or callable(options.get("betas"))
    twins.check(rtol=1e-6 if loose else 1e-11, atol=1e-8 if loose else 1e-13)


@pytest.mark.parametrize(("name", "options"), ALL, ids=label)
def test_float32_steps(name, options):
    twins = Twins(name, shapes_for(name), "float32", **options)
    for _ in range(4):
        twins.step()
    twins.check(rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_complex_steps(name):
    twins = Twins(name, SHAPES, "complex128")
    for _ in range(5):
        twins.step()
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("few", [0, scaled.FEW], ids=["BLAS", "numpy"])
@pytest.mark.parametrize("name", CASES)
def test_sizes_above_and_below_a_block(name, few, monkeypatch):
    monkeypatch.setattr(scaled, "FEW", few)
    monkeypatch.setattr(blocked, "BLOCK", 64)
    monkeypatch.setattr(blocked, "SMALL", 10)
    blocked._memory.__dict__.clear()
    twins = Twins(name, [(3,), (200,), (9,), (11, 5), (64,), (65,), (8, 8, 3), (10,), (1,)])
    for _ in range(4):
        twins.step()
    blocked._memory.__dict__.clear()
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["SGD", "Adam", "RMSprop", "Rprop"])
def test_parameters_without_gradient_are_left_alone(name):
    twins = Twins(name)
    for skip in ((), (0, 3), (1, 2, 4), range(7), ()):
        twins.step(skip=skip)
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", CASES)
def test_groups_with_their_own_options(name):
    twins = Twins(name, [(3, 2), (4,), (5,)], groups=[([0], {}), ([1, 2], {"lr": 0.002})], lr=0.05)
    for _ in range(4):
        twins.step()
    twins.check(rtol=1e-11, atol=1e-13)


LAYOUTS = {
    "transposed": lambda x: x.transpose(0, 1),
    "every second": lambda x: x[::2],
    "channels last": lambda x: x.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2),
}


@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["SGD", "Adam"])
def test_layouts(name, layout, small, monkeypatch):
    if not small:
        monkeypatch.setattr(blocked, "BLOCK", 16)
        monkeypatch.setattr(blocked, "SMALL", 4)
        blocked._memory.__dict__.clear()
    twins = Twins(name, [(6, 4, 2, 3), (4, 2, 2, 2)], layout=LAYOUTS[layout])
    for _ in range(4):
        twins.step()
    blocked._memory.__dict__.clear()
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adamax"])
def test_gradients_of_another_layout(name, monkeypatch):
    monkeypatch.setattr(blocked, "BLOCK", 16)
    monkeypatch.setattr(blocked, "SMALL", 4)
    blocked._memory.__dict__.clear()
    twins = Twins(name, [(6, 4)])
    for _ in range(3):
        g = np.random.default_rng(twins.count).standard_normal((4, 6))
        twins.count += 1
        twins.ours[0].grad = ft.from_numpy(g.copy()).t()
        twins.theirs[0].grad = torch.from_numpy(g.copy()).t()
        twins.opt.step()
        twins.reference.step()
    blocked._memory.__dict__.clear()
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_nan_and_inf_gradients(name):
    twins = Twins(name, [(4,), (6,)])
    twins.step()
    for lib, params in ((ft, twins.ours), (torch, twins.theirs)):
        params[0].grad = lib.tensor([float("nan"), 1.0, float("inf"), 0.0], dtype=lib.float64)
        params[1].grad = lib.tensor([0.0, -0.0, 1e-200, 1e200, -float("inf"), 2.0], dtype=lib.float64)
    with np.errstate(all="raise"):
        twins.opt.step()
    twins.reference.step()
    twins.check(rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("fused", [False, True])
@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW"])
def test_half_precision(name, fused, dtype):
    value = np.linspace(-1, 1, 12, dtype=np.float32)
    sides = []
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.from_numpy(value.copy()).to(getattr(lib, dtype)))
        opt = getattr(lib.optim, name)([p], lr=0.05, fused=fused)
        for k in range(4):
            p.grad = lib.from_numpy(np.cos(value * (k + 2))).to(getattr(lib, dtype))
            opt.step()
        sides.append(p.detach().float())
    np.testing.assert_allclose(sides[0].numpy(), sides[1].numpy(), rtol=3e-3 if dtype == "float16" else 2e-2,
                               atol=1e-3)


def test_versions_count_up():
    p = ft.nn.Parameter(ft.ones(3))
    q = ft.nn.Parameter(ft.ones(3, dtype=ft.float64))
    for opt in (ft.optim.SGD([p, q], momentum=0.9), ft.optim.Adam([p, q])):
        p.grad, q.grad = ft.ones(3), ft.ones(3, dtype=ft.float64)
        before = p._version, q._version
        opt.step()
        assert p._version > before[0]
        assert q._version > before[1]


def test_a_step_between_forward_and_backward_is_noticed():
    p = ft.nn.Parameter(ft.ones(3))
    loss = (p * p).sum()
    p.grad = ft.ones(3)
    ft.optim.SGD([p], lr=0.1).step()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        loss.backward()


@pytest.mark.parametrize("name", ELEMENTWISE)
def test_the_formula_on_tensors_agrees_with_the_kernel(name, monkeypatch):
    def run():
        twins = Twins(name, SHAPES, weight_decay=0.1) if name != "Rprop" else Twins(name, SHAPES)
        for _ in range(5):
            twins.step()
        return twins

    fast = run()
    monkeypatch.setattr(blocked, "_is_ordinary", lambda kind: False)
    slow = run()
    for a, b in zip(fast.ours, slow.ours, strict=True):
        close(a, b, rtol=1e-13, atol=1e-15)


def test_closures_are_run_with_gradients():
    p, q = ft.nn.Parameter(ft.ones(2)), torch.nn.Parameter(torch.ones(2))
    losses = []
    for lib, x in ((ft, p), (torch, q)):
        opt = lib.optim.Adam([x], lr=0.1)

        def closure(opt=opt, x=x):
            opt.zero_grad()
            loss = ((x - 3) ** 2).sum()
            loss.backward()
            return loss

        losses.append([opt.step(closure).item() for _ in range(3)])
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)


@pytest.mark.parametrize("name", ["SGD", "Adam", "AdamW", "Adagrad", "RMSprop", "Adamax", "NAdam", "RAdam",
                                  "ASGD", "Adadelta", "Rprop"])
def test_differentiable_steps(name):
    # More steps are more than torch itself can differentiate there.
    steps = 1 if name in ("Adamax", "Rprop") else 3
    results = []
    for lib in (ft, torch):
        start = lib.tensor([0.5, -1.0, 2.0], dtype=lib.float64, requires_grad=True)
        p = start.clone()
        opt = getattr(lib.optim, name)([p], lr=0.1, differentiable=True)
        for k in range(steps):
            p.grad = (start * (k + 1)).sin()
            opt.step()
        g, = lib.autograd.grad((p * p).sum(), start)
        results.append((p.detach(), g))
    for a, b in zip(*results, strict=True):
        close(a, b, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(("name", "option"), [("SGD", "lr"), ("SGD", "weight_decay"), ("Adam", "lr"),
                                              ("Adam", "weight_decay"), ("AdamW", "lr")])
def test_gradients_of_options(name, option):
    results = []
    for lib in (ft, torch):
        value = lib.tensor(0.1, dtype=lib.float64, requires_grad=True)
        p = lib.tensor([0.5, -1.0, 2.0], dtype=lib.float64, requires_grad=True).clone()
        opt = getattr(lib.optim, name)([p], differentiable=True, **{option: value})
        for k in range(2):
            p.grad = lib.tensor([0.3, -0.2, 0.1], dtype=lib.float64) * (k + 1)
            opt.step()
        g, = lib.autograd.grad((p * p).sum(), value)
        results.append(g)
    close(*results, rtol=1e-5, atol=1e-7)
