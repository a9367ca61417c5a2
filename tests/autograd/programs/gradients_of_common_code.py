"""Several roots, batched gradients, dtypes, ties and zeros, leaves, in-place chains."""
# ruff: noqa

import torch

x = torch.tensor([1.0, 2.0], requires_grad=True)
y = torch.tensor([3.0, 4.0], requires_grad=True)
print(torch.autograd.grad([x.sum(), (x * y).sum()], [x, y], [torch.tensor(2.0), None]))
print(torch.autograd.grad((x * y), [x], torch.eye(2), is_grads_batched=True))
told("batched", lambda: torch.autograd.grad((x * y), [x], torch.ones(2), is_grads_batched=True))
(x * y).backward(torch.tensor([1.0, 1.0]), inputs=[x])
print(x.grad, y.grad)
x.grad.zero_()
z = x * y
z.backward(torch.ones(2), retain_graph=True)
z.backward(torch.ones(2))
print(x.grad)
g = x.grad
(x * 1).sum().backward()
(x**2).sum().backward(create_graph=True)
print(x.grad.requires_grad, x.grad.grad_fn)
x.grad = None
h = torch.zeros(2, dtype=torch.float16, requires_grad=True)
(h.float() * 2).sum().backward()
print(h.grad.dtype)
b = torch.ones(2, dtype=torch.bfloat16, requires_grad=True)
(b * x).sum().backward()
print(b.grad, x.grad)
c = torch.ones(2, dtype=torch.complex64, requires_grad=True)
(c.abs() ** 2).sum().backward()
print(c.grad)
c.grad = None
(c * x).real.sum().backward()
print(c.grad, x.grad)
c.grad = None
(c.imag * 3).sum().backward()
print(c.grad)
torch.view_as_real(c * 1).sum().backward()
print(c.grad)
i = torch.ones(2, dtype=torch.int64)
o = x * i
o.sum().backward()
print(x.grad)
print((x > 0).requires_grad, x.argmax().requires_grad, x.max(0), x.sort()[1].requires_grad)
told("floor", lambda: torch.autograd.grad(x.floor().sum(), x))
told("round", lambda: torch.autograd.grad(x.round().sum(), x))
told("sign", lambda: torch.autograd.grad(x.sign().sum(), x))
told("toint", lambda: x.long().requires_grad)
e = torch.zeros(0, requires_grad=True)
e.sum().backward()
print(e.grad)
s = torch.tensor(2.0, requires_grad=True)
(s**3).backward()
print(s.grad)
n = torch.tensor([0.0, 1.0], requires_grad=True)
(n.abs()).sum().backward()
print(n.grad)
n.grad = None
n.norm().backward()
print(n.grad)
n.grad = None
torch.where(n > 0, n.log(), torch.zeros(2)).sum().backward()
print(n.grad)
n.grad = None
(n**0.5).sum().backward()
print(n.grad)
n.grad = None
n.max().backward()
print(n.grad)
q = torch.tensor([1.0, 1.0], requires_grad=True)
q.max().backward()
print(q.grad)
q.grad = None
q.max(0)[0].backward()
print(q.grad)
q.grad = None
q.amax().backward()
print(q.grad)
q.grad = None
q.median().backward()
print(q.grad)
q.grad = None
torch.maximum(q, torch.ones(2)).sum().backward()
print(q.grad)
q.grad = None
q.clamp(1, 2).sum().backward()
print(q.grad)
q.grad = None
torch.relu(q - 1).sum().backward()
print(q.grad)
q.grad = None
q.prod().backward()
print(q.grad)
z0 = torch.tensor([0.0, 0.0, 3.0], requires_grad=True)
z0.prod().backward()
print(z0.grad)
z0.grad = None
z0.cumprod(0).sum().backward()
print(z0.grad)
z0.grad = None
torch.atan2(z0, z0).sum().backward()
print(z0.grad)
z0.grad = None
(z0**2).sum().sqrt().backward()
z0.grad = None
torch.nn.functional.softmax(z0, 0)[2].backward()
print(z0.grad)
z0.grad = None
z0.std().backward()
print(z0.grad)
z0.grad = None
(0**z0).sum().backward()
print(z0.grad)
import copy, pickle

p = torch.nn.Parameter(torch.ones(2))
p.grad = torch.ones(2)
p2 = copy.deepcopy(p)
print(p2.grad, type(p2).__name__)
d = copy.copy(p)
print(d is p, d.grad is p.grad)
print(pickle.loads(pickle.dumps(p)).requires_grad)
w_ = x * 2
w_.requires_grad_()
print(w_.requires_grad)
told("backward hook on nograd", lambda: x.detach().register_hook(lambda g: g))
a = x.detach().requires_grad_()
a2 = a.view(2)
print(a2.is_leaf, a2._base is a)
told("leafview", lambda: a2.mul_(2))
with torch.no_grad():
    a.mul_(2)
    a[0] = 9
    a.copy_(x)
    told("set_", lambda: a.resize_(3) if 0 else a.set_(torch.zeros(2)))
told("swap", lambda: torch.utils.swap_tensors(torch.ones(1), torch.zeros(1)))
k = x * 1
k.sum().backward()
k2 = k
told("inplace detach", lambda: k.detach_().requires_grad)
l = [torch.ones(2, requires_grad=True) for _ in range(3)]
torch.stack(l).prod(0).sum().backward()
print([v.grad.tolist() for v in l])
st = torch.stack(l)
u0, u1, u2 = st.unbind()
u0.sum().backward()
print(l[0].grad, l[1].grad)
print(torch.autograd.grad(st.sum() * 0 + (st * st).sum(), l))
told("inplace chain", lambda: (lambda v: (v.exp_(), v.sin_(), v.sum().backward()))(x * 1))
told("relu_", lambda: (lambda v: (torch.relu_(v), v.sum().backward()))(x * 1))
told("sig_", lambda: (lambda v: (v.sigmoid_(), v.mul_(2), v.sum().backward()))(x * 1))
told("idxput", lambda: (lambda v: (v.index_put_((torch.tensor([0]),), torch.tensor([5.0])), v.sum().backward()))(x * 1))
told("mf", lambda: (lambda v: (v.masked_fill_(v > 1, 0), v.sum().backward()))(x * 1))
print(x.grad)
told("out", lambda: torch.mul(x, 2, out=x * 1))
m = torch.ones(2, 2, requires_grad=True)
mm = m * 1
mm.fill_diagonal_(5)
mm.triu_()
mm.T.sum().backward()
print(m.grad)
told("tr", lambda: mm.t_().grad_fn is not None)
