"""A generator and a critic with a gradient penalty: second derivatives, two optimizers, detached values."""

import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
generator = nn.Sequential(nn.Linear(3, 10), nn.Tanh(), nn.Linear(10, 5))
critic = nn.Sequential(nn.Linear(5, 10), nn.Softplus(), nn.Linear(10, 1))
slow = torch.optim.Adam(generator.parameters(), lr=0.01, betas=(0.5, 0.9))
fast = torch.optim.Adam(critic.parameters(), lr=0.02, betas=(0.5, 0.9), amsgrad=True)
real = torch.randn(8, 5) * 0.5 + 1
for _ in range(2):
    fake = generator(torch.randn(8, 3))
    mix = torch.rand(8, 1)
    between = (mix * real + (1 - mix) * fake.detach()).requires_grad_()
    (slope,) = torch.autograd.grad(critic(between).sum(), between, create_graph=True)
    penalty = ((slope.norm(dim=1) - 1) ** 2).mean()
    loss = F.softplus(critic(fake.detach())).mean() + F.softplus(-critic(real)).mean() + penalty
    fast.zero_grad()
    loss.backward()
    fast.step()
    slow.zero_grad()
    F.softplus(-critic(fake)).mean().backward()
    slow.step()
print(float(loss))
