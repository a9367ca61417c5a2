"""Averaged models and the renewal of batch statistics."""

import copy
import pickle

import numpy as np
import pytest
import torch
from twins import close

import flowtorch as ft

MAKERS = {
    "swa": {},
    "swa avg_fn": {"avg_fn": lambda u: u.get_swa_avg_fn()},
    "swa multi": {"multi_avg_fn": lambda u: u.get_swa_multi_avg_fn()},
    "ema": {"avg_fn": lambda u: u.get_ema_avg_fn(0.8)},
    "ema multi": {"multi_avg_fn": lambda u: u.get_ema_multi_avg_fn(0.8)},
    "ema multi buffers": {"multi_avg_fn": lambda u: u.get_ema_multi_avg_fn(0.3), "use_buffers": True},
    "swa buffers": {"use_buffers": True},
    "custom": {"avg_fn": lambda u: lambda mean, new, count: mean * 0.25 + new * 0.75},
}


def network(lib):
    model = lib.nn.Sequential(lib.nn.Linear(3, 4), lib.nn.BatchNorm1d(4), lib.nn.Linear(4, 2))
    fill(lib, model, 0)
    return model


def fill(lib, model, seed):
    rng = np.random.default_rng(seed)
    with lib.no_grad():
        for p in model.parameters():
            p.copy_(lib.from_numpy(rng.standard_normal(tuple(p.shape)).astype(np.float32)))


@pytest.mark.parametrize("kind", MAKERS)
def test_averages(kind):
    states = []
    for lib in (ft, torch):
        utils = lib.optim.swa_utils
        options = {k: v(utils) if callable(v) else v for k, v in MAKERS[kind].items()}
        model = network(lib)
        averaged = utils.AveragedModel(model, **options)
        for seed in range(1, 5):
            fill(lib, model, seed)
            model(lib.ones(5, 3) * seed + lib.arange(15.0).view(5, 3))
            averaged.update_parameters(model)
        states.append(averaged.state_dict())
    assert list(states[0]) == list(states[1])
    for key, value in states[1].items():
        close(states[0][key], value, key, rtol=1e-5, atol=1e-6)


def test_the_average_is_a_model():
    model = network(ft)
    averaged = ft.optim.swa_utils.AveragedModel(model)
    averaged.update_parameters(model)
    averaged.eval()
    model.eval()
    x = ft.ones(2, 3)
    assert averaged(x).tolist() == model(x).tolist()
    assert averaged.n_averaged.item() == 1
    other = copy.deepcopy(averaged)
    other.load_state_dict(averaged.state_dict())
    assert pickle.loads(pickle.dumps(averaged)).n_averaged.item() == 1


def test_averaging_leaves_no_history():
    model = network(ft)
    averaged = ft.optim.swa_utils.AveragedModel(model)
    for _ in range(3):
        averaged.update_parameters(model)
    assert all(p.grad_fn is None for p in averaged.parameters())


def test_errors():
    for lib in (ft, torch):
        utils = lib.optim.swa_utils
        for make in (utils.get_ema_avg_fn, utils.get_ema_multi_avg_fn):
            for decay in (-0.1, 1.1):
                with pytest.raises(ValueError, match="Invalid decay value"):
                    make(decay)
        with pytest.raises(AssertionError, match="Only one of avg_fn and multi_avg_fn"):
            utils.AveragedModel(network(lib), avg_fn=utils.get_swa_avg_fn(),
                                multi_avg_fn=utils.get_swa_multi_avg_fn())


@pytest.mark.parametrize("pairs", [False, True])
def test_update_bn(pairs):
    states = []
    for lib in (ft, torch):
        model = network(lib)
        model.eval()
        rng = np.random.default_rng(0)
        batches = [lib.from_numpy(rng.standard_normal((6, 3)).astype(np.float32)) for _ in range(3)]
        lib.optim.swa_utils.update_bn([(b, 1) for b in batches] if pairs else batches, model)
        assert not model.training
        assert model[1].momentum == 0.1
        states.append(model[1])
    close(states[0].running_mean, states[1].running_mean, rtol=1e-5, atol=1e-6)
    close(states[0].running_var, states[1].running_var, rtol=1e-5, atol=1e-6)
    assert states[0].num_batches_tracked.item() == states[1].num_batches_tracked.item() == 3


def test_update_bn_without_batch_norm_reads_nothing():
    def loader():
        raise AssertionError
        yield

    ft.optim.swa_utils.update_bn(loader(), ft.nn.Linear(2, 2))
