"""Checkpoints of both kinds: recomputation, early stop, random state, misuse."""
# ruff: noqa

import torch

from torch.utils.checkpoint import *

lin = torch.nn.Linear(2, 2)
torch.manual_seed(0)
with torch.no_grad():
    [p.fill_(0.5) for p in lin.parameters()]
n = [0]


def f(x):
    n[0] += 1
    return torch.nn.functional.dropout(lin(x).relu(), 0.5)


for re in (True, False):
    for kw in ({}, {"preserve_rng_state": False}):
        n[0] = 0
        torch.manual_seed(1)
        x = torch.ones(4, 2, requires_grad=True)
        y = checkpoint(f, x, use_reentrant=re, **kw)
        print(type(y.grad_fn).__name__)
        y.sum().backward()
        print(re, kw, n, x.grad.tolist() if not kw else "", torch.rand(1).item())
    told("grad", lambda: torch.autograd.grad(checkpoint(f, x, use_reentrant=re).sum(), x)[0].shape)
    told("noreq", lambda: checkpoint(f, torch.ones(4, 2), use_reentrant=re).requires_grad)
    told("nest", lambda: checkpoint(lambda x: checkpoint(f, x, use_reentrant=re), x, use_reentrant=re).sum().backward())
    told("kw", lambda: checkpoint(lambda x, k: x * k, x, k=2, use_reentrant=re))
told(
    "seq", lambda: checkpoint_sequential(torch.nn.Sequential(lin, lin, lin), 2, x, use_reentrant=False).sum().backward()
)
calls = []


def g(x):
    a = x.sin()
    calls.append(1)
    b = a.exp()
    calls.append(2)
    c = b * 1
    calls.append(3)
    return c


for es in (True, False):
    with set_checkpoint_early_stop(es):
        calls.clear()
        y = checkpoint(g, x, use_reentrant=False)
        y.sum().backward()
        print(es, calls)
k = [0]


def h(x):
    k[0] += 1
    return x.sin() if k[0] == 1 else x.sin().exp() * 2


told("mismatch", lambda: checkpoint(h, x, use_reentrant=False, determinism_check="default").sum().backward())
k[0] = 0


def h(x):
    k[0] += 1
    return x.sin() if k[0] == 1 else x[:1].sin()


told("mismatch", lambda: checkpoint(h, x, use_reentrant=False).sum().backward())
told(
    "ctx",
    lambda: (
        checkpoint(
            lambda x: x.sin(),
            x,
            use_reentrant=False,
            context_fn=lambda: (torch.autograd.graph.save_on_cpu(), torch.autograd.graph.save_on_cpu()),
        )
        .sum()
        .backward()
    ),
)
told("ctx", lambda: checkpoint(lambda x: x.sin(), x, use_reentrant=True, context_fn=lambda: 1))
told("bad", lambda: checkpoint(lambda x: x, x, use_reentrant=False, foo=1))
y = checkpoint(lambda x: x.sin(), x, use_reentrant=False)
print(torch.autograd.grad(torch.autograd.grad(y.sum(), x, create_graph=True)[0].sum(), x)[0][0])
told(
    "retain",
    lambda: (lambda y: (y.backward(retain_graph=True), y.backward()))(
        checkpoint(lambda x: x.sin(), x, use_reentrant=False).sum()
    ),
)


def view(x):
    return x.view(-1)


told("dict", lambda: checkpoint(lambda d: {"o": d["x"] * 2}, {"x": x}, use_reentrant=False)["o"].sum().backward())
