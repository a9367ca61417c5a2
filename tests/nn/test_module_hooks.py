"""Hooks of modules: order, arguments, results, errors, removal."""

import copy
import gc
import pickle

from both import error, program

import flowtorch
from flowtorch.utils.hooks import RemovableHandle


def doubling(torch):
    """A module that doubles its arguments and hands on whatever else it gets."""

    class Doubling(torch.nn.Module):
        def forward(self, *args, fail=False, wrap=None, **kwargs):
            if fail:
                raise KeyError("asked to fail")
            out = args[0] * 2 if len(args) == 1 else tuple(arg * 2 for arg in args)
            return {wrap: out} if wrap else out

    return Doubling()


def x(torch, *values):
    return torch.tensor([float(v) for v in values or (1, 2)], requires_grad=True)


@program
def test_forward_hooks_run_in_order_and_replace(torch):
    net, log = doubling(torch), []

    def note(name, result=None):
        return lambda *args: log.append((name, len(args))) or result

    net.register_forward_pre_hook(note("second"))
    net.register_forward_pre_hook(note("first"), prepend=True)
    net.register_forward_pre_hook(lambda m, a: a[0] + 1)
    net.register_forward_pre_hook(lambda m, a, k: (a, {**k, "wrap": "w"}), with_kwargs=True)
    net.register_forward_hook(lambda m, a, k, out: log.append(sorted(k)), with_kwargs=True)
    net.register_forward_hook(note("after"))
    net.register_forward_hook(note("before"), prepend=True)
    last = net.register_forward_hook(lambda m, a, out: out["w"] + 100)
    yield net(x(torch)), log
    last.remove()
    last.remove()
    yield list(net(x(torch))), len(net._forward_hooks), len(net._forward_hooks_with_kwargs)


@program
def test_forward_hooks_that_return_nonsense(torch):
    net = doubling(torch)
    with net.register_forward_pre_hook(lambda m, a, k: a, with_kwargs=True):
        yield error(net, 1)
    with net.register_forward_pre_hook(lambda m, a: [1, 2]):
        yield net()
    yield net(1), net(1, 2)


@program
def test_always_called_hooks(torch):
    net, log = doubling(torch), []
    net.register_forward_hook(lambda m, a, out: log.append(("plain", out)))
    net.register_forward_hook(lambda m, a, out: log.append(("always", out)), always_call=True)
    net.register_forward_hook(lambda m, a, k, out: log.append(sorted(k)), always_call=True, with_kwargs=True)
    yield error(net, 1, fail=True), log
    net(1)
    yield log

    def broken(module, args, out):
        raise ValueError("hook")

    net.register_forward_hook(broken, always_call=True)
    yield error(net, 1, fail=True), error(net, 1), log


@program
def test_global_hooks(torch):
    module, log, nets = torch.nn.modules.module, [], [doubling(torch), doubling(torch)]
    nets[0].register_forward_pre_hook(lambda m, a: log.append("own pre"))
    nets[0].register_forward_hook(lambda m, a, out: log.append("own"))
    nets[0].register_full_backward_hook(lambda m, gi, go: log.append("own backward"))
    handles = [
        module.register_module_forward_pre_hook(lambda m, a: log.append("pre")),
        module.register_module_forward_hook(lambda m, a, k, out: log.append(sorted(k)), with_kwargs=True),
        module.register_module_forward_hook(lambda m, a, out: log.append("always"), always_call=True),
        module.register_module_full_backward_pre_hook(lambda m, go: log.append("backward pre")),
        module.register_module_full_backward_hook(lambda m, gi, go: log.append(("backward", gi, go))),
    ]
    try:
        yield error(module.register_module_backward_hook, print)
        for net in nets:
            net(x(torch)).sum().backward()
            log.append(error(net, 1, fail=True))
        yield log
    finally:
        for handle in handles:
            handle.remove()
        torch.nn.modules.module._global_is_full_backward_hook = None
    log.clear()
    nets[1](x(torch)).sum().backward()
    yield log


@program
def test_full_backward_hooks(torch):
    net, log = doubling(torch), []
    net.register_full_backward_pre_hook(lambda m, go: log.append(("pre", go)))
    net.register_full_backward_pre_hook(lambda m, go: tuple(g if g is None else g * 10 for g in go))
    net.register_full_backward_hook(lambda m, gi, go: log.append(("post", gi, go)))
    net.register_full_backward_hook(lambda m, gi, go: tuple(g if g is None else g + 1 for g in gi))
    net.register_full_backward_hook(lambda m, gi, go: log.append(("first", len(go))), prepend=True)
    a, b = x(torch), x(torch, 3, 4)
    out = net(a)
    yield type(out.grad_fn).__name__, out._is_view() if hasattr(out, "_is_view") else None
    out.sum().backward()
    yield log, a.grad
    log.clear()
    left, _ = net(a, b.detach())
    left.sum().backward()
    yield log, a.grad, b.grad


@program
def test_full_backward_hooks_and_what_is_no_tensor(torch):
    net, log = doubling(torch), []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    a = x(torch)
    out = net(3, a, 4.0)
    yield out[0], out[2]
    out[1].sum().backward()
    yield log
    with torch.no_grad():
        yield net(a).requires_grad
    yield net(a.detach()).requires_grad
    wrapped = net(a, wrap="w")
    wrapped["w"].sum().backward()
    yield len(log)


@program
def test_full_backward_hooks_without_gradients_of_inputs(torch):
    class Scale(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = torch.nn.Parameter(torch.ones(2))

        def forward(self, a):
            return a * self.weight

    net, log = Scale(), []
    handle = net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    net(x(torch).detach()).sum().backward()
    yield log, net.weight.grad
    handle.remove()
    net.register_full_backward_hook(lambda m, gi, go: (torch.ones(2),))
    yield error(net(x(torch).detach()).sum().backward)


@program
def test_full_backward_hooks_with_the_wrong_number_of_gradients(torch):
    net = doubling(torch)
    with net.register_full_backward_hook(lambda m, gi, go: gi * 2):
        yield error(net(x(torch)).sum().backward)
    with net.register_full_backward_pre_hook(lambda m, go: go * 2):
        yield error(net(x(torch)).sum().backward)


@program
def test_full_backward_hooks_in_a_double_backward(torch):
    class Cube(torch.nn.Module):
        def forward(self, a):
            return a * a * a

    net, log = Cube(), []
    net.register_full_backward_hook(lambda m, gi, go: log.append((gi, go)))
    a = x(torch)
    (first,) = torch.autograd.grad(net(a).sum(), a, create_graph=True)
    first.sum().backward()
    yield first, a.grad, len(log)


@program
def test_in_place_changes_behind_a_backward_hook(torch):
    net = doubling(torch)
    net.register_full_backward_hook(lambda m, gi, go: None)
    out = net(x(torch))
    yield error(out.mul_, 2)[0]


@program
def test_deprecated_backward_hooks(torch):
    net, log = doubling(torch), []
    net.register_backward_hook(lambda m, gi, go: log.append((gi, go)))
    yield error(net.register_full_backward_hook, print)
    a, b = x(torch), x(torch, 3, 4)
    net(a).sum().backward()
    net(a, b)[0].sum().backward()
    net(a, wrap="w")["w"].sum().backward()
    net(a.detach())
    yield len(log)
    other = doubling(torch)
    other.register_full_backward_hook(print)
    yield error(other.register_backward_hook, print)


@program
def test_hooks_that_are_put_in_by_hand(torch):
    net = doubling(torch)
    net._forward_hooks["key"] = lambda m, a, out: out + 1
    yield net(1)
    net._forward_hooks.clear()
    yield net(1)


def test_removable_handles():
    hooks, extra = flowtorch.nn.Module()._forward_hooks, flowtorch.nn.Module()._forward_hooks_with_kwargs
    with RemovableHandle(hooks, extra_dict=extra) as handle:
        hooks[handle.id] = extra[handle.id] = print
    assert not hooks and not extra
    again = pickle.loads(pickle.dumps((hooks, handle)))[1]
    assert again.id == handle.id and RemovableHandle.next_id > again.id
    again.remove()
    del hooks
    gc.collect()
    handle.remove()
    assert pickle.loads(pickle.dumps(handle)).hooks_dict_ref() is None


def test_copies_have_their_own_hooks():
    net = doubling(flowtorch)
    net.register_forward_hook(lambda m, a, out: out + 1)
    copied = copy.deepcopy(net)
    net._forward_hooks.clear()
    assert net(1) == 2 and copied(1) == 3
