"""Steps by plans, in one call of the extension, are the steps that optimisers make otherwise."""

import copy
import pickle

import numpy as np
import pytest
from test_native import OPTIONS, at_once  # noqa: F401 (a fixture)
from test_steps import label

import flowtorch as ft
from flowtorch import overrides
from flowtorch.optim import planned

pytestmark = [
    pytest.mark.skipif(planned._step is None, reason="the extension was not built before this process"),
    pytest.mark.usefixtures("at_once"),
]
PLANNED = [(name, options) for name, options in OPTIONS if name not in ("ASGD", "NAdam", "RAdam")]


def parameters(*shapes):
    rng = np.random.default_rng(0)
    return [ft.nn.Parameter(ft.from_numpy(rng.standard_normal(s).astype("f4"))) for s in shapes]


def give_gradients(params, seed):
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = ft.from_numpy(rng.standard_normal(p.shape).astype("f4"))


@pytest.fixture
def taken(monkeypatch):
    """Whether each step so far was made by a plan."""
    seen = []
    original = planned.step

    def step(optimizer, group):
        seen.append(original(optimizer, group))
        return seen[-1]

    monkeypatch.setattr(planned, "step", step)
    return seen


def trained(name, options, change=lambda opt, k: None, steps=5):
    params = parameters((3, 4), (5,), (), (70, 50))
    opt = getattr(ft.optim, name)(params, **options)
    for k in range(steps):
        give_gradients(params, k)
        change(opt, k)
        opt.step()
    kept = [(n, v.numpy(), v._version) for p in params for n, v in sorted(opt.state[p].items()) if v is not None]
    return [p.detach().numpy() for p in params], [p._version for p in params], kept


def compare(got, expected):
    for a, b in zip(got[0], expected[0], strict=True):
        np.testing.assert_array_equal(a, b)
    assert got[1] == expected[1]
    for a, b in zip(got[2], expected[2], strict=True):
        assert a[0] == b[0] and a[2] == b[2]
        np.testing.assert_array_equal(a[1], b[1])


@pytest.mark.parametrize(("name", "options"), [*PLANNED, ("SGD", {})], ids=label)
def test_same_steps(name, options, taken, monkeypatch):
    got = trained(name, options)
    assert taken[-3:] == [not overrides.active] * 3  # without the fast path there are no plans
    monkeypatch.setattr(planned, "_step", lambda *asked: False)
    compare(got, trained(name, options))


def rates(opt, k):
    opt.param_groups[0]["lr"] = 0.1 / (k + 1)


def weight_decay(opt, k):
    opt.param_groups[0]["weight_decay"] = 0.0 if k < 2 else 0.5


def missing(opt, k):
    opt.param_groups[0]["params"][k % 4].grad = None


def transposed(opt, k):
    p = opt.param_groups[0]["params"][0]
    p.grad = p.grad.t().contiguous().t()


def loaded(opt, k):
    opt.load_state_dict(copy.deepcopy(opt.state_dict()))


def another_group(opt, k):
    if k == 2:
        opt.add_param_group({"params": parameters((2, 2)), "lr": 0.5})
        give_gradients(opt.param_groups[1]["params"], 0)


@pytest.mark.parametrize("change", [rates, weight_decay, missing, transposed, loaded, another_group])
@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}), ("Adam", {})], ids=label)
def test_what_changes_between_steps(name, options, change, monkeypatch):
    got = trained(name, options, change, steps=7)
    monkeypatch.setattr(planned, "_step", lambda *asked: False)
    compare(got, trained(name, options, change, steps=7))


def test_a_subclass_that_updates_otherwise_has_no_plan(taken):
    class Mine(ft.optim.SGD):
        def _update_group(self, group):
            self.seen = True

    params = parameters((3,))
    give_gradients(params, 0)
    opt = Mine(params)
    for _ in range(4):
        opt.step()
    assert not any(taken) and opt.seen


def test_tensors_among_the_options_are_read_at_each_step(taken):
    params = parameters((3,))
    rate = ft.tensor(0.1)
    opt = ft.optim.SGD(params, lr=rate)
    for k in range(4):
        give_gradients(params, 0)
        before = params[0].detach().clone()
        rate.fill_(0.1 * k)
        opt.step()
        np.testing.assert_allclose((before - params[0]).detach().numpy(), 0.1 * k * params[0].grad.numpy(), atol=1e-6)
    assert not any(taken)


def test_hooks_closures_and_copies():
    params = parameters((3,))
    opt = ft.optim.Adam(params)
    seen = []
    opt.register_step_pre_hook(lambda *_: seen.append("before"))
    opt.register_step_post_hook(lambda *_: seen.append("after"))

    def closure():
        assert ft.is_grad_enabled()
        give_gradients(params, 0)
        return 3.0

    for _ in range(3):
        assert opt.step(closure) == 3.0
    assert seen == ["before", "after"] * 3
    again = pickle.loads(pickle.dumps(opt))
    assert again.state_dict()["state"][0]["step"].item() == 3
    assert copy.deepcopy(opt).param_groups[0]["lr"] == 1e-3


def test_zero_grad():
    params = parameters((3,), (2, 2))
    opt = ft.optim.SGD(params)
    give_gradients(params, 0)
    opt.zero_grad(set_to_none=False)
    assert all((p.grad == 0).all() for p in params)
    opt.zero_grad()
    assert all(p.grad is None for p in params)
