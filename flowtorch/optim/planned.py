"""Steps of a group that are prepared once and then made by one call of the native extension.

What a step does with ordinary parameters hardly changes from one to the next: the same kernel, the same options, the
same kinds of state. A plan holds that. The extension's ``step`` (native/steps.c) checks that the plan still is for this
group, gathers parameters, gradients and state, counts the step and runs the kernel's machine code; whatever it finds
otherwise (a sparse gradient, an odd layout, counts that differ) is left to the optimiser's own ``_update_group``.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

from flowtorch.native import calls
from flowtorch.tensor import Tensor

from .formula import Formula

_step: Callable | None = getattr(calls.module, "step", None)
_drop: Callable | None = getattr(calls.module, "drop_gradients", None)


class Recipe:
    """How an optimiser's plans are made: its formula, the names of the state in the order of the formula's arrays (None
    for one that options leave out), the name of the count of steps, and the formula's numbers.

    ``read(group)`` gives the names and the numbers; a number ``step`` is filled in at each step.
    """

    def __init__(self, formula: Formula, read: Callable[[dict[str, Any]], tuple], count: str | None = "step") -> None:
        self.formula, self.read, self.count = formula, read, count

    def plan(self, group: dict[str, Any]) -> tuple | None:
        """The plan for these options; None while there is no machine code for them."""
        snapshot = tuple(group.values())
        never = snapshot, (), None, 0, (), ()
        values = [v for option in snapshot if option is not group["params"]
                  for v in (option if isinstance(option, (tuple, list)) else (option,))]
        if group.get("capturable") or group.get("differentiable") or any(isinstance(v, Tensor) for v in values):
            return never
        first = next((p for p in group["params"] if p._grad is not None), None)
        if first is None:
            return None
        if first._type.numpy is None:
            return never
        names, numbers = self.read(group)
        kernel = self.formula.kernel((True, True, *[name is not None for name in names]), {**numbers})
        function = kernel.native.functions.get(first._type.numpy.char)
        if function is None:
            return None
        at = kernel.numbers
        constants = (lambda step: at(**{**numbers, "step": step})) if "step" in numbers else at(**numbers)
        return (snapshot, tuple(name for name in names if name is not None), self.count,
                ctypes.cast(function, ctypes.c_void_p).value, constants, kernel.writes)     # type: ignore[arg-type]


class Plans(dict):
    """The plans of an optimiser by the ids of its groups. Copies and pickles of it are empty."""

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return Plans, ()


def step(optimizer: Any, group: dict[str, Any]) -> bool:
    """Make the step of a group by its plan, if it has one that fits."""
    attributes = optimizer.__dict__
    if _step is None or "found_inf" in attributes or "grad_scale" in attributes:
        return False
    plans = attributes.get("_plans")
    if plans is None:
        plans = attributes["_plans"] = Plans()
    plan = plans.get(id(group))
    if plan is not None:
        done = _step(plan, group, group["params"], optimizer.state)
        if done is not None:
            return done
    recipe = _recipe(type(optimizer))
    plan = recipe and recipe.plan(group)
    if plan is None:
        return False
    if len(plans) > len(optimizer.param_groups):
        plans.clear()
    plans[id(group)] = plan
    return bool(_step(plan, group, group["params"], optimizer.state))


def drop_gradients(params: list[Tensor]) -> bool:
    """Set the gradients of ordinary parameters to None; False, with nothing done, if some are not ordinary."""
    return _drop is not None and _drop(params)


def _recipe(cls: Any) -> Recipe | None:
    """The recipe of an optimiser's class, unless a subclass updates its groups in a way of its own."""
    for base in cls.__mro__:
        if "_update_group" in base.__dict__:
            return base.__dict__.get("_recipe")
    return None
