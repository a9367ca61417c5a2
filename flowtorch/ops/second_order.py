"""Second derivatives of ops whose gradient is a kernel written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def gradients_of(function: Callable, g: list, inputs: tuple, needs: tuple) -> tuple:
    """Gradients with a graph of their own: those of ``function``, which makes the op's results of single ops.

    ``g`` belongs to the first results. A level of its own stands in for the inputs: one input may depend on another,
    and
    only what passes through the op itself counts.
    """
    from flowtorch.func.gradients import vjp

    def chosen(*wanted: Any) -> tuple:
        given = iter(wanted)
        outputs = function(*[next(given) if need else t for t, need in zip(inputs, needs, strict=True)])
        return tuple([o for o, v in zip(outputs, g, strict=False) if v is not None])

    _, pull = vjp(chosen, *[t for t, need in zip(inputs, needs, strict=True) if need])
    found = iter(pull(tuple([v for v in g if v is not None])))
    return tuple([next(found) if need else None for need in needs])
