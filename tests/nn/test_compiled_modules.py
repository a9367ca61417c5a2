"""What torch.compile returns: eager calls, behind PyTorch's OptimizedModule and wrapped functions."""

import copy
import io
import pickle

import pytest
import torch

import flowtorch


def compiled(t, **options):
    t.manual_seed(0)
    net = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))
    net.setting = 5
    return net, t.compile(net, backend="eager", **options)


def described(program):
    ours, theirs = (program(library) for library in (flowtorch, torch))
    assert ours == theirs
    return ours


def test_names_of_what_it_holds():
    def program(t):
        _, c = compiled(t)
        return (
            list(c.state_dict()), [n for n, _ in c.named_parameters()], [n for n, _ in c.named_modules()],
            type(c).__name__, repr(c), list(c._modules), hasattr(c, "dynamo_ctx"), hasattr(c, "absent"),
        )  # fmt: skip

    assert described(program)[1][0] == "_orig_mod.0.weight"


def test_attributes_and_mode_are_the_modules():
    def program(t):
        net, c = compiled(t)
        c.setting = 9
        c.other = 3
        c.eval()
        seen = [net.setting, net.other, c.other, net.training, c.training, c._orig_mod is net, len(c)]
        seen.append("other" in dir(c))
        c.train()
        c.to(t.float64)
        del c.other
        return [*seen, net.training, str(net[0].weight.dtype)[-7:], hasattr(net, "other")]

    described(program)


def test_calls_hooks_and_training():
    def program(t):
        net, c = compiled(t)
        order = []
        c.register_forward_hook(lambda *_: order.append("outer"))
        net.register_forward_hook(lambda *_: order.append("inner"))
        c(t.ones(4, 2)).sum().backward()
        return order, net[0].weight.grad is not None, list(c(t.ones(4, 2)).shape), list(c.forward(t.ones(4, 2)).shape)

    assert described(program)[0][:2] == ["inner", "outer"]


def test_state_moves_between_the_two():
    def program(t):
        _, c = compiled(t)
        plain = {name.removeprefix("_orig_mod."): value for name, value in c.state_dict().items()}
        other = t.nn.Sequential(t.nn.Linear(2, 3), t.nn.BatchNorm1d(3))
        return str(other.load_state_dict(plain)), str(c.load_state_dict(c.state_dict()))

    described(program)


def test_copies_and_pickles():
    _, c = compiled(flowtorch)
    x = flowtorch.ones(4, 2)
    twin = copy.deepcopy(c)
    again = pickle.loads(pickle.dumps(c))
    file = io.BytesIO()
    flowtorch.save(c, file)
    file.seek(0)
    for other in (twin, again, flowtorch.load(file, weights_only=False)):
        assert type(other) is type(c)
        assert other._orig_mod is not c._orig_mod
        assert other.eval()(x).equal(c.eval()(x))


def test_functions_keep_their_names():
    def program(t):
        @t.compile(backend="eager")
        def f(x):
            "Add one."
            return x + 1

        def g(x):
            return x * 2

        h = t.compile(g, backend="eager")
        return (
            f.__name__, f.__doc__, f(t.ones(1)).tolist(), h is g, h._torchdynamo_orig_callable is g,
            t.compile(g, disable=True) is g, isinstance(t.compile(t.nn.ReLU(), disable=True), t.nn.ReLU),
        )  # fmt: skip

    described(program)


@pytest.mark.parametrize("call", [
    lambda t: t.compile(3),
    lambda t: t.compile(t.nn.ReLU(), mode="fastest"),
    lambda t: t.compile(t.nn.ReLU(), mode="default", options={"a": 1}),
])  # fmt: skip
def test_refused(call):
    with pytest.raises(Exception) as theirs:
        call(torch)
    with pytest.raises(type(theirs.value)) as ours:
        call(flowtorch)
    assert str(ours.value)[:40] == str(theirs.value)[:40]
