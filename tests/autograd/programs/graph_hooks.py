"""Saved-tensor hooks, multi-gradient hooks, hooks of nodes and tensors, edges."""
# ruff: noqa

import torch

from torch.autograd.graph import *

x = torch.ones(3, requires_grad=True)


class S:
    pass


with saved_tensors_hooks(lambda t: (print("pack", tuple(t.shape)), t)[1], lambda t: (print("unpack"), t)[1]):
    y = (x * x).exp().sum()
y.backward()
print(x.grad)
with save_on_cpu():
    y = (x**3).sum()
y.backward()
print(x.grad)
told("bad", lambda: saved_tensors_hooks(1, 2).__enter__())
with disable_saved_tensors_hooks("no hooks here"):
    told("dis", lambda: saved_tensors_hooks(lambda x: x, lambda x: x).__enter__())
with allow_mutation_on_saved_tensors() as ctx:
    a = torch.ones(2, requires_grad=True)
    b = a.clone()
    c = (b**2).sum()
    b.mul_(5)
    c.backward()
    print(a.grad)
    b = a.clone()
    v = b.view(2)
    c = (v.sin()).sum()
    v.zero_()
    c.backward()
    print(a.grad)
a = torch.ones(2, requires_grad=True)
b = a.clone()
c = (b**2).sum()
b.mul_(5)
told("mut", lambda: c.backward())
h = []
u = torch.ones(2, requires_grad=True)
v = torch.ones(2, requires_grad=True)
hd = register_multi_grad_hook([u, v], lambda gs: h.append([g is None or g.tolist() for g in gs]))
(u * 2).sum().backward()
print(h)
(u * v).sum().backward()
print(h)
hd.remove()
h = []
hd = register_multi_grad_hook([u, v], lambda g: h.append(g.tolist()), mode="any")
(u * v).sum().backward()
print(h)
y = (u * 2).exp()
n = y.grad_fn
print(
    n.name(),
    n.next_functions[0][0].name(),
    n.next_functions[0][0].next_functions[0][0].name(),
    n.next_functions[0][0].next_functions[0][0].variable is u,
)
n.register_prehook(lambda g: (g[0] * 10,))
n.register_hook(lambda gi, go: print(gi, go))
y.sum().backward()
print(u.grad)
print(type(n).__name__, n.metadata)
told("free", lambda: n._saved_result)
print(
    [
        type(f[0]).__name__ if f[0] else None
        for f in torch.addmm(
            torch.ones(2, 2), torch.ones(2, 2, requires_grad=True), torch.ones(2, 2)
        ).grad_fn.next_functions
    ]
)
l = torch.ones(2, requires_grad=True)
acc = (l * 1).grad_fn.next_functions[0][0]
acc.register_hook(lambda gi, go: print("acc", gi, go))
(l * 3).sum().backward()
print(l.grad)
r = []
q = torch.ones(2, requires_grad=True)
q.register_hook(lambda g: g * 2)
q.register_hook(lambda g: r.append(g.tolist()))
q.register_post_accumulate_grad_hook(lambda p: r.append(p.grad.tolist()))
k = q.register_hook(lambda g: g + 1)
k.remove()
(q * 1).sum().backward()
print(r, q.grad)
y = q * 2
y.retain_grad()
y.register_hook(lambda g: g * 3)
y.sum().backward()
print(y.grad, y.retains_grad)
y = q * 2
y.retain_grad()
y.mul_(2)
y.sum().backward()
print(y.grad)
e = get_gradient_edge(q * 2)
print(type(e).__name__, e.output_nr)
told("edge", lambda: torch.autograd.grad((q * 2).sum(), [e], allow_unused=True))
z = q * 2
e = get_gradient_edge(z)
print(torch.autograd.grad(z.sum() * 3, [e]))
print(increment_version(z), z._version)
