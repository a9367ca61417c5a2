"""Schedulers give torch's sequences of learning rates bit for bit, and its state dictionaries."""

import copy
import pickle
import warnings

import pytest
import torch

import flowtorch as ft


class Square:
    """A callable object, whose attributes a scheduler saves."""

    def __init__(self, factor=0.9):
        self.factor = factor

    def __call__(self, epoch):
        return self.factor**epoch


def optimizer(lib, groups=2, name="SGD", **options):
    params = [{"params": [lib.nn.Parameter(lib.ones(2))], "lr": 0.05 * (i + 1)} for i in range(groups)]
    options = options or ({"momentum": 0.9} if name == "SGD" else {})
    return getattr(lib.optim, name)(params, lr=0.1, **options)


def sequence(lib, build, steps=25, name="SGD", argument=lambda i: ()):
    opt = optimizer(lib, name=name)
    scheduler = build(lib.optim.lr_scheduler, opt)
    seen = []
    for i in range(steps):
        seen.append([{k: v for k, v in g.items() if k in ("lr", "momentum", "betas", "initial_lr", "max_lr",
                                                          "min_lr")}
                     for g in opt.param_groups])
        seen.append(list(scheduler.get_last_lr()))
        opt.step()
        scheduler.step(*argument(i))
    return seen


SCHEDULES = {
    "StepLR": lambda s, o: s.StepLR(o, 3, gamma=0.3),
    "MultiStepLR": lambda s, o: s.MultiStepLR(o, [2, 5, 5, 11], gamma=0.3),
    "ConstantLR": lambda s, o: s.ConstantLR(o, factor=0.3, total_iters=4),
    "ConstantLR at once": lambda s, o: s.ConstantLR(o, factor=0.3, total_iters=0),
    "LinearLR": lambda s, o: s.LinearLR(o, start_factor=0.2, end_factor=0.7, total_iters=7),
    "LinearLR default": lambda s, o: s.LinearLR(o),
    "ExponentialLR": lambda s, o: s.ExponentialLR(o, 0.93),
    "PolynomialLR": lambda s, o: s.PolynomialLR(o, total_iters=9, power=1.7),
    "LambdaLR": lambda s, o: s.LambdaLR(o, lambda e: 0.95**e),
    "LambdaLR per group": lambda s, o: s.LambdaLR(o, [lambda e: 0.95**e, Square()]),
    "MultiplicativeLR": lambda s, o: s.MultiplicativeLR(o, [lambda e: 0.9, lambda e: 1 - e / 50]),
    "CosineAnnealingLR": lambda s, o: s.CosineAnnealingLR(o, 6),
    "CosineAnnealingLR eta_min": lambda s, o: s.CosineAnnealingLR(o, 7, eta_min=0.003),
    "WarmRestarts": lambda s, o: s.CosineAnnealingWarmRestarts(o, 4),
    "WarmRestarts growing": lambda s, o: s.CosineAnnealingWarmRestarts(o, 2, T_mult=2, eta_min=0.01),
    "CyclicLR": lambda s, o: s.CyclicLR(o, 0.01, 0.1, step_size_up=3),
    "CyclicLR triangular2": lambda s, o: s.CyclicLR(o, [0.01, 0.02], 0.1, 3, 5, mode="triangular2"),
    "CyclicLR exp_range": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, mode="exp_range", gamma=0.97),
    "CyclicLR scale_fn": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=lambda x: 1 / x,
                                                 cycle_momentum=False),
    "CyclicLR per step": lambda s, o: s.CyclicLR(o, 0.01, 0.1, 4, scale_fn=Square(), scale_mode="iterations"),
    "OneCycleLR": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=30),
    "OneCycleLR linear": lambda s, o: s.OneCycleLR(o, [0.1, 0.3], epochs=5, steps_per_epoch=6, pct_start=0.2,
                                                   anneal_strategy="linear", base_momentum=0.7),
    "OneCycleLR three": lambda s, o: s.OneCycleLR(o, 0.1, total_steps=28, three_phase=True, div_factor=10,
                                                  final_div_factor=100),
    "SequentialLR": lambda s, o: s.SequentialLR(o, [s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9),
                                                    s.StepLR(o, 2)], [3, 9]),
    "SequentialLR cosine": lambda s, o: s.SequentialLR(o, [s.LinearLR(o, 0.1, 1.0, 4),
                                                           s.CosineAnnealingLR(o, 10)], [4]),
    "SequentialLR of sequences": lambda s, o: s.SequentialLR(
        o, [s.SequentialLR(o, [s.LinearLR(o), s.StepLR(o, 2)], [3]), s.ExponentialLR(o, 0.5)], [8]),
    "ChainedScheduler": lambda s, o: s.ChainedScheduler([s.ConstantLR(o, 0.1, 2), s.ExponentialLR(o, 0.9)]),
    "SWALR": lambda s, o: swa(s).SWALR(o, 0.02, anneal_epochs=5),
    "SWALR linear": lambda s, o: swa(s).SWALR(o, [0.02, 0.5], anneal_epochs=4, anneal_strategy="linear"),
    "SWALR at once": lambda s, o: swa(s).SWALR(o, 0.02, anneal_epochs=0),
}


def swa(schedulers):
    return (ft if schedulers is ft.optim.lr_scheduler else torch).optim.swa_utils


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("schedule", SCHEDULES)
def test_sequences(schedule, name):
    assert sequence(ft, SCHEDULES[schedule], name=name) == sequence(torch, SCHEDULES[schedule], name=name)


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("schedule", [k for k in SCHEDULES if not k.startswith(("Seq", "Chained"))])
def test_jumping_to_an_epoch(schedule):
    def jump(i):
        return (i * 3 % 7,) if i % 2 else ()

    assert sequence(ft, SCHEDULES[schedule], argument=jump) == sequence(torch, SCHEDULES[schedule],
                                                                        argument=jump)


def test_fractions_of_epochs_of_warm_restarts():
    build = lambda s, o: s.CosineAnnealingWarmRestarts(o, 3, T_mult=2)  # noqa: E731
    fraction = lambda i: (i * 0.37,)  # noqa: E731
    assert sequence(ft, build, argument=fraction) == sequence(torch, build, argument=fraction)


METRICS = [1.0, 0.9, 0.95, 0.96, 0.97, 0.5, 0.5, 0.5, 0.5, 0.6, 0.7, 0.2, 0.19999, 0.2, 0.2, 0.2, 0.2, 0.2,
           0.2, 0.2]
PLATEAUS = [{}, {"patience": 1, "factor": 0.5}, {"patience": 0, "cooldown": 2, "mode": "max"},
            {"patience": 1, "threshold": 0.3, "threshold_mode": "abs"},
            {"patience": 0, "min_lr": [0.03, 0.06]}, {"patience": 0, "mode": "max", "threshold": 0.01},
            {"patience": 0, "eps": 0.03}, {"patience": 1, "mode": "max", "threshold_mode": "abs"}]


@pytest.mark.parametrize("options", PLATEAUS, ids=str)
def test_plateau(options):
    def run(lib):
        return sequence(lib, lambda s, o: s.ReduceLROnPlateau(o, **options), steps=len(METRICS),
                        argument=lambda i: (METRICS[i],))

    assert run(ft) == run(torch)


def plain(state):
    return {k: [plain(s) for s in v] if k == "_schedulers" else v for k, v in state.items()
            if k != "_scale_fn_ref"}


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_state_dicts(schedule):
    states = []
    for lib in (ft, torch):
        opt = optimizer(lib)
        scheduler = SCHEDULES[schedule](lib.optim.lr_scheduler, opt)
        for _ in range(4):
            opt.step()
            scheduler.step()
        states.append((scheduler, opt, lib))
    (ours, opt, _), (theirs, *_) = states
    saved = ours.state_dict()
    assert plain(saved) == plain(theirs.state_dict())
    again = optimizer(ft)
    restored = SCHEDULES[schedule](ft.optim.lr_scheduler, again)
    restored.load_state_dict(pickle.loads(pickle.dumps(theirs.state_dict())))
    for g, h in zip(again.param_groups, opt.param_groups, strict=True):
        g.update({k: v for k, v in h.items() if k != "params"})
    for _ in range(6):
        for s in (opt, again):
            s.step()
        ours.step()
        restored.step()
        assert ours.get_last_lr() == restored.get_last_lr()


@pytest.mark.parametrize("schedule", ["StepLR", "LambdaLR per group", "CosineAnnealingLR", "OneCycleLR",
                                      "SequentialLR"])
def test_learning_rates_that_are_tensors(schedule):
    def run(lib):
        params = [{"params": [lib.nn.Parameter(lib.ones(2))],
                   "lr": lib.tensor(0.05 * (i + 1))} for i in range(2)]
        opt = lib.optim.SGD(params, momentum=0.9)
        held = [g["lr"] for g in opt.param_groups]
        scheduler = SCHEDULES[schedule](lib.optim.lr_scheduler, opt)
        seen = []
        for _ in range(9):
            opt.step()
            scheduler.step()
            seen += [float(lr) for lr in scheduler.get_last_lr()]
        assert all(a is g["lr"] for a, g in zip(held, opt.param_groups, strict=True))
        return seen

    assert run(ft) == pytest.approx(run(torch), rel=1e-6)


def test_resuming_at_an_epoch():
    def run(lib):
        opt = optimizer(lib)
        for group in opt.param_groups:
            group["initial_lr"] = 0.2
        s = lib.optim.lr_scheduler
        return [lr for sched in (s.StepLR(opt, 2, last_epoch=5), s.CosineAnnealingLR(opt, 8, last_epoch=3))
                for lr in sched.get_last_lr()]

    assert run(ft) == run(torch)


ERRORS = [
    lambda s, o, n: s.StepLR(None, 3),
    lambda s, o, n: s.StepLR(o, 3, last_epoch=2),
    lambda s, o, n: s.LambdaLR(o, [lambda e: 1.0]),
    lambda s, o, n: s.MultiplicativeLR(o, 3),
    lambda s, o, n: s.ConstantLR(o, factor=1.5),
    lambda s, o, n: s.LinearLR(o, start_factor=0),
    lambda s, o, n: s.LinearLR(o, end_factor=2),
    lambda s, o, n: s.CosineAnnealingWarmRestarts(o, 0),
    lambda s, o, n: s.CosineAnnealingWarmRestarts(o, 2, T_mult=0),
    lambda s, o, n: s.CosineAnnealingWarmRestarts(o, 2, eta_min="0"),
    lambda s, o, n: s.CosineAnnealingWarmRestarts(o, 2).step(-1),
    lambda s, o, n: s.CyclicLR(o, [0.1], 0.3),
    lambda s, o, n: s.CyclicLR(o, 0.1, 0.3, mode="saw"),
    lambda s, o, n: s.CyclicLR(n, 0.1, 0.3),
    lambda s, o, n: s.OneCycleLR(o, 0.1),
    lambda s, o, n: s.OneCycleLR(o, 0.1, total_steps=0),
    lambda s, o, n: s.OneCycleLR(o, 0.1, epochs=-1, steps_per_epoch=2),
    lambda s, o, n: s.OneCycleLR(o, 0.1, epochs=1, steps_per_epoch=0.5),
    lambda s, o, n: s.OneCycleLR(o, 0.1, total_steps=3, pct_start=2.0),
    lambda s, o, n: s.OneCycleLR(o, 0.1, total_steps=3, anneal_strategy="fast"),
    lambda s, o, n: s.ReduceLROnPlateau(o, factor=1.0),
    lambda s, o, n: s.ReduceLROnPlateau(o, mode="mid"),
    lambda s, o, n: s.ReduceLROnPlateau(o, threshold_mode="mid"),
    lambda s, o, n: s.ReduceLROnPlateau(o, min_lr=[0.1]),
    lambda s, o, n: s.SequentialLR(o, [], []),
    lambda s, o, n: s.SequentialLR(o, [s.StepLR(o, 2)], [2]),
    lambda s, o, n: s.SequentialLR(o, [s.ReduceLROnPlateau(o), s.StepLR(o, 2)], [2]),
    lambda s, o, n: s.SequentialLR(n, [s.StepLR(n, 2), s.StepLR(o, 2)], [2]),
    lambda s, o, n: s.ChainedScheduler([]),
    lambda s, o, n: s.ChainedScheduler([s.StepLR(n, 2), s.StepLR(o, 2)]),
    lambda s, o, n: swa(s).SWALR(o, 0.1, anneal_strategy="fast"),
    lambda s, o, n: swa(s).SWALR(o, 0.1, anneal_epochs=-1),
]


@pytest.mark.parametrize("case", range(len(ERRORS)))
def test_errors(case):
    raised = []
    for lib in (torch, ft):
        other = lib.optim.Adadelta([lib.nn.Parameter(lib.ones(1))])
        with pytest.raises((TypeError, ValueError, KeyError)) as info:
            ERRORS[case](lib.optim.lr_scheduler, optimizer(lib), other)
        raised.append(info.value)
    assert type(raised[0]) is type(raised[1])
    theirs, ours = (str(e).split("\n")[0].strip("'\"").split("\\n")[0][:60] for e in raised)
    assert ours == theirs


def test_warnings():
    def messages(act):
        texts = []
        for lib in (ft, torch):
            opt = optimizer(lib)
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                act(opt, lib.optim.lr_scheduler)
            texts.append([(w.category, str(w.message)[:70]) for w in caught])
            if lib is ft:
                assert all(w.filename == __file__ for w in caught)      # the caller is to blame
        return texts

    def early(opt, s):
        s.StepLR(opt, 2).step()

    def overridden(opt, s):
        scheduler = s.StepLR(opt, 2)
        opt.step = lambda: None
        scheduler.step()

    def asked(opt, s):
        s.StepLR(opt, 2).get_lr()

    def right(opt, s):
        scheduler = s.StepLR(opt, 2)
        opt.step()
        scheduler.step()
        scheduler.step()

    def with_epoch(opt, s):
        scheduler = s.StepLR(opt, 2)
        opt.step()
        scheduler.step(3)

    for act in (early, overridden, asked, right, with_epoch):
        ours, theirs = messages(act)
        assert ours == theirs


def test_an_optimizer_with_a_scheduler_can_be_copied():
    opt = optimizer(ft)
    scheduler = ft.optim.lr_scheduler.StepLR(opt, 1)
    opt2 = copy.deepcopy(opt)
    opt2.param_groups[0]["params"][0].grad = ft.ones(2)
    opt2.step()
    assert opt2.param_groups[0]["params"][0].tolist() != opt.param_groups[0]["params"][0].tolist()
    del scheduler


def test_a_custom_scheduler_gets_its_closed_form_and_its_flags():
    class Mine(ft.optim.lr_scheduler._LRScheduler):
        def get_lr(self):
            assert self._get_lr_called_within_step
            return [lr * (0.5 if not self._is_initial else 1.0) for lr in self.base_lrs]

    opt = optimizer(ft)
    mine = Mine(opt)
    assert mine.get_last_lr() == [0.05, 0.1]
    opt.step()
    mine.step()
    assert mine.get_last_lr() == [0.025, 0.05]
    assert isinstance(mine, ft.optim.lr_scheduler.LRScheduler)
