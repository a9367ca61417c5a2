"""LBFGS, Muon and SparseAdam, which are more than a formula per element."""

import numpy as np
import pytest
import torch
from twins import arrays, close, same_state

import flowtorch as ft

PROBLEMS = {
    "rosenbrock": (lambda lib, p: 100 * (p[0][1:] - p[0][:-1] ** 2).pow(2).sum() + (1
                                                                                    - p[0][:-1]).pow(2).sum(),
                   [(4,)]),
    "two tensors": (lambda lib, p: ((p[0] * 3 - 1) ** 2).sum() * 2
                    + (p[1] ** 4).sum() + (p[0].sum() - p[1].sum()) ** 2, [(3, 2), (5,)]),
    "flat start": (lambda lib, p: (p[0] * 0).sum(), [(2,)]),
}
OPTIONS = [{}, {"lr": 0.1}, {"line_search_fn": "strong_wolfe"},
           {"line_search_fn": "strong_wolfe", "max_iter": 4}, {"history_size": 2, "lr": 0.2},
           {"max_eval": 7, "line_search_fn": "strong_wolfe"}, {"tolerance_grad": 1e-2, "lr": 0.5},
           {"lr": 0.01, "max_iter": 3}, {"line_search_fn": "strong_wolfe", "tolerance_change": 1e-3}]


def minimise(lib, problem, options, steps=2, dtype="float64"):
    # Few iterations: the rounding errors of sums grow with each until the paths part.
    options = {"max_iter": 5, **options}
    function, shapes = PROBLEMS[problem]
    params = [lib.nn.Parameter(lib.from_numpy(a * 0.5)) for a in arrays(shapes, dtype, 3)]
    opt = lib.optim.LBFGS(params, **options)
    losses, calls = [], []

    def closure():
        opt.zero_grad()
        loss = function(lib, params)
        loss.backward()
        calls.append(1)
        return loss

    for _ in range(steps):
        losses += [opt.step(closure).item()]
    return params, opt, losses, len(calls)


@pytest.mark.parametrize("options", OPTIONS, ids=str)
@pytest.mark.parametrize("problem", PROBLEMS)
def test_lbfgs(problem, options):
    ours, opt, losses, calls = minimise(ft, problem, options)
    theirs, reference, expected, expected_calls = minimise(torch, problem, options)
    assert calls == expected_calls
    np.testing.assert_allclose(losses, expected, rtol=1e-7, atol=1e-12)
    for a, b in zip(ours, theirs, strict=True):
        close(a, b, rtol=1e-6, atol=1e-8)
    mine, other = opt.state[ours[0]], reference.state[theirs[0]]
    assert sorted(mine) == sorted(other)
    assert mine["n_iter"] == other["n_iter"]
    assert mine["func_evals"] == other["func_evals"]
    for key in ("old_dirs", "ro"):
        assert len(mine.get(key, [])) == len(other.get(key, []))


def test_lbfgs_of_complex_parameters():
    results = []
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.from_numpy(arrays([(3,)], "complex128", 1)[0]))
        opt = lib.optim.LBFGS([p], lr=0.3)

        def closure(opt=opt, p=p):
            opt.zero_grad()
            loss = ((p - (1 + 2j)).abs() ** 2).sum()
            loss.backward()
            return loss

        opt.step(closure)
        results.append(p)
    close(*results, rtol=1e-8, atol=1e-10)


def test_lbfgs_knows_one_line_search():
    with pytest.raises(RuntimeError, match="only 'strong_wolfe' is supported"):
        minimise(ft, "rosenbrock", {"line_search_fn": "armijo"})


MUON = [{}, {"lr": 0.1, "weight_decay": 0.0}, {"nesterov": False}, {"momentum": 0.5}, {"ns_steps": 2},
        {"adjust_lr_fn": "match_rms_adamw"}, {"adjust_lr_fn": "original"}]


@pytest.mark.parametrize("options", MUON, ids=str)
@pytest.mark.parametrize("shape", [(6, 4), (4, 6), (5, 5)])
def test_muon(shape, options):
    sides = []
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.from_numpy(arrays([shape], "float32", 0)[0]))
        opt = lib.optim.Muon([p], **options)
        for k in range(3):
            p.grad = lib.from_numpy(arrays([shape], "float32", k + 1)[0])
            opt.step()
        sides.append((p, opt.state[p]["momentum_buffer"]))
    # The orthogonal matrix is found in bfloat16, whose sums differ in order.
    rate = options.get("lr", 1e-3)
    close(sides[0][0], sides[1][0], rtol=0, atol=0.06 * rate)
    close(sides[0][1], sides[1][1], rtol=1e-5, atol=1e-6)


def test_muon_makes_updates_orthogonal():
    p = ft.nn.Parameter(ft.zeros(8, 5))
    opt = ft.optim.Muon([p], lr=1.0, weight_decay=0.0)
    p.grad = ft.from_numpy(arrays([(8, 5)], "float32", 0)[0])
    opt.step()
    singular = np.linalg.svd(p.detach().numpy() / np.sqrt(8 / 5), compute_uv=False)
    assert singular.min() > 0.6
    assert singular.max() < 1.3


SPARSE = [{}, {"lr": 0.1}, {"maximize": True}, {"betas": (0.5, 0.7)}, {"eps": 1e-3}]


@pytest.mark.parametrize("options", SPARSE, ids=str)
def test_sparse_adam(options):
    sides = []
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.from_numpy(arrays([(5, 2)], "float64", 0)[0]))
        opt = lib.optim.SparseAdam([p], **options)
        for k in range(4):
            index = lib.tensor([[0, k, 4, k]])
            p.grad = lib.sparse_coo_tensor(index, lib.from_numpy(arrays([(4, 2)], "float64", k + 1)[0]),
                                           (5, 2))
            opt.step()
        sides.append((p, opt.state[p]))
    close(sides[0][0], sides[1][0])
    same_state(list(sides[0][1].values()), list(sides[1][1].values()), "state", rtol=1e-12)


@pytest.mark.parametrize(("name", "options"), [("SGD", {}), ("SGD", {"momentum": 0.9}),
                                               ("Adagrad", {"lr_decay": 0.1}),
                                               ("SGD", {"momentum": 0.9, "nesterov": True}),
                                               ("SGD", {"maximize": True})],
                         ids=str)
def test_sparse_gradients(name, options):
    sides = []
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.from_numpy(arrays([(5, 2)], "float64", 0)[0]))
        q = lib.nn.Parameter(lib.from_numpy(arrays([(3,)], "float64", 0)[0]))
        opt = getattr(lib.optim, name)([p, q], lr=0.1, **options)
        for k in range(3):
            index = lib.tensor([[0, k, 4, k]])
            p.grad = lib.sparse_coo_tensor(index, lib.from_numpy(arrays([(4, 2)], "float64", k + 1)[0]),
                                           (5, 2))
            q.grad = lib.from_numpy(arrays([(3,)], "float64", k + 1)[0])
            opt.step()
        sides.append((p, q))
    for a, b in zip(*sides, strict=True):
        close(a, b)


@pytest.mark.parametrize("name", ["Adam", "RMSprop", "Adafactor", "NAdam"])
def test_who_refuses_sparse_gradients(name):
    for lib in (ft, torch):
        p = lib.nn.Parameter(lib.ones(3))
        opt = getattr(lib.optim, name)([p])
        p.grad = lib.sparse_coo_tensor(lib.tensor([[1]]), lib.ones(1), (3,))
        with pytest.raises(RuntimeError, match=f"{name} does not support sparse gradients"):
            opt.step()
