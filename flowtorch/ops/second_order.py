"""Second derivatives of ops whose gradient is a kernel written by hand."""

from __future__ import annotations

from collections.abc import Callable


def gradients_of(function: Callable, g: list, inputs: tuple, needs: tuple) -> tuple:
    """Gradients with a graph of their own: those of ``function``, which makes the op's results of single ops.

    ``g`` belongs to the first results. Aliases stand in for the inputs: one input may depend on another, and only what
    passes through the op itself counts.
    """
    from flowtorch.autograd.engine import grad

    aliases = [None if t is None else t.view_as(t) for t in inputs]
    outputs = function(*aliases)
    pairs = [(o, v) for o, v in zip(outputs, g, strict=False) if v is not None]
    wanted = [t for t, need in zip(aliases, needs, strict=True) if need]
    weights = [v for _, v in pairs]
    found = iter(grad([o for o, _ in pairs], wanted, weights, create_graph=True, allow_unused=True))
    return tuple(next(found) if need else None for need in needs)
