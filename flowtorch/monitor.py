"""Events that a program logs about itself, and statistics over intervals of time that become events."""

from __future__ import annotations

import enum
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

__all__ = [
    "Aggregation", "Event", "EventHandlerHandle", "Stat", "TensorboardEventHandler", "data_value_t", "log_event",
    "register_event_handler", "unregister_event_handler",
]  # fmt: skip

STAT_EVENT = "torch.monitor.Stat"


class Aggregation(enum.Enum):
    """What a Stat computes of the values of an interval."""

    VALUE = 1
    MEAN = 2
    COUNT = 3
    SUM = 4
    MAX = 5
    MIN = 6


class data_value_t:
    """The types of an event's values: str, float, int, bool."""


class Event:
    """Something that happened: its kind, when, and values by name."""

    def __init__(self, name: str, timestamp: datetime, data: dict[str, Any]) -> None:
        self.name, self.timestamp, self.data = name, timestamp, data


class EventHandlerHandle:
    """What ``register_event_handler`` gives, to unregister the handler by."""

    def __init__(self, handler: Callable[[Event], Any]) -> None:
        self._handler = handler


_handlers: list[EventHandlerHandle] = []


def register_event_handler(callback: Callable[[Event], Any]) -> EventHandlerHandle:
    """Call ``callback(event)`` for every event that is logged.

    >>> from datetime import datetime
    >>> import flowtorch as torch
    >>> seen = []
    >>> handle = torch.monitor.register_event_handler(lambda event: seen.append(event.name))
    >>> torch.monitor.log_event(torch.monitor.Event("epoch", datetime.now(), {"loss": 0.5}))
    >>> torch.monitor.unregister_event_handler(handle)
    >>> seen
    ['epoch']
    """
    handle = EventHandlerHandle(callback)
    _handlers.append(handle)
    return handle


def unregister_event_handler(handle: EventHandlerHandle) -> None:
    """Call a handler no more."""
    if handle in _handlers:
        _handlers.remove(handle)


def log_event(event: Event) -> None:
    """Give an event to every handler."""
    for handle in tuple(_handlers):
        handle._handler(event)


class Stat:
    """Aggregates what is added during each ``window_size``, and logs the aggregates when the window has passed."""

    def __init__(
        self,
        name: str,
        aggregations: Sequence[Aggregation],
        window_size: timedelta,
        max_samples: int = sys.maxsize,
    ) -> None:
        self._name, self._aggregations = name, tuple(dict.fromkeys(aggregations))
        self._window, self._most = window_size.total_seconds(), max_samples
        self._values: list[float] = []
        self._result = dict.fromkeys(self._aggregations, 0.0)
        self._logged = False
        self._end = time.monotonic() + self._window

    @property
    def name(self) -> str:
        """The name that the aggregates are logged under."""
        return self._name

    @property
    def count(self) -> int:
        """How many values the present window has."""
        self._pass_time()
        return len(self._values)

    def add(self, v: float) -> None:
        """Add a value to the present window, unless it has ``max_samples`` already."""
        self._pass_time()
        if self._logged:
            return
        self._values.append(float(v))
        if len(self._values) >= self._most:
            self._log()
            self._logged = True

    def get(self) -> dict[Aggregation, float]:
        """The aggregates of the last window that has passed."""
        self._pass_time()
        return dict(self._result)

    def _pass_time(self) -> None:
        now = time.monotonic()
        if now < self._end:
            return
        if not self._logged:
            self._log()
        self._logged = False
        self._end = now + self._window

    def _log(self) -> None:
        self._result = {a: _aggregate(a, self._values) for a in self._aggregations}
        if not self._values:
            return
        self._values = []
        data = {f"{self._name}.{a.name.lower()}": value for a, value in self._result.items()}
        log_event(Event(STAT_EVENT, datetime.now(), data))

    def __del__(self) -> None:
        if getattr(self, "_values", None):
            self._log()


def _aggregate(aggregation: Aggregation, values: list[float]) -> float:
    if aggregation is Aggregation.COUNT:
        return float(len(values))
    if not values:
        return 0.0
    if aggregation is Aggregation.VALUE:
        return values[-1]
    if aggregation is Aggregation.MEAN:
        return sum(values) / len(values)
    if aggregation is Aggregation.SUM:
        return float(sum(values))
    return max(values) if aggregation is Aggregation.MAX else min(values)


class TensorboardEventHandler:
    """A handler that writes statistics as scalars to a SummaryWriter."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer

    def __call__(self, event: Event) -> None:
        if event.name == STAT_EVENT:
            for name, value in event.data.items():
                if not isinstance(value, (int, float)):
                    raise TypeError(f"expected numeric value type for {name}, got {type(value)}")
                self._writer.add_scalar(name, value, walltime=event.timestamp.timestamp())
