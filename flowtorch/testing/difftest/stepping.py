"""Recording steps of optimizers and of learning-rate schedules: what went in, what came out, and by which settings."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .calls import source_line
from .trace import Event

UNSET = ("params", "initial_lr", "param_names", "foreach", "fused", "capturable", "differentiable", "count")


def wrap(recorder: Any) -> None:
    """Have the recorder see every ``step`` of the library's optimizers and schedules."""
    optim = recorder.library.optim
    for base, wrapper in ((optim.Optimizer, optimizer_step), (optim.lr_scheduler.LRScheduler, schedule_step)):
        for cls in set(classes(base)):
            if "step" in cls.__dict__ and cls is not optim.Optimizer:
                recorder.replace(cls, "step", wrapper(recorder, cls.__dict__["step"]))


def classes(cls: type) -> Iterator[type]:
    yield cls
    below: Any = cls.__subclasses__()
    for c in below:
        yield from classes(c)


def optimizer_step(recorder: Any, original: Callable) -> Callable:
    def step(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        if args or kwargs or recorder.inside:  # with a closure: its calls are recorded as they come
            return original(optimizer, *args, **kwargs)
        recorder.inside = True
        try:
            names, tensors, counts = optimizer_state(optimizer)
            inputs = [recorder.digest(t) for t in tensors]
            settings = [numbers_of(g, count) for g, count in zip(optimizer.param_groups, counts, strict=True)]
            groups = [{k: v for k, v in g.items() if k not in ("params", "initial_lr", "param_names")}
                      for g in optimizer.param_groups]  # fmt: skip
            result = original(optimizer)
            after, changed, _ = optimizer_state(optimizer, gradients=False)
            outputs = [recorder.digest(t) for t in changed]
            event = Event("optimizer", type(optimizer).__name__, inputs, outputs, source_line())
            event.names, event.settings, event.call = [names, after], settings, (type(optimizer), groups)
            recorder.trace.events.append(event)
        finally:
            recorder.inside = False
        return result

    return step


def optimizer_state(optimizer: Any, gradients: bool = True) -> tuple[list[str], list, list[int]]:
    """(names, tensors, parameters in each group) of the parameters that have a gradient: they, it, and their state."""
    names, tensors, counts = [], [], []
    number = 0
    for group in optimizer.param_groups:
        counts.append(0)
        for p in group["params"]:
            if p.grad is None:
                continue
            state = optimizer.state.get(p, {})
            entries = [("param", p), ("grad", p.grad)] if gradients else [("param", p)]
            entries += [(k, state[k]) for k in sorted(state) if hasattr(state[k], "detach")]
            for what, t in entries:
                names.append(f"{number}.{what}")
                tensors.append(t)
            counts[-1] += 1
            number += 1
    return names, tensors, counts


def numbers_of(group: dict, count: int) -> dict[str, Any]:
    """The settings that say what a step computes, as numbers."""
    known = {k: plain(v) for k, v in group.items() if k not in UNSET}
    return {"count": count, **{k: v for k, v in known.items() if v is not None}}


def plain(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return [plain(v) for v in value]
    if hasattr(value, "item") and getattr(value, "numel", lambda: 0)() == 1:
        value = value.item()
    return value if isinstance(value, (bool, int, float)) else None


def schedule_step(recorder: Any, original: Callable) -> Callable:
    def step(schedule: Any, *args: Any, **kwargs: Any) -> Any:
        if recorder.inside:
            return original(schedule, *args, **kwargs)
        inputs = [rates(recorder, schedule)]
        recorder.inside = True
        try:
            result = original(schedule, *args, **kwargs)
        finally:
            recorder.inside = False
        event = Event("schedule", type(schedule).__name__, inputs, [rates(recorder, schedule)], source_line())
        recorder.trace.events.append(event)
        return result

    return step


def rates(recorder: Any, schedule: Any) -> str:
    """The digest of the learning rates of all groups, and of how many steps led to them."""
    groups = getattr(schedule, "optimizer", None)
    listed = [float(g["lr"]) for g in groups.param_groups] if groups is not None else []
    return recorder.digest_of(np.array([*listed, float(getattr(schedule, "last_epoch", 0))]), "float64")
