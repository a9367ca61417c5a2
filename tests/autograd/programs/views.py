"""In-place writes through views, detached and inference tensors, grad modes."""
# ruff: noqa

import torch

x = torch.arange(6.0, requires_grad=True)
y = x * 1
v = y[2:4]
v.mul_(10)
y.sum().backward()
print(x.grad, y.grad_fn, v.grad_fn, v._base is y, v._is_view())
x.grad = None
y = x * 1
a, b = y.split(3)
a, b = y.chunk(2)
u = y.unbind(0)
told("unbind", lambda: u[0].add_(1))
y = x * 1
v = y.view(2, 3)
w = v.t()
w[0].add_(5)
print(y._version, v._version, w._version, x._version)
(v * w.t()).sum().backward()
print(x.grad)
x.grad = None
y = x * 1
with torch.no_grad():
    v = y[:2]
told("nograd view", lambda: v.mul_(2))
print(v.requires_grad, y.requires_grad)
with torch.no_grad():
    y.mul_(3)
print(y.requires_grad, y._version)
y.sum().backward()
print(x.grad)
x.grad = None
y = x.clone()
d = y.detach()
d.add_(1)
print(y._version, d._version, y)
z = (y * y).sum()
d.zero_()
told("detached stale", lambda: z.backward())
y = x.clone()
y.data.add_(5)
print(y._version)
z = (y * y).sum()
y.data.zero_()
told("data", lambda: (z.backward(), x.grad))
told("expand", lambda: torch.zeros(1).expand(3).add_(1))
told("expand", lambda: torch.zeros(1).expand(3).copy_(torch.arange(3.0)))
y = x.clone()
v = y.diagonal() if y.dim() > 1 else y.as_strided((2, 2), (2, 1))
v.mul_(2)
print(v.grad_fn, y.grad_fn)
x.grad = None
y.sum().backward()
print(x.grad)
y = x.clone()
y[[0, 1]] = torch.tensor([7.0, 8.0])
y[y > 4] = 0
x.grad = None
y.sum().backward()
print(x.grad, y)
a = torch.zeros(3)
b = torch.ones(2, requires_grad=True)
a[:2] = b * 3
print(a.requires_grad, a.grad_fn, a.is_leaf)
a.sum().backward()
print(b.grad)
a = torch.zeros(3)
v = a[1:]
v.copy_(b)
print(a.requires_grad, v.grad_fn, a.grad_fn)
a = torch.ones(3, requires_grad=True).clone()
a.unsqueeze_(0)
print(a.shape)
a.t_()
print(a.shape)
a.squeeze_()

with torch.inference_mode():
    i = torch.ones(2)
    j = i * 2
    print(i.is_inference(), j.is_inference(), torch.is_inference_mode_enabled())
told("inf", lambda: i.add_(1))
told("inf", lambda: i.requires_grad_())
told("inf", lambda: (i * b).sum().backward())
told("infview", lambda: i.view(2).is_inference())
told("infver", lambda: i._version)
told("clone", lambda: i.clone().is_inference())
with torch.inference_mode():
    told("inf2", lambda: b.add_(1))
    told("inf3", lambda: (b * 2).requires_grad)
    k = b.view(2)
told("k", lambda: k.add_(1))
told("k", lambda: (k * b).sum())


@torch.no_grad()
def f():
    return (b * 2).requires_grad


print(f())
with torch.set_grad_enabled(False):
    print(torch.is_grad_enabled())


@torch.enable_grad()
def gen():
    yield torch.is_grad_enabled()
    yield torch.is_grad_enabled()


with torch.no_grad():
    for q in gen():
        print(q, torch.is_grad_enabled())
p = torch.ones(2, requires_grad=True)
p.requires_grad_(False)
print(p.requires_grad)
m = b * 2
told("rgF", lambda: m.requires_grad_(False))
