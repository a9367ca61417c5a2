"""A variational autoencoder with the reparametrisation trick and Adamax."""

import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)
encoder = nn.Sequential(nn.Linear(12, 16), nn.SiLU(), nn.Linear(16, 8))
decoder = nn.Sequential(nn.Linear(4, 16), nn.Softplus(), nn.Linear(16, 12))
optimizer = torch.optim.Adamax([*encoder.parameters(), *decoder.parameters()], lr=0.01)
x = torch.rand(9, 12)
for _ in range(3):
    mean, log_variance = encoder(x).chunk(2, dim=1)
    noise = torch.randn_like(mean)
    z = mean + torch.exp(0.5 * log_variance) * noise
    logits = decoder(z)
    likelihood = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    divergence = -0.5 * torch.sum(1 + log_variance - mean.pow(2) - log_variance.exp())
    loss = likelihood + divergence
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(float(loss))
