"""Steps of a group that are prepared once and then made by one call.

What a step does with ordinary parameters hardly changes from one to the next: the same kernel, the same options, the
same kinds of state. A plan holds that. The extension's ``step`` (native/steps.c) checks that the plan still is for this
group, gathers parameters, gradients and state, counts the step and runs the kernel's machine code; whatever it finds
otherwise (a sparse gradient, an odd layout, counts that differ) is left to the optimiser's own ``_update_group``.
Without the extension ``_step_on_arrays`` does the same with the kernel's numpy calls.
"""
from __future__ import annotations

import ctypes
from collections.abc import Callable
from operator import is_
from typing import Any

from flowtorch.native import calls
from flowtorch.overrides import active
from flowtorch.tensor import Tensor

from . import blocked
from .formula import Formula


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
        at = kernel.numbers
        constants = (lambda step: at(**{**numbers, "step": step})) if "step" in numbers else at(**numbers)
        run: Any = kernel
        if calls.module is not None:
            function = kernel.native.functions.get(first._type.numpy.char)
            if function is None:
                return None
            run = ctypes.cast(function, ctypes.c_void_p).value              # type: ignore[arg-type]
        return (snapshot, tuple(name for name in names if name is not None), self.count, run, constants,
                kernel.writes)


class Plans(dict):
    """The plans of an optimiser by the ids of its groups. Copies and pickles of it are empty."""

    def __reduce_ex__(self, protocol: Any) -> tuple:
        return Plans, ()


def step(optimizer: Any, group: dict[str, Any]) -> bool:
    """Make the step of a group by its plan, if it has one that fits."""
    attributes = optimizer.__dict__
    if active or "found_inf" in attributes or "grad_scale" in attributes:
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


def _step_on_arrays(plan: tuple, group: dict[str, Any], params: list[Tensor], state: dict[Any, Any]) -> bool | None:
    """Make a step by the kernel's numpy calls: None if the plan is not for these options, False if it is none for here.
    """
    snapshot, names, count, kernel, numbers, writes = plan
    if len(group) != len(snapshot) or not all(map(is_, group.values(), snapshot)):
        return None
    rows = [p for p in params if p._grad is not None]
    if not kernel:      # these options never have a plan
        return False
    if not rows:
        return True
    tensors: list[list[Any]] = [rows, [p._grad for p in rows]]
    counts: list[Any] = []
    if names or count:
        states = [state.get(p) for p in rows]
        if not all(states):
            return False
        tensors += [[own.get(name) for own in states] for name in names]    # type: ignore[union-attr]
        counts = [own.get(count) for own in states] if count else []        # type: ignore[union-attr]
    kind = rows[0]._type
    columns = [_alike(column, kind) for column in tensors]
    if not kind.simple or kind.numpy.char not in "fd" or None in columns:
        return False
    shapes = [a.shape for a in columns[0]]                                  # type: ignore[union-attr]
    if any([[a.shape for a in column] != shapes for column in columns[1:]]):        # type: ignore[union-attr]
        return False
    if counts:
        step = _counted(counts)
        if step is None:
            return False
        numbers = numbers(step) if callable(numbers) else numbers
    blocked.run_kernel(kernel, columns, numbers)                                    # type: ignore[arg-type]
    for k in writes:
        for t in tensors[k]:
            t._bump_version()
    return True


def _alike(column: list[Any], kind: Any) -> list[Any] | None:
    """The arrays of tensors that are all of one type, contiguous and writeable; None if they are not."""
    arrays = [t._array for t in column if isinstance(t, Tensor) and t._type is kind]
    if len(arrays) < len(column):
        return None
    return arrays if all([a.flags.carray for a in arrays]) else None


def _counted(counts: list[Any]) -> float | None:
    """Add one to counts that are all the same, and give the new one; None, with nothing done, if they are not."""
    if not all([isinstance(t, Tensor) and t._type.simple and t._array.size == 1 for t in counts]):
        return None
    values = {t._array.item() for t in counts}
    if len(values) > 1:
        return None
    step = values.pop() + 1.0
    for t in counts:
        t._array.fill(step)
        t._bump_version()
    return step


def _drop_on_arrays(params: list[Tensor]) -> bool:
    if not all([p._type.fast for p in params]):
        return False
    for p in params:
        p._grad = None
    return True


_step: Callable = _step_on_arrays if calls.module is None else calls.module.step
_drop: Callable = _drop_on_arrays if calls.module is None else calls.module.drop_gradients


def drop_gradients(params: list[Tensor]) -> bool:
    """Set the gradients of ordinary parameters to None; False, with nothing done, if some are not ordinary."""
    return not active and _drop(params)


def _recipe(cls: Any) -> Recipe | None:
    """The recipe of an optimiser's class, unless a subclass updates its groups in a way of its own."""
    for base in cls.__mro__:
        if "_update_group" in base.__dict__:
            return base.__dict__.get("_recipe")
    return None
