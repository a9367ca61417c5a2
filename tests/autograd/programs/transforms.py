"""Transforms: arguments, aux values, misuse, chunks, functionalize, randomness, mixing with the tape."""
# ruff: noqa

import torch

from torch.func import *

x = torch.arange(3.0) + 1
told("aux", lambda: grad(lambda x: (x.sum(), x * 2), has_aux=True)(x))
told("gv", lambda: grad_and_value(lambda x: (x**2).sum())(x))
told("argnums", lambda: grad(lambda a, b: (a * b).sum(), argnums=(0, 1))(x, x * 2))
told("argneg", lambda: grad(lambda a, b: (a * b).sum(), argnums=-1)(x, x * 2))
told("bad", lambda: grad(lambda a: a)(x))
told("bad", lambda: grad(lambda a: 3.0)(x))
told("bad", lambda: grad(lambda a: a.sum(), argnums=2)(x))
told("bad", lambda: grad(lambda a: a.sum(), argnums="x")(x))
told("int", lambda: grad(lambda a: a.sum())(torch.ones(2, dtype=torch.int64)))
told("pytree", lambda: grad(lambda d: (d["a"] * d["b"][0]).sum())({"a": x, "b": [x * 3]}))
told("const", lambda: grad(lambda a: torch.ones(()))(x))
xx = x.clone()
print(xx)
o, f = vjp(lambda a: (a * 2, a.sum()), x)
told("vjp", lambda: f((x, torch.tensor(1.0))))
told("vjpbad", lambda: f(x))
told("vjpbad", lambda: f((torch.ones(2), torch.tensor(1.0))))
told("aux", lambda: vjp(lambda a: (a * 2, a), x, has_aux=True)[2])
told("jvp", lambda: jvp(lambda a: a**2, (x,), (torch.ones(3),)))
told("jvpb", lambda: jvp(lambda a: a**2, x, x))
told("jvpb", lambda: jvp(lambda a: a**2, (x,), (x, x)))
told("jvpb", lambda: jvp(lambda a: a**2, (x,), (torch.ones(2),)))
told("strict", lambda: jvp(lambda a: torch.ones(2), (x,), (x,), strict=True))
told("ns", lambda: jvp(lambda a: torch.ones(2), (x,), (x,)))
told("aux", lambda: jvp(lambda a: (a, a * 3), (x,), (x,), has_aux=True))
told("jr", lambda: jacrev(lambda a: {"o": a**2, "s": a.sum()})(x))
told("jf", lambda: jacfwd(lambda a: (a**2, a.sum()))(x))
told("chunk", lambda: jacrev(lambda a: a**2, chunk_size=2)(x))
told("chunk", lambda: jacrev(lambda a: a**2, chunk_size=1)(x))
told("jb", lambda: jacrev(lambda a: 3)(x))
told("args", lambda: jacrev(lambda a, b: a * b, argnums=(0, 1))(x, x)[1])
told("jfaux", lambda: jacfwd(lambda a: (a**2, a), has_aux=True)(x))
told("hess", lambda: hessian(lambda d: (d["w"] ** 3).sum())({"w": x}))
told("jfr", lambda: jacfwd(lambda a: a**2, randomness="same")(x))
told("complex", lambda: jacrev(lambda a: a * 1j)(x))
told("chunk0", lambda: jacrev(lambda a: a, chunk_size=0)(x))
out, lin = linearize(lambda a, b: a * b, x, x)
print(out, lin(x, x))
told("linb", lambda: lin(x))
told("linb", lambda: lin(torch.ones(2), x))
told("linb", lambda: lin(x.double(), x))
told("lintree", lambda: linearize(lambda d: {"o": d["a"].sin()}, {"a": x})[1]({"a": x}))


def g(a):
    b = torch.zeros(3)
    b.add_(a)
    v = b.view(3)
    v[0] = 9
    return b


told("fz", lambda: functionalize(g)(x))
told("fz", lambda: functionalize(g, remove="mutations_and_views")(x))
told("fzbad", lambda: functionalize(g, remove="x")(x))
told("vfz", lambda: vmap(functionalize(lambda a: a.clone().mul_(2)))(x))
told("in", lambda: functionalize(lambda a: a.add_(1))(x))
print(x)
from torch.func import debug_unwrap

esc = []
grad(lambda a: (esc.append(a), a.sum())[1])(x)
told("escaped", lambda: esc[0] + 1)
vmap(lambda a: (esc.append(a), a)[1])(x)
told("print", lambda: grad(lambda a: (print(a), a.sum())[1])(x))
told("printv", lambda: vmap(lambda a: (print(a), a)[1])(x))
told("ng", lambda: grad(lambda a: (a * torch.no_grad()(lambda: a * 2)()).sum())(x))
with torch.no_grad():
    told("outer", lambda: grad(lambda a: (a * a).sum())(x))
p = torch.ones(3, requires_grad=True)
told("mixed", lambda: torch.autograd.grad(grad(lambda a: (a * p).sum())(x).sum(), p))
told("req", lambda: grad(lambda a: (a * p).sum())(x).requires_grad)
told("bk", lambda: grad(lambda a: (a.sum().backward(), a.sum())[1])(x))
told("ag", lambda: grad(lambda a: torch.autograd.grad((a**3).sum(), a, create_graph=True)[0].sum())(x))
told("cond", lambda: vmap(lambda a: torch.where(a > 1, a, -a))(x))
told("tolist", lambda: vmap(lambda a: a.tolist())(x))
told("numpy", lambda: vmap(lambda a: a.numpy())(x))
told("repr", lambda: vmap(lambda a: len(repr(a)) > 0 and a)(x))
told("shape", lambda: vmap(lambda a: torch.tensor(a.shape))(torch.ones(2, 3)))
told("einsum", lambda: vmap(lambda a, b: torch.einsum("i,j->ij", a, b), (0, None))(torch.ones(2, 3), x).shape)
told("conv", lambda: vmap(lambda w: torch.nn.functional.conv1d(torch.ones(1, 1, 5), w))(torch.ones(4, 1, 1, 3)).shape)
told("linalg", lambda: vmap(torch.linalg.inv)(torch.eye(2).expand(3, 2, 2)).shape)
told("idx", lambda: vmap(lambda i: x[i])(torch.tensor([0, 2])))
told("gather", lambda: vmap(lambda a, i: a.gather(0, i))(torch.ones(2, 3), torch.zeros(2, 1, dtype=torch.int64)).shape)
told("nested", lambda: vmap(vmap(torch.dot), in_dims=(None, 0))(torch.ones(2, 3), torch.ones(4, 2, 3)).shape)
told("emb", lambda: vmap(torch.nn.Embedding(4, 2))(torch.tensor([[1, 2], [0, 3]])).shape)
told("mask", lambda: vmap(lambda a: a[a > 1])(torch.ones(2, 3)))
told("unique", lambda: vmap(torch.unique)(torch.ones(2, 3)))
told("dropout", lambda: vmap(torch.nn.Dropout(0.5))(x))
told("split", lambda: [q.shape for q in vmap(lambda a: a.split(2))(torch.ones(2, 4))])
told("zero", lambda: vmap(torch.sin)(torch.ones(0, 3)))
