"""Initialisation: the numbers that torch draws for the same seed, and its errors and warnings."""

import pytest
from both import error, program

SHAPES = [(3, 5), (6, 4), (20, 30), (4, 6, 3), (8, 4, 3, 3), (4, 2, 1, 2, 3)]
FILLING = {
    "uniform_": [{}, {"a": -2, "b": 3.5}],
    "normal_": [{}, {"mean": 5, "std": 0.5}],
    "trunc_normal_": [
        {},
        {"std": 0.02},
        {"mean": 1, "std": 2, "a": 0, "b": 1},
        {"a": 2, "b": 3},
        {"a": -9, "b": -4},
        {"mean": 9},
    ],
    "constant_": [{"val": 3.5}, {"val": -1}],
    "ones_": [{}],
    "zeros_": [{}],
    "xavier_uniform_": [{}, {"gain": 3}],
    "xavier_normal_": [{}, {"gain": 0.5}],
    "kaiming_uniform_": [{}, {"a": 5**0.5}, {"mode": "fan_out", "nonlinearity": "relu"}],
    "kaiming_normal_": [{}, {"a": 1, "mode": "FAN_OUT"}, {"nonlinearity": "tanh"}],
    "orthogonal_": [{}, {"gain": 2.5}],
}


@pytest.mark.parametrize("name", FILLING)
def test_filling(name):
    @program
    def fill(torch):
        for dtype in (torch.float32, torch.float64):
            for shape in SHAPES:
                for options in FILLING[name]:
                    target = torch.nn.Parameter(torch.zeros(*shape, dtype=dtype))
                    torch.manual_seed(7)
                    same = getattr(torch.nn.init, name)(target, **options) is target
                    yield name, options, same, target, target.is_leaf, target.grad_fn

    fill()


@pytest.mark.parametrize("name", ["uniform_", "normal_", "xavier_uniform_", "kaiming_normal_", "orthogonal_"])
def test_own_generators_are_used(name):
    @program
    def fill(torch):
        generator = torch.Generator().manual_seed(11)
        yield getattr(torch.nn.init, name)(torch.empty(4, 5), generator=generator)
        yield getattr(torch.nn.init, name)(torch.empty(4, 5), generator=generator), torch.rand(2)

    fill()


@program
def test_low_precision(torch):
    for dtype in (torch.bfloat16, torch.float16):
        for name in ("uniform_", "normal_", "trunc_normal_", "kaiming_uniform_"):
            torch.manual_seed(1)
            yield getattr(torch.nn.init, name)(torch.empty(20, 3, dtype=dtype))


@program
def test_matrices(torch):
    init = torch.nn.init
    for shape in ((3, 3), (2, 5), (5, 2)):
        yield init.eye_(torch.empty(*shape)), init.eye_(torch.nn.Parameter(torch.empty(*shape)))
        torch.manual_seed(3)
        yield init.sparse_(torch.empty(*shape), 0.4), init.sparse_(torch.empty(*shape), 0.1, std=2)
    for shape in ((2, 3, 3), (4, 2, 3, 3), (4, 2, 2, 3, 3)):
        yield init.dirac_(torch.empty(*shape)), init.dirac_(torch.empty(*shape), groups=2)


@program
def test_fans_and_gains(torch):
    init = torch.nn.init
    yield [init._calculate_fan_in_and_fan_out(torch.empty(*shape)) for shape in SHAPES]
    yield error(init._calculate_fan_in_and_fan_out, torch.empty(3))
    for name in (
        "linear",
        "conv2d",
        "conv_transpose1d",
        "sigmoid",
        "tanh",
        "relu",
        "leaky_relu",
        "selu",
        "gelu",
    ):
        yield name, error(init.calculate_gain, name)
        if name != "gelu":
            yield init.calculate_gain(name)
    yield init.calculate_gain("leaky_relu", 0.3), init.calculate_gain("leaky_relu", 2)
    yield error(init.calculate_gain, "leaky_relu", True), error(init.calculate_gain, "leaky_relu", "x")


@program
def test_what_cannot_be_filled(torch):
    init, vector, cube = torch.nn.init, torch.empty(3), torch.empty(2, 2, 2)
    yield error(init.eye_, vector), error(init.sparse_, cube, 0.1), error(init.dirac_, torch.empty(2, 2))
    yield error(init.dirac_, cube, 3), error(init.orthogonal_, vector), error(init.xavier_uniform_, vector)
    yield error(init.xavier_normal_, vector), error(init.kaiming_uniform_, vector)
    yield error(init.kaiming_normal_, cube, mode="fan"), error(init.kaiming_uniform_, cube, nonlinearity="x")
    yield init.kaiming_uniform_(torch.empty(0, 3)), init.kaiming_normal_(torch.empty(3, 0))
    yield init.orthogonal_(torch.empty(0, 3)), init.xavier_uniform_(torch.empty(0, 3))


@program
def test_deprecated_names(torch):
    for name in ("uniform", "normal", "xavier_uniform", "xavier_normal", "kaiming_uniform", "kaiming_normal"):
        torch.manual_seed(2)
        yield getattr(torch.nn.init, name)(torch.empty(3, 4)), getattr(torch.nn.init, name).__name__
    yield torch.nn.init.constant(torch.empty(2), 4), torch.nn.init.eye(torch.empty(2, 2))
    yield torch.nn.init.dirac(torch.empty(2, 2, 3)), torch.nn.init.sparse(torch.empty(3, 2), 0.5)
    yield torch.nn.init.orthogonal(torch.empty(3, 2))
