"""The tape: nodes, the backward engine, grad modes, user-defined functions and gradient checks (torch.autograd)."""
from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "engine": ("backward", "grad"),
    "mode": ("enable_grad", "inference_mode", "no_grad", "set_grad_enabled"),
    "grad_mode": ("set_multithreading_enabled",),
    "function": ("Function", "NestedIOFunction"),
    "check": ("gradcheck", "gradgradcheck", "GradcheckError"),
    "anomaly": ("detect_anomaly", "set_detect_anomaly"),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}
_SUBMODULES = {
    "anomaly_mode",
    "forward_ad",
    "functional",
    "grad_mode",
    "graph",
    "profiler",
    "profiler_legacy",
    "profiler_util",
    "provenance",
    "variable",
}


def __getattr__(name: str) -> Any:
    # On first use: the fast path needs node and mode alone, and import time counts.
    if name in _HOME_OF:
        value = getattr(importlib.import_module(f"flowtorch.autograd.{_HOME_OF[name]}"), name)
        globals()[name] = value
        return value
    if name == "enforce_grad_layout_policy":
        from flowtorch.autograd.mode import enforce_grad_layout_policy

        return enforce_grad_layout_policy
    if name == "Variable":
        from flowtorch.autograd.variable import Variable

        return Variable
    if name in _SUBMODULES:
        return importlib.import_module(f"flowtorch.autograd.{name}")
    raise AttributeError(f"module 'torch.autograd' has no attribute '{name}'")
