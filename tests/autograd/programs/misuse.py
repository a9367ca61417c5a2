"""Typical mistakes with gradients, and what the errors say."""
# ruff: noqa

import torch

x = torch.ones(3, requires_grad=True)
told("twice", lambda: (lambda y: (y.backward(), y.backward()))((x * x).sum()))
told("nonscalar", lambda: (x * 2).backward())
told("leafinplace", lambda: x.add_(1))
told("viewleaf", lambda: x[0].add_(1))
told("viewleaf", lambda: x.view(3).mul_(2))
told("nograd", lambda: torch.ones(2).sum().backward())


def f():
    y = x.exp()
    y.add_(1)
    y.sum().backward()


told("stale", f)


def f():
    y = x * 2
    z = y**2
    y += 1
    z.sum().backward()


told("stale2", f)
told("int2", lambda: torch.ones(3, dtype=torch.int64).requires_grad_())
told("numpy", lambda: x.numpy())
told("numpy2", lambda: (x * 2).numpy())
told("deepcopy", lambda: __import__("copy").deepcopy(x * 2))
told("setrg", lambda: setattr(x * 2, "requires_grad", False))
told("detach_", lambda: x[0:2].detach_())
told("detach_", lambda: (x * 2).view(3).detach_())
told("grad", lambda: setattr(x, "grad", torch.ones(2)))
told("grad", lambda: setattr(x, "grad", 3))
told("grad", lambda: setattr(x, "grad", x))
told("gradshape", lambda: torch.autograd.grad((x * 2), x, torch.ones(2)))
told("unused", lambda: torch.autograd.grad(x.sum(), [x, torch.ones(2, requires_grad=True)]))
told("notreq", lambda: torch.autograd.grad(x.sum(), torch.ones(2)))
told("complex", lambda: (x * 1j).sum().backward())
told("len", lambda: torch.autograd.backward([x.sum(), x.sum()], [torch.ones(())]))
told("emptyin", lambda: x.sum().backward(inputs=[]))
told("matr", lambda: torch.autograd.grad(x.sum(), [x, torch.ones(2, requires_grad=True)], materialize_grads=True))
told("matr", lambda: torch.autograd.grad(x.sum(), [x], materialize_grads=True, allow_unused=False))
told("hook", lambda: torch.ones(2).register_hook(print))
told("retain", lambda: torch.ones(2).retain_grad())
told("bh", lambda: x.register_hook(3))
told("pa", lambda: (x * 2).register_post_accumulate_grad_hook(print))


def f():
    y = x * 2
    y.register_hook(lambda g: torch.ones(7))
    y.sum().backward()


told("hookshape", f)


def f():
    y = x * 2
    y.register_hook(lambda g: "a")
    y.sum().backward()


told("hooktype", f)
told("inplace out", lambda: torch.add(x, x, out=torch.empty(3)))
told("inplace out", lambda: torch.add(torch.ones(3), 1, out=torch.empty(3, requires_grad=True)))
told("setdata", lambda: setattr(x, "data", torch.ones(3, dtype=torch.int64)))
told("item", lambda: x.item())
told("bool", lambda: bool(x))
told("float", lambda: float(x))
told("format", lambda: f"{x[0]:.2f}")
told("format", lambda: f"{x:.2f}")
told("iter0", lambda: list(torch.tensor(1.0)))
told("len0", lambda: len(torch.tensor(1.0)))
told("index", lambda: [1, 2][torch.tensor(1)])
told("index", lambda: [1, 2][torch.tensor(1.0)])
print((x * 2).grad)
print(x.is_leaf, (x * 2).is_leaf, x.detach().is_leaf, x.grad_fn, (x * 2).grad_fn.name(), x.output_nr)
