"""Containers of modules and parameters."""

from collections import OrderedDict

import pytest
from both import error, program


def named(torch, name):
    """A module that prints as ``name``."""
    module = torch.nn.Identity()
    module._get_name = lambda: name
    return module


def several(torch, names="abcd"):
    return [named(torch, name) for name in names]


@program
def test_sequential(torch):
    nn = torch.nn
    net = nn.Sequential(*several(torch))
    yield repr(net), len(net), [repr(m) for m in net], repr(net[-1]), repr(net[1:3]), repr(net[::2])
    for index in (4, -5, "0", 1.5):
        yield error(lambda i=index: net[i])
    net[1] = named(torch, "new")
    net[-1] = named(torch, "last")
    yield repr(net), error(net.__setitem__, 9, net[0]), error(net.__setitem__, 0, 3)
    del net[0]
    yield repr(net), list(net._modules)
    del net[0:2]
    yield repr(net), error(net.__delitem__, 5)
    net.append(named(torch, "x")).extend(several(torch, "yz")).insert(0, named(torch, "front"))
    net.insert(-1, named(torch, "inner"))
    yield repr(net), error(net.insert, 99, net[0]), error(net.insert, 0, 3), error(net.append, 3)
    yield repr(net.pop(1)), repr(net.pop(-1)), repr(net), [n for n in dir(net) if n.isdigit()]


@program
def test_arithmetic_of_sequentials(torch):
    nn = torch.nn
    a, b = nn.Sequential(*several(torch, "ab")), nn.Sequential(*several(torch, "c"))
    yield (
        repr(a + b),
        repr(a * 2),
        repr(2 * b),
        error(lambda: a + "x"),
        error(lambda: a * 0),
        error(lambda: a * "x"),
    )
    a += b
    b *= 3
    yield repr(a), repr(b), error(a.__iadd__, 3), error(b.__imul__, 1.5), error(b.__imul__, -1)


@program
def test_sequential_by_names(torch):
    net = torch.nn.Sequential(OrderedDict([("one", torch.nn.Identity()), ("two", torch.nn.Flatten())]))
    yield repr(net), repr(net[0]), net.one is net[0], net(torch.ones(2, 3, 4)).shape, list(net[1:]._modules)
    net[0] = torch.nn.Flatten()
    yield list(net._modules), net.one is net[0]
    del net[0]
    yield list(net._modules), error(torch.nn.Sequential, 3), error(torch.nn.Sequential, {"a": 1})


@program
def test_module_list(torch):
    nn = torch.nn
    held = nn.ModuleList(several(torch))
    yield repr(held), len(held), repr(held[-1]), repr(held[1:]), [repr(m) for m in held]
    for index in (4, -5, "0"):
        yield error(lambda i=index: held[i])
    held[0] = named(torch, "first")
    held.append(named(torch, "x")).extend(several(torch, "yz"))
    held.insert(1, named(torch, "second"))
    held += several(torch, "q")
    yield repr(held), repr(held + several(torch, "r")), error(held.extend, 3), error(held.append, 3)
    del held[0], held[-2:]
    yield repr(held), list(held._modules), repr(held.pop(0)), repr(held.pop(slice(0, 2))), repr(held)
    yield (
        error(held, 1),
        repr(nn.ModuleList()),
        repr(nn.ModuleList([held[0]] * 3 + [nn.Flatten()] + [held[0]])),
    )
    yield "0" in dir(held), isinstance(held[:1], nn.ModuleList)


@program
def test_module_dict(torch):
    nn = torch.nn
    held = nn.ModuleDict({"b": nn.Identity(), "a": nn.Flatten()})
    yield repr(held), list(held), list(held.keys()), [k for k, _ in held.items()], len(list(held.values()))
    held.update([("c", nn.Identity()), ["d", nn.Identity()]])
    held.update(nn.ModuleDict({"b": nn.Flatten()}))
    held["e"] = nn.Identity()
    yield repr(held), "e" in held, "z" in held, len(held), repr(held.pop("e")), held.a is held["a"]
    for wrong in (
        3,
        [3],
        [(1, 2, 3)],
        {"x": 3},
        {"x.y": nn.Identity()},
        {"keys": nn.Identity()},
        {1: nn.Identity()},
    ):
        yield error(held.update, wrong)
    yield error(lambda: held["z"]), error(held.pop, "z"), error(held.__delitem__, "z"), error(held, 1)
    held.clear()
    yield repr(held), repr(nn.ModuleDict([("x", nn.Identity())]))


@program
def test_parameter_list(torch):
    nn = torch.nn
    held = nn.ParameterList([torch.ones(2), nn.Parameter(torch.zeros(2, 3)), 3, "text"])
    yield (
        repr(held),
        len(held),
        list(held),
        held[1:3][0],
        list(held.state_dict()),
        [n for n, _ in held.named_parameters()],
    )
    held.append(torch.ones(1)).extend([nn.Module(), torch.zeros(0)])
    held[0] = torch.full((3,), 2.0)
    held += [nn.Parameter(torch.ones(1), requires_grad=False)]
    yield repr(held), held[0], held[-1], error(lambda: held[99]), error(lambda: held["0"])
    yield error(held.extend, 3), error(held.extend, torch.ones(2)), error(held, 1), repr(nn.ParameterList())
    yield error(held.__setitem__, 0, 3), error(held.__setitem__, 2, torch.ones(1)), held[2], "0" in dir(held)


@program
def test_parameter_dict(torch):
    nn = torch.nn
    held = nn.ParameterDict({"b": torch.ones(2), "a": nn.Parameter(torch.zeros(1)), "n": 3})
    yield repr(held), list(held), list(held.keys()), list(held.items()), list(held.values()), len(held)
    yield list(reversed(held)), "a" in held, held.get("a"), held.get("z"), held.get("z", 5), held["n"]
    yield held.setdefault("n", 9), held.setdefault("m"), held.setdefault("k", torch.ones(1)), list(held)
    held["c"] = torch.ones(1, dtype=torch.float64)
    yield held.popitem(), held.pop("b"), list(held), [n for n, _ in held.named_parameters()]
    yield list(held | nn.ParameterDict({"z": 1})), list(nn.ParameterDict({"z": 1}) | held)
    held |= nn.ParameterDict({"y": 1})
    yield list(held.copy()), list(held.fromkeys(["p", "q"], 2).items()), repr(held)
    for wrong in (3, [3], [(1, 2, 3)]):
        yield error(held.update, wrong)
    yield (
        error(lambda: held["zz"]),
        error(lambda: held[0])[0],
        error(held, 1),
        error(held.copy().update, {1: 2})[0],
    )
    held.clear()
    yield len(held), error(held.popitem), error(held.pop, "a"), repr(nn.ParameterDict())
    yield list(nn.ParameterDict([("z", 1), ("a", 2)])), list(nn.ParameterDict(OrderedDict(z=1, a=2)))


@program
def test_the_deprecated_container(torch):
    class Held(torch.nn.Container):
        pass

    yield list(torch.nn.Container(a=torch.nn.Identity())._modules)
    yield list(Held(b=torch.nn.Identity())._modules)


@pytest.mark.parametrize("kind", ["Sequential", "ModuleList"])
def test_names_follow_positions(kind):
    import flowtorch

    held = getattr(flowtorch.nn, kind)()
    for i in range(12):
        held.append(flowtorch.nn.Linear(i + 1, 1))
    del held[3]
    assert list(held._modules) == [str(i) for i in range(11)]
    assert [m.in_features for m in held] == [1, 2, 3, 5, 6, 7, 8, 9, 10, 11, 12]
