"""What the programs share: weights that do not depend on a random stream, and the report of results."""

import json
import os

import torch
import witness  # noqa: F401


def fixed(module, gain=1.0):
    """Fill parameters and buffers with values that depend on their order and shape alone."""
    with torch.no_grad():
        for i, p in enumerate(module.parameters()):
            fan = max(1, p.numel() // max(1, p.shape[0]) if p.dim() > 1 else 1)
            wave = torch.sin(torch.arange(p.numel(), dtype=torch.float64) * 1.7 + i).reshape(p.shape)
            p.copy_(wave * gain / fan**0.5 if p.dim() > 1 else 0.1 * wave + (1.0 if i % 2 else 0.0))
    return module


def wave(*shape, step=0.37):
    """A float tensor of a given shape with fixed values."""
    count = 1
    for n in shape:
        count *= n
    return torch.sin(torch.arange(count, dtype=torch.float64) * step).reshape(shape).float()


def digest(tensor, count=6):
    """Shape, mean, norm and the first elements of a tensor."""
    t = tensor.detach().to(torch.float64).reshape(-1)
    return {"shape": list(tensor.shape), "mean": t.mean().item(), "norm": t.norm().item(), "first": t[:count].tolist()}


def gradients(module):
    """The norms of all gradients."""
    return [p.grad.double().norm().item() for p in module.parameters() if p.grad is not None]


def train(module, step, count=4, lr=1e-3):
    """Losses of some AdamW steps; ``step()`` gives the loss."""
    optimizer = torch.optim.AdamW([p for p in module.parameters() if p.requires_grad], lr=lr)
    losses = []
    for _ in range(count):
        optimizer.zero_grad()
        loss = step()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def report(**results):
    """Write the results where the runner looks for them."""
    text = json.dumps(results)
    path = os.environ.get("ECOSYSTEM_RESULT")
    if path:
        with open(path, "w") as file:
            file.write(text)
    else:
        print(text)
