"""What the profiler records: calls with their time, ranges that programs name, and tables of both."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
import os
import threading
import time
from typing import Any

from flowtorch.overrides import TorchFunctionMode
from flowtorch.tensor import Tensor

_recorders: list[Recorder] = []


class FunctionEvent:
    """A call or a range: its name, when it began and ended (microseconds), and what ran inside it."""

    def __init__(self, name: str, start: float, depth: int, shapes: list, scope: int = 0) -> None:
        self.name = self.key = name
        self.start, self.end, self.children_time = start, start, 0.0
        self.thread = threading.get_ident()
        self.depth, self.input_shapes, self.count = depth, shapes, 1
        self.is_user_annotation = scope == 7

    @property
    def cpu_time_total(self) -> float:
        """The time from beginning to end."""
        return self.end - self.start

    @property
    def self_cpu_time_total(self) -> float:
        """The time without that of the calls inside."""
        return self.cpu_time_total - self.children_time

    @property
    def cpu_time(self) -> float:
        """The time of one call."""
        return self.cpu_time_total / self.count

    device_time_total = self_device_time_total = cuda_time_total = self_cuda_time_total = 0.0

    def __repr__(self) -> str:
        return f"<FunctionEvent name={self.name} cpu_time={self.cpu_time:.3f}us count={self.count}>"


class FunctionEventAvg(FunctionEvent):
    """Calls of one name, added up."""

    def __init__(self, first: FunctionEvent) -> None:
        super().__init__(first.name, 0.0, 0, first.input_shapes, 7 if first.is_user_annotation else 0)
        self.count = 0

    def add(self, event: FunctionEvent) -> None:
        """Add a call."""
        self.end += event.cpu_time_total
        self.children_time += event.children_time
        self.count += event.count


class EventList(list):
    """Recorded calls in the order in which they ended."""

    @property
    def self_cpu_time_total(self) -> float:
        """The time of all calls."""
        return sum(e.self_cpu_time_total for e in self)

    def key_averages(self, group_by_input_shapes: bool = False, *args: Any, **options: Any) -> EventList:
        """Add up the calls of each name (and of each list of shapes)."""
        found: dict[Any, FunctionEventAvg] = {}
        for event in self:
            key = (event.name, str(event.input_shapes) if group_by_input_shapes else "")
            found.setdefault(key, FunctionEventAvg(event)).add(event)
        return EventList(found.values())

    def total_average(self) -> FunctionEventAvg:
        """All calls added up."""
        total = FunctionEventAvg(FunctionEvent("Total", 0.0, 0, []))
        for event in self:
            total.add(event)
        return total

    def table(self, sort_by: str | None = None, row_limit: int = 100, max_name_column_width: int = 55,
              header: str | None = None, top_level_events_only: bool = False, **options: Any) -> str:  # fmt: skip
        """Return a table; ``sort_by`` names a column such as "cpu_time_total" (a device's times are all 0)."""
        rows = list(self)
        if sort_by is not None:
            attribute = sort_by.replace("cuda", "device")
            rows.sort(key=lambda e: -getattr(e, attribute, 0.0))
        if row_limit >= 0:
            rows = rows[:row_limit]
        whole = self.self_cpu_time_total or 1.0
        heads = ("Name", "Self CPU %", "Self CPU", "CPU total %", "CPU total", "CPU time avg", "# of Calls")
        body = [
            (e.name[:max_name_column_width], f"{100 * e.self_cpu_time_total / whole:.2f}%",
             _time(e.self_cpu_time_total), f"{100 * e.cpu_time_total / whole:.2f}%", _time(e.cpu_time_total),
             _time(e.cpu_time), str(e.count))
            for e in rows
        ]  # fmt: skip
        widths = [max(len(row[k]) for row in [heads, *body]) for k in range(len(heads))]
        line = "  ".join("-" * w for w in widths)
        shown = ["  ".join(cell.rjust(w) for cell, w in zip(row, widths, strict=True)) for row in [heads, *body]]
        text = [line, shown[0], line, *shown[1:], line, f"Self CPU time total: {_time(whole)}"]
        return "\n".join(([header] if header else []) + text) + "\n"

    def export_chrome_trace(self, path: str, metadata: dict | None = None) -> None:
        """Write the calls in the format of Chrome's trace viewer."""
        events = [
            {"ph": "X", "cat": "user_annotation" if e.is_user_annotation else "cpu_op", "name": e.name,
             "pid": os.getpid(), "tid": e.thread, "ts": e.start, "dur": e.cpu_time_total,
             "args": {"Input Dims": e.input_shapes} if e.input_shapes else {}}
            for e in self
        ]  # fmt: skip
        text = json.dumps({"schemaVersion": 1, "traceEvents": events, **(metadata or {})})
        opener: Any = gzip.open if path.endswith(".gz") else open
        with opener(path, "wt") as file:
            file.write(text)


def _time(microseconds: float) -> str:
    if microseconds >= 1e6:
        return f"{microseconds / 1e6:.3f}s"
    return f"{microseconds / 1e3:.3f}ms" if microseconds >= 1e3 else f"{microseconds:.3f}us"


class Recorder(TorchFunctionMode):
    """Sees every public call of its thread while it is on."""

    def __init__(self, shapes: bool) -> None:
        self.shapes = shapes
        self.events = EventList()
        self.open: list[FunctionEvent] = []

    def start(self) -> None:
        """Begin to record."""
        _recorders.append(self)
        self.__enter__()

    def stop(self) -> EventList:
        """End, and return what was recorded."""
        self.__exit__(None, None, None)
        _recorders.remove(self)
        while self.open:
            self.end()
        return self.events

    def begin(self, name: str, shapes: list, scope: int = 0) -> None:
        """Note that a call begins."""
        self.open.append(FunctionEvent(name, time.perf_counter_ns() / 1000, len(self.open), shapes, scope))

    def end(self) -> None:
        """Note that the innermost call ends."""
        event = self.open.pop()
        event.end = time.perf_counter_ns() / 1000
        if self.open:
            self.open[-1].children_time += event.cpu_time_total
        self.events.append(event)

    def __torch_function__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        shapes = [list(a.shape) if isinstance(a, Tensor) else [] for a in args] if self.shapes else []
        name = getattr(func, "__name__", str(func))
        self.begin(f"aten::{name.strip('_') if name.startswith('__') else name}", shapes)
        try:
            return func(*args, **(kwargs or {}))
        finally:
            self.end()


class record_function(contextlib.ContextDecorator):
    """A named range of calls, as a context or a decorator; costs next to nothing while no profiler is on."""

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name, self.args = name, args

    def __enter__(self) -> record_function:
        self.seen = list(_recorders)
        for recorder in self.seen:
            recorder.begin(self.name, [], scope=7)
        return self

    def __exit__(self, *exc: object) -> None:
        for recorder in self.seen:
            if recorder.open:
                recorder.end()

    def __call__(self, func: Any) -> Any:
        name, args = self.name, self.args

        @functools.wraps(func)
        def ranged(*a: Any, **k: Any) -> Any:
            with record_function(name, args):
                return func(*a, **k)

        return ranged
