"""Parametrisations, ready-made and home-made, and pruning."""

import copy
import pickle
from importlib import import_module

import pytest
from both import error, program

import flowtorch


def parametrisations(torch):
    class Symmetric(torch.nn.Module):
        def forward(self, x):
            return x.triu() + x.triu(1).transpose(-1, -2)

        def right_inverse(self, a):
            return a.triu()

    class Doubled(torch.nn.Module):
        def forward(self, x):
            return x * 2

        def right_inverse(self, y):
            return y / 2

    class Split(torch.nn.Module):
        def forward(self, a, b):
            return a + b

        def right_inverse(self, y):
            return y * 0.25, y * 0.75

    class Plain(torch.nn.Module):
        def forward(self, x):
            return x + 1

    return Symmetric, Doubled, Split, Plain


@program
def test_registering(torch):
    par = torch.nn.utils.parametrize
    symmetric, doubled, _, plain = parametrisations(torch)
    net = torch.nn.Linear(3, 3)
    original = net.weight
    yield par.register_parametrization(net, "weight", symmetric()) is net, repr(net), type(net).__name__
    yield net.weight, net.parametrizations.weight.original is original, list(net.state_dict())
    par.register_parametrization(net, "weight", doubled())
    par.register_parametrization(net, "bias", plain())
    net(torch.ones(1, 3)).sum().backward()
    yield net.weight, net.bias, original.grad, net.parametrizations.bias.original.grad, repr(net)
    net.weight = torch.eye(3)
    yield net.weight, original, error(setattr, net, "bias", torch.ones(3))
    yield par.is_parametrized(net), par.is_parametrized(net, "weight"), par.is_parametrized(net, "x")
    yield par.type_before_parametrizations(net).__name__, [n for n, _ in net.named_parameters()]
    with par.cached():
        yield net.weight is net.weight
    yield net.weight is net.weight, net.train(False).parametrizations.weight[0].training


@program
def test_removing(torch):
    par = torch.nn.utils.parametrize
    symmetric, doubled, split, _ = parametrisations(torch)
    for leave in (True, False):
        net = torch.nn.Linear(2, 2)
        original = net.weight
        par.register_parametrization(net, "weight", symmetric())
        par.register_parametrization(net, "bias", doubled())
        par.remove_parametrizations(net, "weight", leave_parametrized=leave)
        yield net.weight, net.weight is original, type(net).__name__
        par.remove_parametrizations(net, "bias", leave_parametrized=leave)
        yield net.bias, type(net).__name__, par.is_parametrized(net), hasattr(net, "parametrizations")
        yield sorted(net._parameters), error(par.remove_parametrizations, net, "weight")
    net = par.register_parametrization(torch.nn.Linear(2, 2), "weight", split())
    yield net.weight, list(net.state_dict()), error(par.remove_parametrizations, net, "weight", False)
    net.weight = torch.ones(2, 2)
    yield net.parametrizations.weight.original0, net.parametrizations.weight.original1
    par.remove_parametrizations(net, "weight")
    yield net.weight, type(net.weight).__name__


@program
def test_buffers_and_several_modules(torch):
    par = torch.nn.utils.parametrize
    _, doubled, split, plain = parametrisations(torch)
    net = torch.nn.Module()
    net.register_buffer("mean", torch.ones(2))
    par.register_parametrization(net, "mean", plain())
    yield net.mean, list(net.buffers()), list(net.parameters()), list(net.state_dict())
    other = torch.nn.Module()
    par.transfer_parametrizations_and_params(
        par.register_parametrization(torch.nn.Linear(1, 2), "bias", doubled()), other
    )
    yield list(other.state_dict()), other.bias
    source, other = par.register_parametrization(torch.nn.Linear(1, 2), "bias", split()), torch.nn.Module()
    par.transfer_parametrizations_and_params(source, other, "bias")
    yield list(other.state_dict()), type(net).__name__


@program
def test_what_cannot_be_registered(torch):
    par, nn = torch.nn.utils.parametrize, torch.nn
    symmetric, _, _, plain = parametrisations(torch)

    class Returning(nn.Module):
        def __init__(self, forward=None, inverse=None):
            super().__init__()
            self.go = forward or (lambda x: x)
            if inverse:
                self.right_inverse = inverse

        def forward(self, *args):
            return self.go(*args)

    cases = [
        Returning(lambda x: 3),
        Returning(lambda x: x.double()),
        Returning(lambda x: x[0]),
        Returning(None, lambda x: 3),
        Returning(None, lambda x: x.double()),
        Returning(None, lambda x: x[0]),
        Returning(lambda *x: x[0], lambda x: [1, 2]),
    ]
    for case in cases:
        net = nn.Linear(2, 2)
        yield error(par.register_parametrization, net, "weight", case), type(net).__name__, net.weight.shape
        net = par.register_parametrization(nn.Linear(2, 2), "weight", symmetric())
        yield error(par.register_parametrization, net, "weight", case)
        yield error(par.register_parametrization, net, "weight", case, unsafe=True)
    yield error(par.register_parametrization, nn.Linear(2, 2), "nothing", plain())
    yield error(par.ParametrizationList, [], torch.ones(1))
    net = par.register_parametrization(nn.Linear(2, 2), "weight", cases[1], unsafe=True)
    yield net.weight.dtype, error(setattr, net, "weight", nn.Parameter(torch.ones(2, 2)))


@program
def test_copies_of_parametrised_modules(torch):
    par = torch.nn.utils.parametrize
    symmetric, *_ = parametrisations(torch)
    net = par.register_parametrization(torch.nn.Linear(2, 2), "weight", symmetric())
    other = copy.deepcopy(net)
    other.weight = torch.zeros(2, 2)
    yield net.weight, other.weight, type(other).__name__, error(pickle.dumps, net)
    fresh = par.register_parametrization(torch.nn.Linear(2, 2), "weight", symmetric())
    fresh.load_state_dict(net.state_dict())
    yield fresh.weight, fresh.double().weight


@pytest.mark.parametrize("orthogonal_map", ["matrix_exp", "cayley", "householder"])
@pytest.mark.parametrize("trivial", [True, False])
def test_orthogonal(orthogonal_map, trivial):
    @program
    def compare(torch):
        for shape in ((3, 3), (4, 2), (2, 4)):
            net = torch.nn.Linear(*shape, dtype=torch.float64)
            torch.nn.utils.parametrizations.orthogonal(net, "weight", orthogonal_map, use_trivialization=trivial)
            weight = net.weight
            short = weight if weight.shape[0] <= weight.shape[1] else weight.mT
            yield bool(torch.allclose(short @ short.mT, torch.eye(min(shape), dtype=torch.float64)))
            if shape == (3, 3) or not trivial:
                (weight * torch.arange(weight.numel()).reshape(weight.shape)).sum().backward()
                yield weight, net.parametrizations.weight.original.grad
            target = torch.eye(*weight.shape, dtype=torch.float64)
            yield error(setattr, net, "weight", target), bool(torch.allclose(net.weight, target))

    compare()


@program
def test_orthogonal_of_what_is_no_matrix(torch):
    nn, orthogonal = torch.nn, torch.nn.utils.parametrizations.orthogonal
    yield error(orthogonal, nn.Linear(2, 2), "nothing"), error(orthogonal, nn.Linear(2, 2), "bias")
    yield error(orthogonal, nn.Linear(2, 2), "weight", "nonsense")
    complex_net = nn.Linear(2, 2, dtype=torch.complex64)
    yield error(orthogonal, complex_net, "weight", "householder"), type(orthogonal(complex_net)).__name__
    net = orthogonal(nn.Linear(2, 2))
    yield error(setattr, net, "weight", torch.ones(3, 3))


@program
def test_weight_norm(torch):
    nn, par = torch.nn, torch.nn.utils.parametrizations
    for dim in (0, 1, None):
        net = par.weight_norm(nn.Linear(3, 2), dim=dim)
        net(torch.ones(1, 3)).sum().backward()
        yield net.weight, net.parametrizations.weight.original0, net.parametrizations.weight.original0.grad
        yield net.parametrizations.weight.original1.grad, list(net.state_dict()), repr(net)
        net.weight = torch.ones(2, 3)
        yield net.weight
    older = torch.nn.utils.weight_norm(nn.Linear(3, 2)).state_dict()
    net = par.weight_norm(nn.Linear(3, 2))
    net.load_state_dict(older)
    yield net.weight, list(older)


@program
def test_spectral_norm(torch):
    nn, par = torch.nn, torch.nn.utils.parametrizations
    for net, shape in ((nn.Linear(3, 4), (2, 3)), (nn.ConvTranspose1d(2, 3, 2), (1, 2, 3))):
        par.spectral_norm(net, n_power_iterations=2)
        x = torch.randn(*shape)
        net(x).sum().backward()
        yield net(x), net.parametrizations.weight.original.grad, net.state_dict(), repr(net)
        yield net.eval()(x), net(x)
    net = par.spectral_norm(nn.Linear(2, 2), "bias")
    yield net.bias, list(net.state_dict())
    for options in ({"dim": 5}, {"n_power_iterations": 0}, {"name": "nothing"}):
        yield error(par.spectral_norm, nn.Linear(2, 2), **options)


@program
def test_pruning(torch):
    nn, prune = torch.nn, import_module(f"{torch.__name__}.nn.utils.prune")
    for amount in (2, 0.5, 0):
        for apply in (
            lambda net, n=amount: prune.l1_unstructured(net, "weight", n),
            lambda net, n=amount: prune.random_unstructured(net, "weight", n),
            lambda net, n=amount: prune.random_structured(net, "weight", n, dim=0),
            lambda net, n=amount: prune.ln_structured(net, "weight", n, n=2, dim=1),
            lambda net, n=amount: prune.ln_structured(net, "weight", n, n=1, dim=-1),
            lambda net, n=amount: prune.l1_unstructured(net, "weight", n, importance_scores=-net.weight),
        ):
            net = nn.Linear(4, 5)
            original = net.weight
            yield apply(net) is net, net.weight, net.weight_mask, net.weight_orig is original
            net(torch.ones(1, 4)).sum().backward()
            yield original.grad, list(net._parameters), list(net._buffers), prune.is_pruned(net)
            prune.l1_unstructured(net, "weight", 3)
            yield net.weight, type(next(iter(net._forward_pre_hooks.values()))).__name__
            prune.remove(net, "weight")
            yield net.weight, net.weight is original, prune.is_pruned(net), list(net._parameters)


@program
def test_pruning_by_masks_and_over_several(torch):
    nn, prune = torch.nn, import_module(f"{torch.__name__}.nn.utils.prune")
    net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 4))
    pairs = [(net[0], "weight"), (net[1], "weight"), (net[1], "bias")]
    prune.identity(net[0], "weight")
    prune.custom_from_mask(net[0], "bias", torch.tensor([1, 0]))
    prune.global_unstructured(pairs, prune.L1Unstructured, amount=6)
    yield [getattr(m, n) for m, n in pairs], net[0].bias
    prune.global_unstructured(
        pairs, prune.RandomUnstructured, importance_scores={pairs[0]: torch.ones(2, 3)}, amount=0.5
    )
    yield [getattr(m, n + "_mask") for m, n in pairs], prune.is_pruned(net), list(net.state_dict())
    again = copy.deepcopy(nn.Linear(2, 2))
    prune.l1_unstructured(again, "weight", 1)
    t = torch.arange(6.0).reshape(2, 3)
    yield prune.L1Unstructured(2).prune(t), prune.LnStructured(1, 2, 0).prune(t, importance_scores=-t)
    yield prune.L1Unstructured(2).prune(t, default_mask=torch.tensor([[1, 0, 1], [1, 0, 1]]))


@program
def test_what_cannot_be_pruned(torch):
    nn, prune = torch.nn, import_module(f"{torch.__name__}.nn.utils.prune")
    net = nn.Linear(3, 2)
    for amount in ("x", -1, 1.5, -0.1, 99):
        yield amount, error(prune.l1_unstructured, net, "weight", amount), list(net._parameters)
    yield (
        error(prune.random_structured, net, "bias", 1, 0),
        error(prune.random_structured, net, "weight", 1, 5),
    )
    yield error(prune.l1_unstructured, net, "weight", 1, torch.ones(1)), error(prune.remove, net, "weight")
    yield (
        error(prune.custom_from_mask, net, "weight", torch.ones(1)),
        error(prune.l1_unstructured, net, "x", 1)[0],
    )
    yield error(prune.global_unstructured, 3, prune.L1Unstructured), list(net._parameters)
    yield error(prune.global_unstructured, [(net, "weight")], prune.LnStructured, amount=1, n=2)
    yield error(prune.global_unstructured, [(net, "weight")], prune.L1Unstructured, importance_scores=3)
    container = prune.PruningContainer(prune.L1Unstructured.apply(net, "weight", 1))
    yield error(container.add_pruning_method, 3)[0], len(container), error(prune.BasePruningMethod)[0]
    other = prune.L1Unstructured(1)
    other._tensor_name = "bias"
    yield error(container.add_pruning_method, other)[0], prune.L1Unstructured.PRUNING_TYPE


def test_parametrised_classes_do_not_leak():
    par = flowtorch.nn.utils.parametrize
    net = par.register_parametrization(flowtorch.nn.Linear(2, 2), "weight", parametrisations(flowtorch)[0]())
    assert isinstance(type(net).weight, property) and "weight" not in net._parameters
    assert flowtorch.nn.Linear(2, 2).weight.is_leaf and type(flowtorch.nn.Linear(2, 2)) is flowtorch.nn.Linear
