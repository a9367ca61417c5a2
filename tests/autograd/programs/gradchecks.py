"""gradcheck in its modes, and torch.autograd.functional."""
# ruff: noqa

import torch

from torch.autograd import gradcheck, gradgradcheck

x = torch.linspace(0.1, 1, 4, dtype=torch.float64, requires_grad=True)
f = lambda x: x.sin() * x
for kw in (
    {},
    {"fast_mode": True},
    {"check_forward_ad": True},
    {"check_batched_grad": True},
    {"check_batched_forward_grad": True, "check_forward_ad": True},
    {"fast_mode": True, "check_forward_ad": True},
    {"check_undefined_grad": False},
    {"check_backward_ad": False, "check_forward_ad": True},
):
    told(kw, lambda: gradcheck(f, (x,), **kw))
told("gg", lambda: gradgradcheck(f, (x,)))
told(
    "gg",
    lambda: gradgradcheck(
        f, (x,), fast_mode=True, gen_non_contig_grad_outputs=True, check_fwd_over_rev=True, check_rev_over_rev=False
    ),
)


class B(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x**2

    @staticmethod
    def backward(ctx, g):
        return g * 3 * ctx.saved_tensors[0]


told("bad", lambda: gradcheck(B.apply, (x,)))
told("bad", lambda: gradcheck(B.apply, (x,), fast_mode=True))
told("bad", lambda: gradcheck(B.apply, (x,), raise_exception=False))
told("f32", lambda: gradcheck(f, (x.detach().float().requires_grad_(),)))
told("nog", lambda: gradcheck(f, (x.detach(),)))
told("nondiff", lambda: gradcheck(lambda x: x.detach(), (x,)))
told("c", lambda: gradcheck(lambda x: x * x.conj(), (x.detach().to(torch.complex128).requires_grad_(),)))
told("int", lambda: gradcheck(lambda x: x.argmax(), (x,)))
told("exp", lambda: gradcheck(f, (x.detach()[:1].expand(3).requires_grad_(),)))
told("many", lambda: gradcheck(lambda x, y: (x * y, x + y), (x, x.detach().clone().requires_grad_())))
told("args", lambda: gradcheck(f, x))
told("reent", lambda: gradcheck(lambda x: x + torch.rand(4, dtype=torch.float64), (x,), nondet_tol=0.0))
import torch.autograd.functional as F

g = lambda x: (x**3).sum()
h = lambda x: x**3
for vec in (False, True):
    print(F.jacobian(h, x, vectorize=vec).diagonal(), F.hessian(g, x, vectorize=vec).diagonal())

print(F.vjp(h, x, x.detach()), F.jvp(h, x, x.detach()), F.vhp(g, x, x.detach()), F.hvp(g, x, x.detach()))
told("strict", lambda: F.jacobian(lambda x: torch.ones(2), x, strict=True))
told("cg", lambda: F.jacobian(h, x, create_graph=True).requires_grad)
told("two", lambda: F.jacobian(lambda a, b: (a * b, a.sum()), (x, x))[1][0])
