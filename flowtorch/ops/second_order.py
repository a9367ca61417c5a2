"""Second derivatives of ops whose gradient is a kernel written by hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.autograd.mode import grad_mode
from flowtorch.ops.families import pointwise, view
from flowtorch.tensor import Tensor


@pointwise(namespace="_autograd", method=False, linear=("grad",), tensors=("grad", "input"),
           vjp=(lambda g: g, lambda g: g.new_zeros(g.shape)))
def _linked(grad, input):
    """``grad``, which depends on ``input`` with the derivative zero."""
    return grad.copy()


def linked(grad: Any, input: Any) -> Any:
    """The gradient of a function made of straight pieces: where it is derived again, it finds ``input``.

    PyTorch gives zeros there, not the complaint that the input was not used.
    """
    return _linked(grad, input) if grad_mode.enabled and isinstance(grad, Tensor) else grad


@view(name="_piecewise", method=False, vjp=(lambda g, input: linked(g, input),))
def _piecewise(input):
    return input.view()


def piecewise(input: Any) -> Any:
    """``input`` for a function that is made of straight pieces: the gradient is ``linked`` to it."""
    return _piecewise(input) if input.requires_grad else input


def by_hand(*tensors: Tensor | None) -> bool:
    """Whether a backward kernel may work on the arrays of ``tensors``: in host memory, not derived, not mapped."""
    return not grad_mode.enabled and all(
        t is None or (t._type.plain and t._type.device.type != "cuda") for t in tensors
    )


def derived(*tensors: Tensor | None) -> bool:
    """Whether what is computed from ``tensors`` may be derived in turn: recorded, or pushed forward with them.

    If not, an op without a derivative can do the work of several that have one.
    """
    return grad_mode.enabled or any(t is not None and not t._type.plain and _pushed(t) for t in tensors)


def _pushed(t: Any) -> bool:
    from flowtorch.autograd.forward_ad import Dual

    while not t._type.plain and "value" in t.__dict__:
        if type(t) is Dual:
            return True
        t = t.__dict__["value"]
    return False


def gradients_of(function: Callable, g: list, inputs: tuple, needs: tuple) -> tuple:
    """Gradients with a graph of their own: those of ``function``, which makes the op's results of single ops.

    ``g`` belongs to the first results. A level of its own stands in for the inputs: one input may depend on another,
    and only what passes through the op itself counts.
    """
    from flowtorch.func.gradients import vjp

    def chosen(*wanted: Any) -> tuple:
        given = iter(wanted)
        outputs = function(*[next(given) if need else t for t, need in zip(inputs, needs, strict=True)])
        return tuple([o for o, v in zip(outputs, g, strict=False) if v is not None])

    _, pull = vjp(chosen, *[t for t, need in zip(inputs, needs, strict=True) if need])
    found = iter(pull(tuple([v for v in g if v is not None])))
    return tuple([next(found) if need else None for need in needs])
