"""Threads, anomaly mode, functional_call, stacked modules, module hooks, custom functions."""
# ruff: noqa

import torch

import threading

# threads
x = torch.ones(1000, requires_grad=True)


def work(k):
    for _ in range(20):
        (x * k).sum().backward()


ths = [threading.Thread(target=work, args=(k,)) for k in (1.0, 2.0)]
[q.start() for q in ths]
[q.join() for q in ths]
print(x.grad[0])
r = []


def w2():
    r.append(torch.is_grad_enabled())


with torch.no_grad():
    q = threading.Thread(target=w2)
    q.start()
    q.join()
print(r)
with torch.autograd.detect_anomaly(check_nan=True):
    y = torch.zeros(2, requires_grad=True)
    told("anom", lambda: (y / y).sum().backward() if 0 else torch.sqrt(y * 0 - 1).sum().backward())
    told("anom", lambda: (torch.sqrt(y) * 0).sum().backward())
told("anomoff", lambda: (torch.sqrt(y) * 0).sum().backward())
print(y.grad)
with torch.autograd.set_detect_anomaly(True, check_nan=False):
    told("a", lambda: (torch.sqrt(y) * 0).sum().backward())
    print(torch.is_anomaly_enabled(), torch.is_anomaly_check_nan_enabled())
from torch.func import functional_call, stack_module_state, vmap, grad


class T(torch.nn.Module):
    def __init__(s):
        super().__init__()
        s.a = torch.nn.Linear(2, 2, bias=False)
        s.b = torch.nn.Linear(2, 2, bias=False)
        s.b.weight = s.a.weight
        s.register_buffer("n", torch.zeros(1))

    def forward(s, x):
        s.n.add_(1) if s.training else None
        return s.b(s.a(x))


m = T()
one = torch.eye(2)
told("tie", lambda: functional_call(m, {"a.weight": one * 2}, torch.ones(1, 2)))
told("notie", lambda: functional_call(m, {"a.weight": one * 2}, torch.ones(1, 2), tie_weights=False).shape)
told("conf", lambda: functional_call(m, {"a.weight": one, "b.weight": one * 2}, torch.ones(1, 2)))
told("strict", lambda: functional_call(m, {"a.weight": one}, torch.ones(1, 2), strict=True))
told("unk", lambda: functional_call(m, {"zz": one}, torch.ones(1, 2)))
told("unks", lambda: functional_call(m, {"zz": one}, torch.ones(1, 2), strict=True))
print(m.n)
z = torch.zeros(1)
told("buf", lambda: functional_call(m, {"n": z}, torch.ones(1, 2)).shape)
print(z, m.n)
told("kw", lambda: functional_call(m, {"a.weight": one}, (), {"x": torch.ones(1, 2)}))
told("two", lambda: functional_call(m, ({"a.weight": one}, {"n": z}), torch.ones(1, 2)))
told("stack", lambda: {k: v.shape for k, v in stack_module_state([torch.nn.Linear(2, 1) for _ in range(3)])[0].items()})
told("stack0", lambda: stack_module_state([]))
told("stackm", lambda: stack_module_state([torch.nn.Linear(1, 1), torch.nn.ReLU()]))
l = torch.nn.Linear(2, 2)
h1 = l.register_full_backward_hook(
    lambda m, gi, go: print("fb", [None if g is None else g.shape for g in gi], go[0].shape)
)
h2 = l.register_full_backward_pre_hook(lambda m, go: print("pre", go[0].shape))
l(torch.ones(1, 2)).sum().backward()
l(torch.ones(1, 2, requires_grad=True)).sum().backward()


class Dbl(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        ctx.mark_non_differentiable(y)
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(x)
        return x * 2, y, x + 1

    @staticmethod
    def backward(ctx, a, b, c):
        print(a is None, b is None, c is None, ctx.needs_input_grad)
        return (a if a is not None else 0 * c), None


x = torch.ones(2, requires_grad=True)
o = Dbl.apply(x, torch.ones(2))
print([k.requires_grad for k in o])
o[0].sum().backward()
o = Dbl.apply(x, torch.ones(2))
o[2].sum().backward()


class In(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        x.mul_(2)
        ctx.mark_dirty(x)
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 2


y = x * 1
z = In.apply(y)
print(z is y, y.grad_fn, y._version)
z.sum().backward()
told("leafdirty", lambda: In.apply(x))
v = (x * 1)[:1]
told("view", lambda: In.apply(v).grad_fn)


class Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        return g * 2


(g,) = torch.autograd.grad(Once.apply(x).sum(), x, create_graph=True)
print(g.requires_grad, g.grad_fn)
told("once", lambda: g.sum().backward())


class Wrong(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, y):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g


told("count", lambda: Wrong.apply(x, x).sum().backward())


class WrongS(Wrong):
    @staticmethod
    def backward(ctx, g):
        return torch.ones(7), None


told("shape", lambda: WrongS.apply(x, x).sum().backward())


class NoT(Wrong):
    @staticmethod
    def backward(ctx, g):
        return "a", None


told("type", lambda: NoT.apply(x, x).sum().backward())
told("saved twice", lambda: 1)


class SF(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(3)
        return x

    @staticmethod
    def backward(ctx, g):
        return g


told("save nontensor", lambda: SF.apply(x))
print(Dbl.apply(x, x.detach())[0].grad_fn.name(), type(Dbl.apply(x, x.detach())[0].grad_fn).__name__)


class Ret(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x

    @staticmethod
    def backward(ctx, g):
        return g * 5


o = Ret.apply(x)
print(o is x, o.grad_fn, o._is_view())
x.grad = None
o.sum().backward()
print(x.grad)
told("retin", lambda: o.add_(1))


class V(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x[:1]

    @staticmethod
    def backward(ctx, g):
        return torch.cat([g, g])


o = V.apply(x * 1)
print(o._is_view())
told("vin", lambda: o.add_(1))
