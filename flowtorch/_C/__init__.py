"""Names that programs reach through ``torch._C``: what it answers about itself, and keys for operators' kernels."""

from __future__ import annotations

import enum
import importlib
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from flowtorch.ops.linalg_base import _LinAlgError as _LinAlgError
from flowtorch.overrides import (
    DisableTorchFunction as DisableTorchFunction,
)
from flowtorch.overrides import (
    DisableTorchFunctionSubclass as DisableTorchFunctionSubclass,
)
from flowtorch.overrides import (
    _disabled_torch_function_impl as _disabled_torch_function_impl,
)
from flowtorch.random import Generator as Generator

_GLIBCXX_USE_CXX11_ABI = True
_has_mkldnn = has_mkl = False
has_lapack = has_spectral = True  # numpy's and scipy's
has_cuda = _has_cuda = has_xpu = _has_xpu = has_mps = _has_mps = _has_cudnn = False

DispatchKey = enum.Enum(  # type: ignore[misc]
    "DispatchKey",
    "Undefined CPU CUDA XPU MPS Meta AutogradCPU AutogradCUDA Autograd AutocastCPU AutocastCUDA AutocastXPU "
    "AutocastMPS CompositeExplicitAutograd CompositeImplicitAutograd BackendSelect Python PythonDispatcher "
    "FuncTorchBatched FuncTorchGradWrapper ADInplaceOrView Functionalize Sparse SparseCPU SparseCUDA",
)


class DispatchKeySet:
    """A set of keys. flowtorch finds kernels by device alone, so sets choose nothing; they can be made and compared."""

    def __init__(self, keys: Any = ()) -> None:
        self.keys = frozenset(keys if isinstance(keys, Iterable) else (keys,))

    def __or__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.keys | other.keys)

    def __and__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.keys & other.keys)

    def __sub__(self, other: DispatchKeySet) -> DispatchKeySet:
        return DispatchKeySet(self.keys - other.keys)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, DispatchKeySet) and self.keys == other.keys

    def __hash__(self) -> int:
        return hash(self.keys)

    def has(self, key: Any) -> bool:
        """Whether a key is in the set."""
        return key in self.keys


def _get_tracing_state() -> None:
    """The trace being recorded: none."""


def _are_functorch_transforms_active() -> bool:
    """Whether a function transform is running in this thread."""
    from flowtorch.autograd.levels import levels

    return bool(levels.open)


def _log_api_usage_once(event: str) -> None:
    """Nothing is logged."""


def _get_privateuse1_backend_name() -> str:
    """The name of a backend of the program's own: the one that PyTorch starts with."""
    return "privateuseone"


def _get_accelerator(check: bool = False) -> Any:
    """The device of the accelerator, or the CPU's."""
    from flowtorch import accelerator, devices

    return accelerator.current_accelerator() or devices.device("cpu")


def _jit_can_fuse_on_cpu() -> bool:
    """Whether a compiler fuses calls: none does."""
    return False


_jit_can_fuse_on_gpu = _jit_texpr_fuser_enabled = _jit_nvfuser_enabled = _jit_can_fuse_on_cpu


def _jit_switch(value: Any = None) -> bool:
    """A setting of the compiler that is not there: returns False, what it was before."""
    return False


_jit_set_profiling_mode = _jit_set_profiling_executor = _jit_override_can_fuse_on_cpu = _jit_switch
_jit_override_can_fuse_on_gpu = _jit_set_texpr_fuser_enabled = _jit_set_nvfuser_enabled = _jit_switch
_jit_set_nvfuser_guard_mode = _jit_set_num_profiled_runs = _jit_set_bailout_depth = _jit_switch


class _Prefixed(ModuleType):
    """PyTorch's second names of a namespace's functions: ``_linalg.linalg_norm`` is ``linalg.norm``."""

    def __getattr__(self, name: str) -> Any:
        space, _, function = name.partition("_")
        if not self.__name__.endswith(f"._{space}") or not function:
            raise AttributeError(f"module '{self.__name__}' has no attribute '{name}'")
        return getattr(importlib.import_module(f"flowtorch.{space}"), function)


class _FunctionsByName(type):
    def __getattr__(cls, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        return getattr(importlib.import_module("flowtorch"), name)


class _VariableFunctionsClass(metaclass=_FunctionsByName):
    """Where PyTorch's pickles look for ``torch.relu`` and its like."""


def __getattr__(name: str) -> Any:
    if name == "TensorBase":
        from flowtorch.tensor import Tensor

        return Tensor
    if name == "_TensorMeta":
        from flowtorch.tensor import Tensor

        return type(Tensor)
    if name in ("PyTorchFileReader", "PyTorchFileWriter"):
        from flowtorch.serialization import container

        return getattr(container, name)
    if name == "_nn":
        return importlib.import_module("flowtorch._C._nn")
    if name in ("_fft", "_linalg", "_special"):
        return _Prefixed(f"torch._C.{name}")
    if name in ("Future", "Graph", "Value", "Node", "ScriptFunction", "ScriptModule"):
        from flowtorch import futures, jit

        return getattr(futures if name == "Future" else jit, name)
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
