"""Module: registration, attributes, traversal, conversion, copies and printing."""

import copy
import pickle

import pytest
from both import error, program

import flowtorch
from flowtorch import nn


def make(torch, **values):
    """A module with a parameter, a buffer, a hidden buffer and a plain attribute."""

    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2, 2))
            self.register_buffer("mean", torch.zeros(2))
            self.register_buffer("hidden", torch.ones(1), persistent=False)
            self.number = 3

        def forward(self, x):
            return x * self.weight + self.mean

    return Net()


def tree(torch):
    """Two levels of modules, one of them in two places."""
    outer = torch.nn.Module()
    outer.left = make(torch)
    outer.right = make(torch)
    outer.again = outer.left
    outer.none = None
    outer.register_module("absent", None)
    return outer


@program
def test_names_that_cannot_be_registered(torch):
    net, param = make(torch), torch.nn.Parameter(torch.ones(1))
    for name in ("a.b", "", "number", "forward", "weight", "mean", 3):
        yield name, error(net.register_parameter, name, param)
        yield name, error(net.register_buffer, name, torch.ones(1))
        yield name, error(net.add_module, name, torch.nn.Module())
    yield list(net._parameters), list(net._buffers), list(net._modules)


@program
def test_values_that_cannot_be_registered(torch):
    net = make(torch)
    for value in (3, torch.ones(1), torch.nn.Module(), torch.nn.Module, "text", [1], None):
        yield error(net.register_parameter, "p", value)
        yield error(net.register_buffer, "b", value)
        yield error(net.add_module, "m", value)
    computed = torch.nn.Parameter(torch.ones(1)) * 2
    computed.__class__ = torch.nn.Parameter
    yield error(net.register_parameter, "q", computed)


@program
def test_registered_names_keep_their_kind(torch):
    net = make(torch)
    net.child = torch.nn.Module()
    for name in ("weight", "mean", "child"):
        for value in (3, "text", torch.ones(1)):
            yield name, error(setattr, net, name, value)
        setattr(net, name, None)
        yield getattr(net, name), name in net.__dict__
    net.weight = torch.nn.Parameter(torch.zeros(1))
    net.mean = torch.nn.Parameter(torch.zeros(1))
    net.number = torch.nn.Module()
    yield list(net._parameters), list(net._buffers), list(net._modules), "number" in net.__dict__
    yield error(setattr, net, "weight", torch.nn.Module())
    net.hidden = torch.nn.Parameter(torch.ones(1))
    yield list(net._parameters), list(net._modules), net._non_persistent_buffers_set


@program
def test_assignment_before_init(torch):
    class Net(torch.nn.Module):
        def __init__(self, value):
            self.number = 1
            self.part = value

    for value in (torch.nn.Parameter(torch.ones(1)), torch.nn.Buffer(torch.ones(1)), torch.nn.Module(), 3):
        yield error(Net, value)
    bare = Net(3)
    yield bare.number, error(lambda: bare.missing), error(lambda: bare._parameters)
    yield error(bare.register_parameter, "p", None), error(bare.register_buffer, "b", None)
    yield error(torch.nn.Module, 1), error(torch.nn.Module, a=1), error(make(torch).forward), error(bare, 1)


@program
def test_arguments_go_on_to_the_next_base_if_asked(torch):
    class Base:
        def __init__(self, a, b=2):
            self.seen = (a, b)

    class Net(torch.nn.Module, Base):
        call_super_init = True

        def __init__(self, *args, **kwargs):
            super().__init__(*args, **kwargs)

    yield Net(1, b=5).seen


@program
def test_buffers_by_assignment(torch):
    net = make(torch)
    net.extra = torch.nn.Buffer(torch.ones(3), persistent=False)
    net.kept = torch.nn.Buffer(torch.ones(3))
    net.plain = torch.ones(3)
    yield list(net._buffers), net._non_persistent_buffers_set, isinstance(net.extra, torch.nn.Buffer)
    net.hidden = torch.zeros(1)
    net.kept = torch.zeros(1)
    yield net._non_persistent_buffers_set, list(net.state_dict())
    net.register_buffer("hidden", torch.ones(1))
    yield net._non_persistent_buffers_set, type(torch.nn.Buffer()).__name__

    class Old(torch.nn.Module):
        def register_buffer(self, name, tensor):
            super().register_buffer(name, tensor)

    old = Old()
    old.kept = torch.nn.Buffer(torch.ones(1))
    yield list(old._buffers), error(setattr, old, "other", torch.nn.Buffer(torch.ones(1), persistent=False))


@program
def test_deleting(torch):
    net = make(torch)
    net.child = torch.nn.Module()
    for name in ("weight", "mean", "hidden", "child", "number", "nothing"):
        yield name, error(delattr, net, name), hasattr(net, name)
    yield net._non_persistent_buffers_set, list(net.named_parameters())


@program
def test_the_dicts_are_the_truth(torch):
    net = make(torch)
    yield net.weight
    net._parameters["weight"] = torch.nn.Parameter(torch.zeros(1))
    yield net.weight
    del net._parameters["weight"]
    yield error(lambda: net.weight)
    net.weight = torch.ones(3)
    yield net.weight, "weight" in net.__dict__
    del net.weight
    net._buffers["weight"] = torch.ones(4)
    yield net.weight
    net._parameters = {"other": torch.nn.Parameter(torch.ones(1))}
    yield net.other, net.weight, list(net.state_dict())
    net.__dict__["_modules"] = {"child": torch.nn.Module()}
    yield net.child


@program
def test_attributes_of_classes_and_bases(torch):
    class Mixin:
        @property
        def layer(self):
            return "from the mixin"

        def weight(self):
            return "a method"

    class Plain(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Module()
            self.other = torch.nn.Module()

    class Mixed(Plain, Mixin):
        pass

    class Class(Plain):
        other = "of the class"

    class Getting(Plain):
        def __getattr__(self, name):
            return "mine" if name == "other" else super().__getattr__(name)

    yield [type(getattr(kind(), "layer", None)).__name__ for kind in (Plain, Mixed, Class, Getting)]
    yield [type(getattr(kind(), "other", None)).__name__ for kind in (Plain, Mixed, Class, Getting)]
    yield [hasattr(kind, name) for kind in (Plain, Mixed, Class) for name in ("layer", "other", "weight")]
    later = type("Later", (Plain, Mixin), {})
    yield later().layer, "layer" in dir(Plain()), "other" in dir(torch.nn.Module())
    yield error(lambda: Plain.layer)[0], sorted(set(dir(Plain())) - set(dir(torch.nn.Module())))


@program
def test_attributes_of_classes_that_come_later(torch):
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = torch.nn.Module()
            self.register_buffer("mean", torch.ones(1))

    first = Net()
    yield first.layer, first.mean, hasattr(Net, "layer")
    Net.layer = property(lambda self: "now a property")
    yield first.layer, "layer" in first._modules
    del Net.layer
    yield first.layer, Net().layer
    first.mean = torch.nn.Parameter(torch.zeros(1))
    yield first.mean, list(first._parameters), list(first._buffers)
    del first.mean
    yield error(lambda: first.mean), Net().mean

    class Below(Net):
        layer = "of the subclass"

    yield Below().layer, first.layer


@program
def test_a_failing_property_is_reported_as_missing(torch):
    class Net(torch.nn.Module):
        @property
        def broken(self):
            return self.nothing

    yield error(lambda: Net().broken)


@program
def test_paths(torch):
    net = tree(torch)
    for path in (
        "",
        "left",
        "left.weight",
        "left.nothing",
        "nothing",
        "right.mean",
        "weight",
        "left.weight.x",
    ):
        yield path, error(net.get_submodule, path)
        yield path, error(net.get_parameter, path)
        yield path, error(net.get_buffer, path)
    yield (
        net.get_submodule("left") is net.left,
        net.get_parameter("left.weight"),
        net.get_buffer("right.mean"),
    )


@program
def test_setting_submodules(torch):
    net = tree(torch)
    for path in ("", "left.new", "left.weight", "nothing.new", "right"):
        for strict in (False, True):
            yield path, error(net.set_submodule, path, torch.nn.Module(), strict)
    yield error(net.set_submodule, "left", 3)
    yield [name for name, _ in net.named_modules()]


@program
def test_walking(torch):
    net = tree(torch)
    net.right.weight = net.left.weight
    for arguments in ({}, {"prefix": "top"}, {"recurse": False}, {"remove_duplicate": False}):
        yield [name for name, _ in net.named_parameters(**arguments)]
        yield [name for name, _ in net.named_buffers(**arguments)]
    yield [name for name, _ in net.named_modules()], [name for name, _ in net.named_modules(prefix="top")]
    yield [name for name, _ in net.named_modules(remove_duplicate=False)]
    yield [name for name, _ in net.named_children()], len(list(net.children())), len(list(net.modules()))
    yield len(list(net.parameters())), len(list(net.buffers())), len(list(net.buffers(recurse=False)))
    visited = []
    net.apply(lambda module: visited.append(type(module).__name__))
    yield visited


@program
def test_modes(torch):
    net = tree(torch)
    yield net.train(False) is net, [m.training for m in net.modules()], error(net.train, 1)
    net.left.train()
    yield [m.training for m in net.eval().modules()]
    yield [p.requires_grad for p in net.requires_grad_(False).parameters()]


@program
def test_zero_grad(torch):
    net = make(torch)
    net(torch.ones(2)).sum().backward()
    held = net.weight.grad
    net.zero_grad(set_to_none=False)
    yield held, net.weight.grad is held
    net.zero_grad()
    yield net.weight.grad
    net.weight.grad = net.weight * 2
    net.zero_grad(set_to_none=False)
    yield net.weight.grad


@program
def test_conversion_keeps_the_parameters(torch):
    net = make(torch)
    net.register_buffer("count", torch.zeros(1, dtype=torch.int64))
    net(torch.ones(2)).sum().backward()
    weight, mean, grad = net.weight, net.mean, net.weight.grad
    for convert in (
        lambda: net.double(),
        lambda: net.to(torch.float32),
        lambda: net.to("cpu", torch.float64),
        lambda: net.to(dtype=torch.float16),
        lambda: net.to(torch.ones(1)),
        lambda: net.to(device=torch.device("cpu")),
        lambda: net.bfloat16(),
        lambda: net.half().float(),
        lambda: net.type(torch.float64),
        lambda: net.cpu(),
        lambda: net.to_empty(device="cpu"),
    ):
        yield convert() is net, net.weight is weight, net.weight.grad is grad, net.mean is mean
        yield [str(t.dtype) for t in (net.weight, net.weight.grad, net.mean, net.count)]


@program
def test_conversions_that_fail(torch):
    net = make(torch)
    yield error(net.to, torch.int64), error(net.to, dtype=torch.bool)
    for arguments in (("nonsense",), ("cpu", torch.float32, False, False, 1), ([],)):
        yield error(net.to, *arguments)[0]
    yield error(net.to, nothing=1)[0], error(net.to_empty)[0]
    yield net.to(torch.complex64).weight.dtype


@program
def test_conversion_to_new_parameters(torch):
    net = make(torch)
    net(torch.ones(2)).sum().backward()
    weight = net.weight
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        net.double()
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
    yield net.weight is weight, weight, net.weight, net.weight.grad


@program
def test_printing(torch):
    net = tree(torch)
    net.child = torch.nn.Sequential(torch.nn.Module(), torch.nn.ModuleList([torch.nn.Module()] * 3))

    class Talkative(torch.nn.Module):
        def __init__(self, extra):
            super().__init__()
            self.extra = extra

        def extra_repr(self):
            return self.extra

    net.short, net.long = Talkative("a=1"), Talkative("a=1\nb=2")
    net.nested = Talkative("a=1\n\nb=2")
    net.nested.add_module("x.y".replace(".", "_"), Talkative("c"))
    yield repr(net), str(net.left), repr(torch.nn.Module())
    yield net._get_name(), [name for name in dir(net.left) if not name.startswith(("_", "T_"))]


@program
def test_copies(torch):
    net = tree(torch)
    net.left.weight.tag = "mine"
    deep, shallow = copy.deepcopy(net), copy.copy(net)
    yield deep.left is deep.again, deep.left is net.left, shallow.left is net.left
    yield deep.left.weight is net.left.weight, deep.left.weight, deep.right.mean
    yield deep.state_dict().keys() == net.state_dict().keys()
    deep.left.weight.data.zero_()
    shallow.right = None
    yield net.left.weight, net.right


class Picklable(nn.Module):
    """A module that pickle can find by name."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Sequential(nn.Module())
        self.weight = nn.Parameter(flowtorch.ones(2))
        self.register_buffer("mean", flowtorch.zeros(2), persistent=False)

    def forward(self, x):
        return x * self.weight


def double_input(module, args):
    return (args[0] * 2,)


def test_pickling():
    net = Picklable().eval()
    net.weight.note = "kept"
    net.register_forward_pre_hook(double_input)
    again = pickle.loads(pickle.dumps(net))
    assert again.weight.tolist() == [1, 1] and again.weight.note == "kept"
    assert type(again.weight) is nn.Parameter and again.weight.requires_grad
    assert not again.training and again._non_persistent_buffers_set == {"mean"}
    assert again(flowtorch.ones(2)).tolist() == [2, 2]


def test_pickles_of_older_versions_get_what_came_later():
    net = Picklable()
    state = net.__getstate__()
    for name in ("_backward_pre_hooks", "_forward_hooks_always_called", "_non_persistent_buffers_set"):
        del state[name]
    old = Picklable.__new__(Picklable)
    old.__setstate__(state)
    assert old(flowtorch.ones(2)).tolist() == [1, 1] and old._non_persistent_buffers_set == set()


@program
def test_registration_hooks(torch):
    module = torch.nn.modules.module
    seen = []
    handles = [
        module.register_module_parameter_registration_hook(lambda m, n, p: seen.append(("parameter", n))),
        module.register_module_buffer_registration_hook(lambda m, n, b: torch.full((1,), 7.0)),
        module.register_module_module_registration_hook(lambda m, n, c: seen.append(("module", n))),
    ]
    try:
        net = torch.nn.Module()
        net.weight = torch.nn.Parameter(torch.ones(1))
        net.register_parameter("none", None)
        net.child = torch.nn.Module()
        net.add_module("other", None)
        net.register_buffer("mean", torch.zeros(3))
        yield seen, net.mean
    finally:
        for handle in handles:
            handle.remove()
    net.register_buffer("mean", torch.zeros(3))
    yield net.mean


@program
def test_compile_makes_a_callable(torch):
    net = make(torch)
    net._compiled_call_impl = lambda *args: ("compiled", net._call_impl(*args))
    yield net(torch.ones(2)), "_compiled_call_impl" in net.__getstate__()
    net._compiled_call_impl = None
    yield net(torch.ones(2))


def test_compiled_modules_compute_the_same():
    net = make(flowtorch)
    assert net.compile() is None
    assert net(flowtorch.ones(2)).tolist() == [[1, 1], [1, 1]]
    net.register_forward_hook(lambda module, args, out: out + 1)
    assert net(flowtorch.ones(2)).tolist() == [[2, 2], [2, 2]]


@pytest.mark.parametrize("name", ["module", "container", "lazy"])
def test_files_are_found_where_pytorch_has_them(name):
    import importlib

    file = importlib.import_module(f"flowtorch.nn.modules.{name}")
    assert file is getattr(nn.modules, name)
    assert nn.Module.__module__ == "flowtorch.nn.modules.module"
