"""What a profile holds, by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.profiler.events import EventList as EventList
from flowtorch.profiler.events import FunctionEvent as FunctionEvent

__all__ = ["EventList", "FunctionEvent"]
