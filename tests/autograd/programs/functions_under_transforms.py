"""Custom functions under vmap, grad, jvp and Jacobians, and their misuse."""
# ruff: noqa

import torch

from torch.func import *


class A(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x, y):
        return x * y, x.sum()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)
        ctx.save_for_forward(*inputs)

    @staticmethod
    def backward(ctx, g, h):
        x, y = ctx.saved_tensors
        return g * y + h, g * x

    @staticmethod
    def jvp(ctx, tx, ty):
        x, y = ctx.saved_tensors
        return tx * y + x * ty, tx.sum()


x = torch.arange(6.0).reshape(3, 2) + 1
y = x.flip(0)
told("v", lambda: vmap(A.apply)(x, y))
told("v", lambda: vmap(A.apply, (0, None))(x, y[0]))
told("g", lambda: grad(lambda x: A.apply(x, y)[0].sum())(x))
told("vg", lambda: vmap(grad(lambda x, y: A.apply(x, y)[0].sum()))(x, y))
told("jvp", lambda: jvp(A.apply, (x, y), (y, x)))
told("vjvp", lambda: vmap(lambda a, b: jvp(A.apply, (a, b), (b, a)))(x, y))
told("jacrev", lambda: jacrev(lambda x: A.apply(x, y[0])[0])(x[0]))
told("jacfwd", lambda: jacfwd(lambda x: A.apply(x, y[0])[0])(x[0]))
told("hes", lambda: hessian(lambda x: A.apply(x, x)[0].sum())(x[0]))


class B(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x.exp()

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.saved_tensors[0]

    @staticmethod
    def vmap(info, in_dims, x):
        print("info", info.batch_size, info.randomness, in_dims)
        return B.apply(x), in_dims[0]


told("b", lambda: vmap(B.apply)(x / 4))
told("b", lambda: vmap(vmap(B.apply))(x / 4))
told("gb", lambda: vmap(grad(B.apply))(torch.ones(2)))


class C(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * 2


told("c", lambda: grad(lambda x: C.apply(x).sum())(x))
told("c", lambda: vmap(C.apply)(x))


class D(torch.autograd.Function):
    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, i, o):
        pass

    @staticmethod
    def backward(ctx, g):
        return g * 2


told("d", lambda: vmap(D.apply)(x))


class E_(torch.autograd.Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return x * 2

    @staticmethod
    def setup_context(ctx, i, o):
        pass

    @staticmethod
    def backward(ctx, g):
        return g * 2

    @staticmethod
    def vmap(info, d, x):
        return x * 2, d[0]


told("e", lambda: vmap(E_.apply)(x))


class F(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2


told("nf", lambda: F.apply(torch.ones(2, requires_grad=True)).sum().backward())
told("inst", lambda: F()(x))
told("noforward", lambda: torch.autograd.Function.apply(x))
