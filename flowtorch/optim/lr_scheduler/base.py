"""LRScheduler, the base of all schedulers, and what they share."""
from __future__ import annotations

import functools
import types
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from flowtorch.tensor import Tensor

from ..optimizer import Optimizer
from ..options import to_scalar

EPOCH_DEPRECATION_WARNING = (
    "The epoch parameter in `scheduler.step()` was not necessary and is being deprecated where possible. "
    "Please use "
    "`scheduler.step()` to step the scheduler. Where a scheduler has a closed form, it is used for the given "
    "epoch "
    "instead of the chainable form.")


class LRScheduler:
    """Sets the learning rates of an optimizer's groups, one value per call of ``step``.

    A subclass gives ``get_lr``, the rates for ``last_epoch``, usually from the groups' present rates so that
    schedulers can be chained, and may give ``_get_closed_form_lr``, the rates for any epoch from
    ``base_lrs``.
    """

    _get_lr_called_within_step = False
    _is_initial = False

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        check_optimizer(optimizer)
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", copy_value(group["lr"]))
            elif "initial_lr" not in group:
                raise KeyError(f"param 'initial_lr' is not specified in param_groups[{i}] when resuming "
                               "scheduler with "
                               "last_epoch >= 0. Load the optimizer's state first, or start with "
                               "last_epoch=-1.")
        self.base_lrs = group_values(optimizer, "initial_lr")
        self.last_epoch = last_epoch
        _track_steps(optimizer)
        self._initial_step()

    def _initial_step(self) -> None:
        self._step_count = 0
        with _flag(self, "_is_initial"):
            self.step()

    def state_dict(self) -> dict[str, Any]:
        """Everything that changes over the schedule, without the optimizer."""
        return {key: value for key, value in self.__dict__.items() if key != "optimizer"}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take over the result of ``state_dict``."""
        self.__dict__.update(state_dict)

    def get_last_lr(self) -> list[Any]:
        """The learning rates set last, one per group."""
        return self._last_lr

    def get_lr(self) -> list[Any]:
        """The learning rates for ``last_epoch``."""
        raise NotImplementedError

    def step(self, epoch: int | None = None) -> None:
        """Go on to the next epoch and set the learning rates; call it after ``optimizer.step()``."""
        if self._step_count == 1:
            self._check_order()
        self._step_count += 1
        if epoch is not None:
            warnings.warn(EPOCH_DEPRECATION_WARNING, UserWarning, stacklevel=2)
        self._update_lr(epoch)

    def _check_order(self) -> None:
        if not hasattr(self.optimizer.step, "_wrapped_by_lr_sched"):
            warnings.warn("Seems like `optimizer.step()` has been overridden after learning rate scheduler "
                          "initialization. Please, make sure to call `optimizer.step()` before "
                          "`lr_scheduler.step()`. "
                          "See more details at "
                          "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
                          UserWarning, stacklevel=3)
        elif not getattr(self.optimizer, "_opt_called", False):
            warnings.warn("Detected call of `lr_scheduler.step()` before `optimizer.step()`. In PyTorch "
                          "1.1.0 and "
                          "later, you should call them in the opposite order: `optimizer.step()` before "
                          "`lr_scheduler.step()`.  Otherwise the first value of the schedule is skipped. "
                          "See more details at "
                          "https://pytorch.org/docs/stable/optim.html#how-to-adjust-learning-rate",
                          UserWarning, stacklevel=3)

    def _update_lr(self, epoch: int | None = None) -> None:
        with _enable_get_lr_call(self):
            self.last_epoch = self.last_epoch + 1 if epoch is None else epoch
            closed_form = getattr(self, "_get_closed_form_lr", None) if epoch is not None else None
            rates = closed_form() if closed_form else self.get_lr()
        self._set_lr(rates)

    def _set_lr(self, rates: list[Any]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            set_group_value(group, "lr", lr)
        self._last_lr = group_values(self.optimizer, "lr")

    def _warn_outside_step(self) -> None:
        if not self._get_lr_called_within_step:
            warnings.warn("To get the last learning rate computed by the scheduler, please use "
                          "`get_last_lr()`.",
                          UserWarning, stacklevel=3)

    def _scaled(self, factor: Any) -> list[Any]:
        """The groups' present rates times ``factor``."""
        return [group["lr"] * factor for group in self.optimizer.param_groups]

    def _unchanged(self) -> list[Any]:
        """The groups' present rates."""
        return group_values(self.optimizer, "lr")


class _LRScheduler(LRScheduler):
    """The old name of LRScheduler, for code that derives from it."""


def check_optimizer(optimizer: Any) -> None:
    """Raise unless ``optimizer`` is one."""
    if not isinstance(optimizer, Optimizer):
        raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")


def copy_value(value: Any) -> Any:
    """``value``, cloned if it is a tensor."""
    return value.clone() if isinstance(value, Tensor) else value


def group_values(optimizer: Optimizer, key: str) -> list[Any]:
    """The value of an option in every group; tensors are cloned."""
    return [copy_value(group[key]) for group in optimizer.param_groups]


def set_group_value(group: dict[str, Any], key: str, value: Any) -> None:
    """Set an option of a group, in place if it is a tensor, which a captured step may be reading."""
    if isinstance(group[key], Tensor):
        group[key].fill_(to_scalar(value))
    else:
        group[key] = value


def per_group(name: str, optimizer: Optimizer, value: Any) -> list[Any]:
    """``value`` as a list with one entry per group."""
    groups = len(optimizer.param_groups)
    if not isinstance(value, (list, tuple)):
        value = [value] * groups
    elif len(value) != groups:
        raise ValueError(f"{name} must have the same length as optimizer.param_groups. {name} has "
                         f"{len(value)} values, "
                         f"param_groups has {groups}.")
    return [copy_value(v) for v in value]


def callable_state(function: Any) -> dict[str, Any] | None:
    """What to save of a callable: the attributes of an object, nothing of a function."""
    return None if isinstance(function, types.FunctionType) else function.__dict__.copy()


@contextmanager
def _flag(scheduler: Any, name: str) -> Iterator[None]:
    setattr(scheduler, name, True)
    try:
        yield
    finally:
        setattr(scheduler, name, False)


def _enable_get_lr_call(scheduler: LRScheduler) -> Any:
    """Context in which ``get_lr`` of the scheduler may be called without a warning."""
    return _flag(scheduler, "_get_lr_called_within_step")


def _track_steps(optimizer: Any) -> None:
    """Let the optimizer remember that its ``step`` has been called, so that a wrong order can be noticed."""
    if hasattr(optimizer.step, "_wrapped_by_lr_sched"):
        return
    step: Callable = optimizer.step.__func__
    reference = weakref.ref(optimizer)      # the optimizer must not keep itself alive

    @functools.wraps(step)
    def tracked(*args: Any, **kwargs: Any) -> Any:
        owner: Any = reference()
        owner._opt_called = True
        return step(owner, *args, **kwargs)

    tracked._wrapped_by_lr_sched = True     # type: ignore[attr-defined]
    optimizer.step = tracked
