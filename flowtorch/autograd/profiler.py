"""The former interface of the profiler: ``profile`` and ``record_function`` by the module that had them first."""

from __future__ import annotations

from typing import Any

from flowtorch.profiler.events import EventList, FunctionEvent, Recorder, record_function

__all__ = ["EventList", "FunctionEvent", "profile", "record_function"]


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
