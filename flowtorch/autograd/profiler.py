"""The former interface of the profiler: ``profile`` and ``record_function`` by the module that had them first."""

from __future__ import annotations

import bisect
from collections.abc import Iterator
from typing import Any, ClassVar

from flowtorch.profiler.events import EventList, FunctionEvent, Recorder, record_function

__all__ = [
    "EnforceUnique",
    "EventList",
    "FunctionEvent",
    "KinetoStepTracker",
    "MemRecordsAcc",
    "emit_itt",
    "emit_nvtx",
    "profile",
    "record_function",
]


class profile:
    """Record calls in a ``with`` block."""

    def __init__(self, enabled: bool = True, *, record_shapes: bool = False, **options: Any) -> None:
        self.enabled, self.record_shapes = enabled, record_shapes
        self.function_events = EventList()

    def __enter__(self) -> profile:
        if self.enabled:
            self._recorder = Recorder(self.record_shapes)
            self._recorder.start()
        return self

    def __exit__(self, *exc: object) -> None:
        if self.enabled:
            self.function_events = self._recorder.stop()

    def key_averages(self, group_by_input_shape: bool = False, **options: Any) -> EventList:
        """The calls added up by name."""
        return self.function_events.key_averages(group_by_input_shape)

    def total_average(self) -> Any:
        """All calls added up."""
        return self.function_events.total_average()

    def table(self, *args: Any, **options: Any) -> str:
        """Return a table of the calls."""
        return self.function_events.table(*args, **options)

    def export_chrome_trace(self, path: str) -> None:
        """Write the calls in the format of Chrome's trace viewer."""
        self.function_events.export_chrome_trace(path)

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls."""
        return self.function_events.self_cpu_time_total


class EnforceUnique:
    """Refuses keys that it has seen."""

    def __init__(self) -> None:
        self.seen: set = set()

    def see(self, *key: Any) -> None:
        """Note a key; RuntimeError if it was noted before."""
        if key in self.seen:
            raise RuntimeError("duplicate key: " + str(key))
        self.seen.add(key)


class KinetoStepTracker:
    """Counts steps of several who count (optimizers, profilers): the highest count of any is the current step."""

    _current_step = 0
    _steps: ClassVar[dict[str, int]] = {}

    @classmethod
    def init_step_count(cls, requester: str) -> None:
        """Start counting for ``requester`` at the current step."""
        cls._steps[requester] = cls._current_step

    @classmethod
    def erase_step_count(cls, requester: str) -> bool:
        """Stop counting for ``requester``; whether it counted."""
        return cls._steps.pop(requester, None) is not None

    @classmethod
    def increment_step(cls, requester: str) -> int:
        """Count one step for ``requester``; the current step."""
        cls._steps[requester] = cls._steps.get(requester, cls._current_step) + 1
        cls._current_step = max(cls._current_step, cls._steps[requester])
        return cls._current_step

    @classmethod
    def current_step(cls) -> int:
        """The current step."""
        return cls._current_step


class MemRecordsAcc:
    """Records of memory ordered by their start, to look up those within an interval."""

    def __init__(self, mem_records: Any) -> None:
        self._records = sorted(mem_records, key=lambda r: r[0].start_ns())
        self._starts = [r[0].start_ns() for r in self._records]

    def in_interval(self, start_us: float, end_us: float) -> Iterator[Any]:
        """The records that start within the interval, in microseconds."""
        first = bisect.bisect_left(self._starts, start_us * 1000)
        last = bisect.bisect_right(self._starts, end_us * 1000)
        yield from self._records[first:last]


class _Elsewhere:
    """Marks for a vendor's profiler: nothing here can make them."""

    where = ""

    def __init__(self, enabled: bool = True, record_shapes: bool = False) -> None:
        self.enabled = enabled

    def __enter__(self) -> Any:
        if self.enabled:
            raise RuntimeError(f"{type(self).__name__} needs {self.where}; use torch.profiler.profile")
        return self

    def __exit__(self, *exc: object) -> None:
        pass


class emit_nvtx(_Elsewhere):
    """Context that marks calls for NVIDIA's profilers; not available."""

    where = "NVTX"


class emit_itt(_Elsewhere):
    """Context that marks calls for Intel's profilers; not available."""

    where = "ITT"
