"""State dicts: what is saved, what is loaded, and what is said where it does not fit."""

import copy
from collections import OrderedDict

from both import error, program


def make(torch):
    """A module with a parameter, two kinds of buffers, a submodule and empty places."""

    class Net(torch.nn.Module):
        _version = 3

        def __init__(self, value=1.0):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.full((2, 2), value))
            self.scalar = torch.nn.Parameter(torch.tensor(value))
            self.register_buffer("mean", torch.full((2,), value))
            self.register_buffer("hidden", torch.full((1,), value), persistent=False)
            self.register_buffer("empty", None)
            self.register_parameter("nothing", None)

    net = Net()
    net.child = Net(2.0)
    net.absent = None
    return net


@program
def test_what_is_saved(torch):
    net = make(torch)
    saved = net.state_dict()
    yield saved, type(saved).__name__, dict(saved._metadata)
    yield [saved[k].data_ptr() == v.data_ptr() for k, v in net.named_parameters()]
    yield (
        net.state_dict(prefix="net.", keep_vars=True),
        net.state_dict(keep_vars=True)["weight"] is net.weight,
    )
    target = {}
    yield net.state_dict(destination=target) is target, list(target)
    yield list(net.state_dict(OrderedDict(), "old.", True))


@program
def test_loading(torch):
    net, saved = make(torch), make(torch).state_dict()
    for value in saved.values():
        value.fill_(5.0)
    weight = net.weight
    result = net.load_state_dict(saved)
    yield repr(result), result.missing_keys, result.unexpected_keys, net.weight is weight, net.state_dict()
    saved["scalar"] = torch.tensor([8.0])
    saved["weight"] = torch.ones(2, 2, dtype=torch.float64)
    net.load_state_dict(dict(saved))
    yield net.state_dict()


@program
def test_assigning(torch):
    net, saved = make(torch), make(torch).double().state_dict()
    net.weight.requires_grad_(False)
    saved["scalar"] = torch.nn.Parameter(saved["scalar"])
    net.load_state_dict(saved, assign=True)
    yield net.weight, net.scalar is saved["scalar"], net.scalar, net.mean is saved["mean"]
    yield net.weight.data_ptr() == saved["weight"].data_ptr()


@program
def test_what_does_not_fit(torch):
    net, saved = make(torch), make(torch).state_dict()
    yield error(net.load_state_dict, [1]), error(net.load_state_dict, {})
    del saved["weight"], saved["child.mean"]
    saved["more"] = saved["child.more.weight"] = saved["other.more"] = torch.ones(1)
    saved["scalar"] = torch.ones(2)
    saved["mean"] = "no tensor"
    yield error(net.load_state_dict, saved), error(net.load_state_dict, saved, strict=False)
    del saved["scalar"], saved["mean"]
    result = net.load_state_dict(saved, strict=False)
    yield result.missing_keys, result.unexpected_keys, repr(result)


@program
def test_copying_that_fails_is_reported(torch):
    class Odd(torch.Tensor):
        @property
        def shape(self):
            return torch.Size([2, 2])

    net, saved = make(torch), make(torch).state_dict()
    saved["weight"] = torch.ones(3, 5).as_subclass(Odd)
    yield error(net.load_state_dict, saved)[1][:80]


@program
def test_extra_state(torch):
    class Counting(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.count = 0

        def get_extra_state(self):
            return {"count": self.count}

        def set_extra_state(self, state):
            self.count = state["count"]

    net, other = torch.nn.Sequential(Counting()), torch.nn.Sequential(Counting())
    net[0].count = 4
    yield net.state_dict()
    other.load_state_dict(net.state_dict())
    yield other[0].count, error(other.load_state_dict, {}), repr(other.load_state_dict({}, strict=False))
    yield error(torch.nn.Sequential(torch.nn.Module()).load_state_dict, net.state_dict())
    yield error(torch.nn.Module().get_extra_state)[0], error(torch.nn.Module().set_extra_state, 1)[0]


@program
def test_hooks_of_saving(torch):
    net, log = make(torch), []
    net.child.register_state_dict_pre_hook(lambda m, prefix, keep: log.append((prefix, keep)))
    net.child.register_state_dict_post_hook(lambda m, s, prefix, meta: log.append((prefix, meta, len(s))))
    net.child._register_state_dict_hook(lambda m, s, prefix, meta: {"only": 1})
    yield list(net.state_dict(keep_vars=True)), list(net.child.state_dict()), log

    def returning(module, state_dict, prefix, metadata):
        return state_dict

    net.register_state_dict_post_hook(returning)
    yield error(net.state_dict), error(net._register_state_dict_hook, returning)


@program
def test_hooks_of_loading(torch):
    net, log, saved = make(torch), [], make(torch).state_dict()

    def rename(module, state_dict, prefix, metadata, strict, missing, unexpected, errors):
        log.append((type(module).__name__, prefix, metadata, strict, sorted(state_dict)))
        state_dict[prefix + "weight"] = state_dict.pop(prefix + "renamed")

    saved["child.renamed"] = saved.pop("child.weight")
    handle = net.child.register_load_state_dict_pre_hook(rename)
    bare = net.child._register_load_state_dict_pre_hook(lambda *args: log.append(len(args)))
    yield repr(net.load_state_dict(saved)), log, "child.renamed" in saved
    handle.remove()
    bare.remove()
    net.child.register_load_state_dict_post_hook(lambda m, keys: log.append((m is net.child, *keys)))
    net.register_load_state_dict_post_hook(lambda m, keys: (keys.missing_keys.clear(), None)[1])
    yield error(net.load_state_dict, saved), log[-1]
    net.register_load_state_dict_post_hook(lambda m, keys: keys)
    yield error(net.load_state_dict, make(torch).state_dict())


@program
def test_copied_modules_call_hooks_with_themselves(torch):
    net, seen = torch.nn.Linear(1, 1), []
    net.register_load_state_dict_pre_hook(lambda module, *args: seen.append(module is net))
    copied = copy.deepcopy(net)
    copied.load_state_dict(net.state_dict())
    net.load_state_dict(net.state_dict())
    yield seen


@program
def test_overriding_one_modules_form(torch):
    class Doubled(torch.nn.Module):
        _version = 2

        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(1))

        def _save_to_state_dict(self, destination, prefix, keep_vars):
            super()._save_to_state_dict(destination, prefix, keep_vars)
            destination[prefix + "weight"] = destination[prefix + "weight"] * 2

        def _load_from_state_dict(self, state_dict, prefix, local_metadata, *args):
            if local_metadata.get("version", 1) >= 2:
                state_dict[prefix + "weight"] = state_dict[prefix + "weight"] / 2
            super()._load_from_state_dict(state_dict, prefix, local_metadata, *args)

    net = torch.nn.Sequential(Doubled())
    saved = net.state_dict()
    yield saved
    net.load_state_dict(saved)
    yield net[0].weight
    net.load_state_dict(dict(saved))
    yield net[0].weight


@program
def test_swapping(torch):
    net, saved = make(torch), make(torch).double().state_dict()
    weight = net.weight
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        net.load_state_dict(saved)
        yield net.weight is weight, net.weight, net.mean
        net.double()
        yield net.weight is weight, net.weight, net.mean
    finally:
        torch.__future__.set_swap_module_params_on_conversion(False)


@program
def test_meta_parameters(torch):
    with torch.device("meta"):
        net = torch.nn.Linear(2, 2)
    saved = torch.nn.Linear(2, 2).state_dict()
    net.load_state_dict(saved)
    yield net.weight.is_meta
    yield error(net.to, "cpu")
    net.load_state_dict(saved, assign=True)
    yield net.weight.is_meta, net.weight is not saved["weight"], net.weight.requires_grad
    empty = torch.nn.utils.skip_init(torch.nn.Linear, 2, 3)
    yield empty.weight.shape, empty.weight.device, empty.weight.requires_grad
