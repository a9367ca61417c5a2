"""``torch.profiler``: the time of every call and of named ranges, on the CPU, as Python sees it."""

from __future__ import annotations

import enum
import json
import os
import socket
import time
from collections.abc import Callable, Iterable
from typing import Any

from flowtorch.profiler.events import EventList, Recorder, record_function

__all__ = [
    "ProfilerAction", "ProfilerActivity", "kineto_available", "profile", "record_function", "schedule",
    "supported_activities", "tensorboard_trace_handler",
]  # fmt: skip


class ProfilerActivity(enum.Enum):
    """Kinds of devices whose work can be asked for; only the CPU's is recorded."""

    CPU = 0
    XPU = 1
    MTIA = 2
    CUDA = 3
    HPU = 4
    PrivateUse1 = 5


class ProfilerAction(enum.Enum):
    """What to do in a step."""

    NONE = 0
    WARMUP = 1
    RECORD = 2
    RECORD_AND_SAVE = 3


def supported_activities() -> set[ProfilerActivity]:
    """The kinds of devices whose work is recorded."""
    return {ProfilerActivity.CPU}


def kineto_available() -> bool:
    """Whether PyTorch's own recorder is there: no."""
    return False


def schedule(
    *, wait: int, warmup: int, active: int, repeat: int = 0, skip_first: int = 0, skip_first_wait: int = 0
) -> Callable[[int], ProfilerAction]:
    """Return the action for each step: skip, then cycles of ``wait``, ``warmup`` and ``active`` steps."""
    if wait < 0 or warmup < 0 or active <= 0 or repeat < 0 or skip_first < 0:
        raise AssertionError("Invalid profiler schedule arguments")

    def action(step: int) -> ProfilerAction:
        if step < 0:
            raise AssertionError(f"Step must be non-negative. Got {step}.")
        if step < skip_first:
            return ProfilerAction.NONE
        step -= skip_first
        if skip_first_wait:
            step += wait
        length = wait + warmup + active
        if repeat > 0 and step // length >= repeat:
            return ProfilerAction.NONE
        at = step % length
        if at < wait:
            return ProfilerAction.NONE
        if at < wait + warmup:
            return ProfilerAction.WARMUP
        return ProfilerAction.RECORD if at < length - 1 else ProfilerAction.RECORD_AND_SAVE

    return action


def tensorboard_trace_handler(dir_name: str, worker_name: str | None = None, use_gzip: bool = False) -> Callable:
    """Return a handler that writes each trace into a folder, under a name with the time in it."""

    def handler(prof: profile) -> None:
        os.makedirs(dir_name, exist_ok=True)
        worker = worker_name or f"{socket.gethostname()}_{os.getpid()}"
        suffix = ".pt.trace.json" + ".gz" * use_gzip
        prof.export_chrome_trace(os.path.join(dir_name, f"{worker}.{time.time_ns()}{suffix}"))

    return handler


def _always(step: int) -> ProfilerAction:
    return ProfilerAction.RECORD


class profile:
    """Record calls between ``start`` and ``stop``, or in a ``with`` block; ``step()`` goes on in the schedule."""

    def __init__(
        self, *, activities: Iterable[ProfilerActivity] | None = None, schedule: Any = None, on_trace_ready: Any = None,
        record_shapes: bool = False, profile_memory: bool = False, with_stack: bool = False, with_flops: bool = False,
        with_modules: bool = False, use_cuda: bool | None = None, acc_events: bool = False, **options: Any,
    ) -> None:  # fmt: skip
        self.activities = set(activities) if activities is not None else supported_activities()
        self.schedule = schedule or _always
        self.on_trace_ready = on_trace_ready
        self.record_shapes = record_shapes
        self.step_num = 0
        self._scheduled = schedule is not None
        self._recorder: Recorder | None = None
        self._finished = EventList()
        self._metadata: dict[str, Any] = {}

    def __enter__(self) -> profile:
        self.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()

    def start(self) -> None:
        """Begin with the schedule's first step."""
        if self._records(self.step_num):
            self._begin()

    def _records(self, step: int) -> bool:
        return self.schedule(step) in (ProfilerAction.RECORD, ProfilerAction.RECORD_AND_SAVE)

    def _begin(self) -> None:
        self._recorder = Recorder(self.record_shapes)
        self._recorder.start()

    def _end(self) -> None:
        if self._recorder is not None:
            self._finished = self._recorder.stop()
            self._recorder = None
            if self.on_trace_ready is not None:
                self.on_trace_ready(self)

    def stop(self) -> None:
        """End recording, and hand the trace over."""
        self._end()

    def step(self) -> None:
        """Go on to the schedule's next step."""
        ended = self.schedule(self.step_num) is ProfilerAction.RECORD_AND_SAVE
        self.step_num += 1
        if not self._scheduled:
            return
        if ended:
            self._end()
        records = self._records(self.step_num)
        if records and self._recorder is None:
            self._begin()
        elif not records and self._recorder is not None:
            self._recorder.stop()
            self._recorder = None

    def events(self) -> EventList:
        """All recorded calls and ranges."""
        return self._recorder.events if self._recorder is not None else self._finished

    def key_averages(self, group_by_input_shape: bool = False, group_by_stack_n: int = 0, **options: Any) -> EventList:
        """The calls added up by name: ``.table(sort_by=..., row_limit=...)`` shows them."""
        return self.events().key_averages(group_by_input_shape)

    def add_metadata(self, key: str, value: str) -> None:
        """Add a text to the trace."""
        self._metadata[key] = value

    def add_metadata_json(self, key: str, value: str) -> None:
        """Add a JSON text to the trace."""
        self._metadata[key] = json.loads(value)

    def export_chrome_trace(self, path: str) -> None:
        """Write the trace in the format of Chrome's viewer; gzipped if the path ends in .gz."""
        self.events().export_chrome_trace(path, self._metadata)

    def __repr__(self) -> str:
        return f"<torch.profiler.profile of {len(self.events())} events>"


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
