"""Parameter groups, state dictionaries, hooks, errors and copies, as torch has them."""

import copy
import importlib
import io
import pickle
import warnings

import numpy as np
import pytest
import torch
from twins import Twins, close

import flowtorch as ft

NAMES = ["ASGD", "Adadelta", "Adagrad", "Adam", "AdamW", "Adamax", "NAdam", "RAdam", "RMSprop", "Rprop",
         "SGD"]
OPTIONS = {"SGD": {"momentum": 0.9}, "RMSprop": {"momentum": 0.9, "centered": True},
           "Adam": {"amsgrad": True}}


def optimizer_module(lib):
    return importlib.import_module(f"{lib.__name__}.optim.optimizer")


def parameter(lib, value=1.0, n=2):
    return lib.nn.Parameter(lib.full((n,), value))


def translate(value, lib):
    """A state dictionary with its tensors in the other library."""
    if isinstance(value, (ft.Tensor, torch.Tensor)):
        return lib.from_numpy(np.array(value.detach().numpy()))
    if isinstance(value, dict):
        return {k: translate(v, lib) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return type(value)(translate(v, lib) for v in value)
    return value


@pytest.mark.parametrize("name", NAMES)
def test_state_dicts_have_the_same_form(name):
    twins = Twins(name, [(3,), (2, 2)], **OPTIONS.get(name, {}))
    twins.step()
    ours, theirs = twins.opt.state_dict(), twins.reference.state_dict()
    assert list(ours) == list(theirs)
    assert ours["param_groups"] == theirs["param_groups"]
    assert [list(g) for g in ours["param_groups"]] == [list(g) for g in theirs["param_groups"]]
    assert {k: list(v) for k, v in ours["state"].items()} == {k: list(v) for k, v in theirs["state"].items()}
    for key, state in theirs["state"].items():
        for field, value in state.items():
            close(ours["state"][key][field], value, field)


@pytest.mark.parametrize("name", NAMES)
def test_training_goes_on_from_the_other_librarys_state(name):
    twins = Twins(name, [(3,), (2, 2)], **OPTIONS.get(name, {}))
    for _ in range(3):
        twins.step()
    saved = translate(twins.reference.state_dict(), ft), translate(twins.opt.state_dict(), torch)
    twins.opt.load_state_dict(saved[0])
    twins.reference.load_state_dict(saved[1])
    for _ in range(3):
        twins.step()
    twins.check(rtol=1e-10, atol=1e-12)


def test_old_state_with_numbers_for_counts():
    p = parameter(ft)
    opt = ft.optim.Adam([p], lr=0.1)
    p.grad = ft.ones(2)
    opt.step()
    saved = opt.state_dict()
    saved["state"][0]["step"] = 1
    for option in ("amsgrad", "fused", "foreach", "maximize", "capturable", "differentiable",
                   "decoupled_weight_decay"):
        del saved["param_groups"][0][option]
    opt.load_state_dict(saved)
    assert isinstance(opt.state[p]["step"], ft.Tensor)
    assert opt.param_groups[0]["amsgrad"] is False
    opt.step()
    assert opt.state[p]["step"].item() == 2


def test_loading_casts_state_to_the_parameter_but_not_the_count():
    p, q = parameter(ft), ft.nn.Parameter(ft.ones(2, dtype=ft.float64))
    a, b = ft.optim.Adam([p]), ft.optim.Adam([q])
    p.grad = ft.ones(2)
    a.step()
    b.load_state_dict(a.state_dict())
    assert b.state[q]["exp_avg"].dtype == ft.float64
    assert b.state[q]["step"].dtype == ft.float32
    assert b.state[q]["step"] is a.state[p]["step"]


def test_loading_checks_the_groups():
    a = ft.optim.SGD([parameter(ft)])
    two = ft.optim.SGD([parameter(ft), parameter(ft)])
    groups = ft.optim.SGD([{"params": [parameter(ft)]}, {"params": [parameter(ft)]}])
    with pytest.raises(ValueError, match="different number of parameter groups"):
        a.load_state_dict(groups.state_dict())
    with pytest.raises(ValueError, match="doesn't match the size of optimizer's group"):
        a.load_state_dict(two.state_dict())


def test_names_of_parameters():
    for lib in (ft, torch):
        model = lib.nn.Linear(2, 1)
        opt = lib.optim.SGD(model.named_parameters(), lr=0.1)
        assert opt.param_groups[0]["param_names"] == ["weight", "bias"]
        saved = opt.state_dict()
        assert saved["param_groups"][0]["param_names"] == ["weight", "bias"]
        other = lib.optim.SGD([("a", parameter(lib)), ("b", parameter(lib))])
        other.load_state_dict(saved)
        assert other.param_groups[0]["param_names"] == ["weight", "bias"]
        del saved["param_groups"][0]["param_names"]
        other.load_state_dict(saved)
        assert other.param_groups[0]["param_names"] == ["weight", "bias"]


@pytest.mark.parametrize("name", [*NAMES, "SparseAdam", "LBFGS", "Adafactor"])
def test_repr_and_defaults(name):
    texts, defaults = [], []
    for lib in (ft, torch):
        opt = getattr(lib.optim, name)([parameter(lib)])
        texts.append(repr(opt))
        defaults.append(opt.defaults)
    assert texts[0] == texts[1]
    assert defaults[0] == defaults[1]
    assert list(defaults[0]) == list(defaults[1])


def make(name, **options):
    return lambda lib: getattr(lib.optim, name)([parameter(lib)], **options)


ERRORS = [
    lambda lib: lib.optim.SGD([]),
    lambda lib: lib.optim.SGD(iter(())),
    lambda lib: lib.optim.SGD([1.0]),
    lambda lib: lib.optim.SGD([parameter(lib) * 2]),
    lambda lib: lib.optim.SGD([{"params": {parameter(lib)}}]),
    lambda lib: lib.optim.SGD([("a", parameter(lib)), parameter(lib)]),
    lambda lib: lib.optim.SGD([{"params": [("a", parameter(lib))]}, {"params": [parameter(lib)]}]),
    lambda lib: lib.optim.SGD([{"params": [parameter(lib)]}, {"params": [("a", parameter(lib))]}]),
    lambda lib: lib.optim.SGD([parameter(lib)]).add_param_group([parameter(lib)]),
    lambda lib: [lib.optim.SGD([{"params": p}, {"params": p}]) for p in [parameter(lib)]],
    lambda lib: lib.optim.SGD([{"lr": 2}]),
    lambda lib: lib.optim.Optimizer([parameter(lib)], {"lr": optimizer_module(lib).required}),
    lambda lib: lib.optim.Optimizer([parameter(lib)], {}).step(),
    make("SGD", lr=-1), make("SGD", momentum=-0.5), make("SGD", weight_decay=-1.0),
    make("SGD", nesterov=True), make("SGD", nesterov=True, momentum=0.9, dampening=0.1),
    make("SGD", fused=True, foreach=True), make("SGD", fused=True, differentiable=True),
    make("Adam", lr=-1.0), make("Adam", eps=-1.0), make("Adam", betas=(1.0, 0.9)),
    make("Adam", betas=(0.9, 1.5)), make("Adam", betas=(0, 0.9)), make("Adam", weight_decay=-1),
    make("Adam", fused=True, foreach=True), make("Adam", fused=True, differentiable=True),
    make("AdamW", betas=(0.9, -0.1)), make("Adagrad", lr_decay=-1),
    make("Adagrad", initial_accumulator_value=-1), make("Adagrad", eps=-1),
    make("Adagrad", fused=True, foreach=True), make("Adadelta", rho=1.5), make("Adadelta", eps=-1),
    make("Adamax", betas=(0.9, 1.0)), make("Adamax", eps=-1), make("ASGD", weight_decay=-1),
    make("NAdam", momentum_decay=-0.1), make("NAdam", betas=(2.0, 0.1)), make("RAdam", weight_decay=-1),
    make("RMSprop", alpha=-1), make("RMSprop", momentum=-1.0), make("RMSprop", eps=-1),
    make("Rprop", etas=(1.0, 0.5)), make("Rprop", lr=-1), make("SparseAdam", lr=0), make("SparseAdam", eps=0),
    make("SparseAdam", betas=(0.9, 1.0)), make("LBFGS", lr=-1), make("Adafactor", lr=-1.0),
    make("Adafactor", beta2_decay=0.1), make("Adafactor", d=0.5), make("Adafactor", eps=(-1.0, 0.1)),
    make("Adafactor", eps=(None, -0.1)), make("Adafactor", weight_decay=-1), make("Muon", lr=0.1),
    lambda lib: lib.optim.Muon([lib.nn.Parameter(lib.ones(2, 2))], adjust_lr_fn="no"),
    lambda lib: lib.optim.Muon([lib.nn.Parameter(lib.ones(2, 2))], momentum=-1),
    lambda lib: lib.optim.LBFGS([{"params": [parameter(lib)]}, {"params": [parameter(lib)]}]),
    lambda lib: lib.optim.SparseAdam([lib.ones(2, dtype=lib.complex64)]),
    lambda lib: lib.optim.Adam([parameter(lib)], lr=lib.tensor([0.1, 0.2])),
    lambda lib: lib.optim.Adam([parameter(lib)], lr=lib.tensor(0.1), foreach=True),
    lambda lib: lib.optim.Adam([parameter(lib)], betas=(lib.tensor(0.1), 0.2)),
    lambda lib: lib.optim.Adam([parameter(lib)], betas=(lib.tensor([0.1, 0.2]), lib.tensor(0.2))),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    raised = []
    for lib in (torch, ft):
        with pytest.raises(Exception) as info:
            ERRORS[case](lib)
        raised.append(info.value)
    assert type(raised[0]) is type(raised[1])
    texts = [str(e).replace("torch.", "").replace("flowtorch.", "") for e in raised]
    assert texts[1].startswith(texts[0][:70])


@pytest.mark.parametrize("name", ["Adam", "Adadelta", "Adamax", "ASGD", "NAdam", "RAdam", "RMSprop", "Rprop"])
def test_capturable_is_for_accelerators(name):
    for lib in (ft, torch):
        p = parameter(lib)
        opt = getattr(lib.optim, name)([p], capturable=True)
        p.grad = lib.ones(2)
        with pytest.raises(AssertionError, match="If capturable=True, params"):
            opt.step()


def test_duplicates_warn():
    for lib in (ft, torch):
        p = parameter(lib)
        with pytest.warns(UserWarning, match="duplicate parameters"):
            lib.optim.SGD([p, p])


def test_zero_grad():
    p = parameter(ft)
    opt = ft.optim.SGD([p])
    p.grad = ft.ones(2)
    grad = p.grad
    opt.zero_grad(set_to_none=False)
    assert p.grad is grad
    assert p.grad.tolist() == [0, 0]
    opt.zero_grad()
    assert p.grad is None
    (p * p).sum().backward(create_graph=True)
    opt.zero_grad(set_to_none=False)
    assert p.grad.grad_fn is None


def test_step_hooks_run_in_torchs_order():
    logs = []
    for lib in (ft, torch):
        log = []
        p = parameter(lib)
        opt = lib.optim.SGD([p], lr=0.1)
        optimizer = optimizer_module(lib)
        handles = [optimizer.register_optimizer_step_pre_hook(lambda *a, log=log: log.append("global pre")),
                   optimizer.register_optimizer_step_post_hook(lambda *a, log=log: log.append("global post")),
                   opt.register_step_pre_hook(lambda *a, log=log: log.append("pre")),
                   opt.register_step_post_hook(lambda *a, log=log: log.append("post"))]
        p.grad = lib.ones(2)
        opt.step()
        handles[2].remove()
        opt.step()
        for handle in handles:
            handle.remove()
        opt.step()
        logs.append(log)
    assert logs[0] == logs[1]


def test_a_pre_hook_may_replace_the_arguments():
    for lib in (ft, torch):
        opt = lib.optim.SGD([parameter(lib)], lr=0.1)
        opt.register_step_pre_hook(lambda o, args, kwargs, lib=lib: ((o, lambda: lib.tensor(5.0)), {}))
        assert opt.step().item() == 5
        opt.register_step_pre_hook(lambda *a: 1)
        with pytest.raises(RuntimeError, match="must return None or a tuple"):
            opt.step()


def test_state_dict_hooks():
    logs = []
    for lib in (ft, torch):
        log = []
        opt = lib.optim.SGD([parameter(lib)], lr=0.1)
        opt.register_state_dict_pre_hook(lambda o, log=log: log.append("pre"))
        opt.register_state_dict_pre_hook(lambda o, log=log: log.append("first"), prepend=True)
        opt.register_state_dict_post_hook(lambda o, d: {**d, "extra": 1})
        opt.register_load_state_dict_pre_hook(lambda o, d, log=log: log.append(sorted(d)) or d)
        opt.register_load_state_dict_post_hook(lambda o, log=log: log.append("loaded"))
        opt.load_state_dict(opt.state_dict())
        logs.append(log)
    assert logs[0] == logs[1]


@pytest.mark.parametrize("name", [*NAMES, "Adafactor"])
def test_copies_and_pickles_go_on_alike(name):
    p = parameter(ft, 0.5, 3)
    opt = getattr(ft.optim, name)([p], **OPTIONS.get(name, {}))
    p.grad = ft.tensor([0.1, -0.2, 0.3])
    opt.step()
    twins = [copy.deepcopy(opt), pickle.loads(pickle.dumps(opt))]
    opt.step()
    for other in twins:
        q = other.param_groups[0]["params"][0]
        assert q is not p
        q.grad = ft.tensor([0.1, -0.2, 0.3])
        other.step()
        assert q.tolist() == p.tolist()


def test_subclasses_and_other_peoples_optimizers():
    class Plain(ft.optim.Optimizer):
        def __init__(self, params, lr=optimizer_module(ft).required):
            super().__init__(params, {"lr": lr})

        @ft.no_grad()
        def step(self, closure=None):
            for group in self.param_groups:
                for p in group["params"]:
                    p.sub_(p.grad * group["lr"])

    p = parameter(ft)
    opt = Plain([p], lr=0.5)
    seen = []
    opt.register_step_post_hook(lambda *a: seen.append(1))
    p.grad = ft.ones(2)
    opt.step()
    assert p.tolist() == [0.5, 0.5]
    assert seen == [1]
    assert Plain.step.hooked


def test_swapping_in_other_parameters():
    results = []
    for lib in (ft, torch):
        p, q = parameter(lib), parameter(lib, 5.0)
        opt = lib.optim.SGD([p], lr=0.1, momentum=0.9)
        p.grad = lib.ones(2)
        opt.step()
        state = opt.state_dict()
        with lib.optim.swap_in_optimizer_params_and_state(opt, {"w": q}, state):
            q.grad = lib.ones(2)
            opt.step()
        results.append([p.tolist(), q.tolist(), opt.param_groups[0]["params"][0] is p])
        for bad in ({}, {"state": []}, {"state": {}, "param_groups": []},
                    {"state": {3: {}}, "param_groups": state["param_groups"]}):
            with pytest.raises(RuntimeError, match="swap"), \
                    lib.optim.swap_in_optimizer_params_and_state(opt, {"w": q}, bad):
                pass
    np.testing.assert_allclose(results[0][:2], results[1][:2], rtol=1e-6)
    assert results[0][2]
    assert results[1][2]


def test_importing_names_as_code_for_torch_does():
    from flowtorch.optim.adam import Adam, adam
    from flowtorch.optim.lr_scheduler import LambdaLR, _LRScheduler
    from flowtorch.optim.optimizer import Optimizer, ParamsT, _use_grad_for_differentiable, required
    from flowtorch.optim.sgd import SGD, sgd

    assert all((Adam, adam, LambdaLR, _LRScheduler, Optimizer, ParamsT, _use_grad_for_differentiable, SGD,
                sgd))
    assert repr(required) == "<required parameter>"


def test_saving_and_loading_files():
    p = parameter(ft)
    opt = ft.optim.Adam([p])
    p.grad = ft.ones(2)
    opt.step()
    file = io.BytesIO()
    ft.save(opt.state_dict(), file)
    file.seek(0)
    other = ft.optim.Adam([parameter(ft)])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        other.load_state_dict(ft.load(file))
    assert other.state_dict()["state"][0]["step"].item() == 1
