"""The parts of a trace under PyTorch's names, for tracers of other libraries that write ``trace`` themselves."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flowtorch.nn.module import Module

from ._patching import Patcher
from ._recording import watching

_orig_module_call: Callable[..., Any] = Module.__call__
_orig_module_getattr: Callable[..., Any] = Module.__getattr__


class ScriptObject:
    """What objects of TorchScript's classes are instances of; there are none, since nothing is compiled."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError("ScriptObject: TorchScript's classes are not compiled; use the Python class itself")


class _Patcher(Patcher):
    """The context of a trace: inside, calls with proxies are recorded and modules' attributes can be seen."""

    def __enter__(self) -> _Patcher:
        from ._symbolic_trace import see_attributes

        self._watching = watching()
        self._watching.__enter__()
        see_attributes(self)
        return self

    def __exit__(self, *exc: Any) -> None:
        super().__exit__(*exc)
        self._watching.__exit__(*exc)


def _patch_wrapped_functions(patcher: Patcher) -> None:
    """Exchange all functions and methods that ``wrap`` has marked."""
    patcher.patch_wrapped()


def _autowrap_check(patcher: Patcher, frame_dict: dict[str, Any], function_ids: set[int]) -> None:
    """Exchange those global functions of a module that are always to be recorded."""
    patcher.autowrap(frame_dict, function_ids)
