"""A derivative written by hand (a straight-through rounding and a scaled exponential), with Adagrad."""

import sys

import torch
from torch import nn

torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)


class StraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        return torch.round(x * 4) / 4

    @staticmethod
    def backward(ctx, grad):
        return grad.clamp(-1, 1)


class ScaledExp(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, scale):
        y = torch.exp(x * scale)
        ctx.save_for_backward(y)
        ctx.scale = scale
        return y

    @staticmethod
    def backward(ctx, grad):
        (y,) = ctx.saved_tensors
        return grad * y * ctx.scale, None


first, second = nn.Linear(6, 8), nn.Linear(8, 3)
optimizer = torch.optim.Adagrad([*first.parameters(), *second.parameters()], lr=0.05)
x, y = torch.randn(10, 6), torch.randn(10, 3)
for _ in range(3):
    h = StraightThrough.apply(first(x))
    h = ScaledExp.apply(h, 0.3)
    loss = nn.functional.smooth_l1_loss(second(h), y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(float(loss))
