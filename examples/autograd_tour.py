"""A tour of automatic differentiation: every stop states a fact, shows it and asserts it.

python examples/autograd_tour.py                      # with PyTorch
python -m flowtorch run examples/autograd_tour.py     # the same file, without it
"""

import math

import torch
import torch.nn as nn
from common import Progress, begin, parser, which


def stop(title):
    print(f"\n# {title}")


def close(a, b, tolerance=1e-5):
    a, b = torch.as_tensor(a), torch.as_tensor(b)
    assert torch.allclose(a, b.to(a.dtype), rtol=tolerance, atol=tolerance), (a, b)


def the_tape():
    stop("Operations on tensors that require a gradient are written down; backward() reads them in reverse")
    x = torch.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = (x**2 * torch.exp(-x)).sum()
    y.backward()
    print("  y      =", y.item())
    print("  x.grad =", x.grad)
    close(x.grad, (2 * x - x**2).detach() * torch.exp(-x.detach()))


def the_graph():
    stop("The record is a graph that can be walked: grad_fn and next_functions")
    x = torch.tensor(0.5, requires_grad=True)
    node, depth = torch.sin(x * 2).exp().grad_fn, 0
    names = []
    while node is not None:
        names.append(node.name().removesuffix("0"))
        print("  " + "  " * depth + node.name())
        node, depth = node.next_functions[0][0] if node.next_functions else None, depth + 1
    assert [n.removeprefix("torch::autograd::") for n in names] == [
        "ExpBackward",
        "SinBackward",
        "MulBackward",
        "AccumulateGrad",
    ], names


def accumulation():
    stop("Gradients of a leaf add up until they are cleared, and a leaf used twice gets both parts")
    x = torch.tensor(3.0, requires_grad=True)
    (x * x).backward()
    close(x.grad, 6.0)
    (2 * x).backward()
    print("  6 + 2 =", x.grad.item())
    close(x.grad, 8.0)
    x.grad = None


def views_and_versions():
    stop("A view shares memory and gradient with its base; a value that backward still needs must not change")
    x = torch.ones(2, 3, requires_grad=True)
    y = x * 2
    y[0].mul_(5)
    y.sum().backward()
    print("  x.grad =", x.grad.tolist())
    close(x.grad, [[10.0, 10.0, 10.0], [2.0, 2.0, 2.0]])

    z = torch.ones(3, requires_grad=True)
    e = torch.exp(z)
    e.add_(1)
    try:
        e.sum().backward()
    except RuntimeError as error:
        assert "modified by an inplace operation" in str(error)
        print("  changed too early:", str(error).split(":")[0])
    else:
        raise AssertionError("a stale value went unnoticed")


def broadcasting():
    stop("What broadcasting spread out, the gradient sums up again")
    rows, columns = torch.zeros(4, 1, requires_grad=True), torch.zeros(3, requires_grad=True)
    (rows + columns).sum().backward()
    print("  shapes", tuple(rows.grad.shape), tuple(columns.grad.shape), "values 3 and 4")
    close(rows.grad, torch.full((4, 1), 3.0))
    close(columns.grad, torch.full((3,), 4.0))


def higher_orders():
    stop("Derivatives are made of the same operations, so they have derivatives: sin goes round in four")
    x = torch.tensor(0.7, requires_grad=True)
    y = torch.sin(x)
    for expected in (math.cos(0.7), -math.sin(0.7), -math.cos(0.7), math.sin(0.7)):
        (y,) = torch.autograd.grad(y, x, create_graph=True)
        print(f"  {y.item():+.6f}")
        close(y, expected)

    a = torch.tensor([[2.0, 1.0], [1.0, 3.0]])
    p = torch.tensor([1.0, -1.0], requires_grad=True)
    v = torch.tensor([0.5, 2.0])
    (gradient,) = torch.autograd.grad(0.5 * p @ a @ p, p, create_graph=True)
    (product,) = torch.autograd.grad(gradient, p, grad_outputs=v)
    print("  Hessian times vector, without the Hessian:", product)
    close(product, a @ v)


class Clamp(torch.autograd.Function):
    """A clamp that lets the gradient through when it points back into the range."""

    @staticmethod
    def forward(ctx, x, low, high):
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        keep = ((x >= ctx.low) | (g < 0)) & ((x <= ctx.high) | (g > 0))
        return g * keep, None, None


def own_functions():
    stop("A Function states its own derivative; gradcheck holds it against finite differences")
    x = torch.tensor([-2.0, 0.5, 2.0], requires_grad=True)
    Clamp.apply(x, -1.0, 1.0).sum().backward()
    print("  through the clamp:", x.grad)
    close(x.grad, [0.0, 1.0, 1.0])
    inside = torch.tensor([-0.5, 0.1, 0.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda t: Clamp.apply(t, -1.0, 1.0) ** 2, (inside,))


def hooks():
    stop("Hooks see gradients pass, and may change them")
    seen = []
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    middle = x * 3
    middle.register_hook(lambda g: seen.append(g.clone()))
    handle = x.register_hook(lambda g: g.clamp(max=4.0))
    (middle**2).sum().backward()
    print("  in the middle", seen[0], "and clipped at the leaf", x.grad)
    close(seen[0], [6.0, 12.0])
    close(x.grad, [4.0, 4.0])
    handle.remove()


def switching_off():
    stop("no_grad and detach write nothing down")
    x = torch.ones(2, requires_grad=True)
    with torch.no_grad():
        assert not (x * 2).requires_grad
    assert not x.detach().requires_grad and x.detach().data_ptr() == x.data_ptr()
    print("  x.requires_grad is", x.requires_grad, "and (x * 2) under no_grad is False")


def sobolev_training(args):
    stop("Training on derivatives: a network learns sin(2x) from values and slopes")
    net = nn.Sequential(nn.Linear(1, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1))
    optimizer = torch.optim.Adam(net.parameters(), lr=3e-3)
    progress = Progress(args)
    for _ in range(args.steps):
        x = (torch.rand(64, 1) * 4 - 2).requires_grad_()
        y = net(x)
        (slope,) = torch.autograd.grad(y.sum(), x, create_graph=True)
        loss = ((y - torch.sin(2 * x)) ** 2).mean() + 0.1 * ((slope - 2 * torch.cos(2 * x)) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.step(loss.item())
    progress.close()
    if args.steps >= 500:
        assert loss.item() < 0.05, loss.item()


def main():
    args = begin(parser(__doc__.splitlines()[0], steps=800))
    print(which())
    the_tape()
    the_graph()
    accumulation()
    views_and_versions()
    broadcasting()
    higher_orders()
    own_functions()
    hooks()
    switching_off()
    sobolev_training(args)
    print("\nEverything held.")


if __name__ == "__main__":
    main()
