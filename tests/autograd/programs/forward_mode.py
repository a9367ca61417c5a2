"""Dual numbers: levels, views, in-place writes, layers and custom functions."""
# ruff: noqa

import torch

import torch.autograd.forward_ad as fw
from torch.func import vmap

x = torch.ones(3, dtype=torch.float64)
v = torch.arange(3.0, dtype=torch.float64)
told("nolevel", lambda: fw.make_dual(x, v))
with fw.dual_level():
    d = fw.make_dual(x, v)
    print(fw.unpack_dual(d.sin() * d))
    told("un", lambda: fw.unpack_dual(x))
    told("nest", lambda: fw.dual_level().__enter__())
    told("shape", lambda: fw.make_dual(x, torch.ones(2, dtype=torch.float64)))
    told("int", lambda: fw.make_dual(torch.ones(2, dtype=torch.int64), torch.ones(2)))
    told("not", lambda: fw.make_dual(3, v))
    y = x.clone()
    y.mul_(d)
    print(fw.unpack_dual(y))
    w_ = x.clone()
    w_[1:] = d[1:]
    print(fw.unpack_dual(w_).tangent)
    print(
        fw.unpack_dual(d.view(3, 1)[1]).tangent,
        fw.unpack_dual(d.detach()).tangent,
        fw.unpack_dual(torch.cat([d, x])).tangent,
    )
    with fw.set_fwd_grad_enabled(False) if hasattr(fw, "set_fwd_grad_enabled") else torch.no_grad():
        print(fw.unpack_dual(d * 2).tangent)
    with torch.no_grad():
        print(fw.unpack_dual(d * 2).tangent)
    p = torch.ones(3, dtype=torch.float64, requires_grad=True)
    dd = fw.make_dual(p, v)
    o = (dd**3).sum()
    print(torch.autograd.grad(fw.unpack_dual(o).tangent, p))
    print(o.requires_grad)
    told("vm", lambda: vmap(lambda a: fw.unpack_dual(a * 2).tangent if 0 else (a * 2))(d))
    told("bool", lambda: d > 0)
    told("argmax", lambda: d.argmax())
    told("sort", lambda: fw.unpack_dual(d.sort().values).tangent)
print(fw.unpack_dual(d).tangent if 0 else "exit")
told("after", lambda: fw.unpack_dual(d))
lin = torch.nn.Linear(2, 1)
with fw.dual_level():
    for n, q in list(lin.named_parameters()):
        qt = fw.make_dual(q.detach(), torch.ones_like(q))
        delattr(lin, n)
        setattr(lin, n, qt)
    print(fw.unpack_dual(lin(torch.ones(1, 2))).tangent)


class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_forward(x)
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def jvp(ctx, g):
        (x,) = ctx.saved_tensors
        return 2 * x * g


with fw.dual_level():
    print(fw.unpack_dual(F.apply(fw.make_dual(x, v))).tangent)


class G(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x**2

    @staticmethod
    def backward(ctx, g):
        return g


with fw.dual_level():
    told("nojvp", lambda: F.apply and G.apply(fw.make_dual(x, v)))
