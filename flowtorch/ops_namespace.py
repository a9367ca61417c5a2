"""``torch.ops``: operators by namespace and name, PyTorch's own under ``aten`` and those that programs define."""

from __future__ import annotations

import contextlib
import importlib
import sys
import threading
import types
from collections.abc import Iterator
from typing import Any, NoReturn

_custom: dict[tuple[str, str], Any] = {}


def register(namespace: str, name: str, op: Any) -> None:
    """Make an operator known as ``torch.ops.<namespace>.<name>``."""
    _custom[namespace, name] = op
    # A namespace may have the name of a family of ours, which is what torch.ops.<name> gives then.
    place = sys.modules.get(f"flowtorch.ops.{namespace}") or getattr(ops, namespace)
    vars(place)[name] = OpOverloadPacket(namespace, name, op)


def is_defined(namespace: str, name: str) -> bool:
    """Say whether a program has defined an operator."""
    return (namespace, name) in _custom


def custom(namespace: str, name: str) -> Any:
    """Return the operator that a program has defined; RuntimeError if there is none."""
    if (namespace, name) not in _custom:
        raise RuntimeError(f"operator {namespace}::{name} does not exist")
    return _custom[namespace, name]


class _Standing(threading.local):
    """The primitive's own function that an overload stands for in the running ``__torch_dispatch__``."""

    pair: tuple = (None, None)


_standing = _Standing()


@contextlib.contextmanager
def standing_for(func: Any, function: Any) -> Iterator[None]:
    """In the block a call of the overload ``func`` is a call of ``function``, whose parameters may differ."""
    previous, _standing.pair = _standing.pair, (func, function)
    try:
        yield
    finally:
        _standing.pair = previous


class OpOverload:
    """One form of an operator: a callable. All forms of one are the same function here."""

    def __init__(self, packet: OpOverloadPacket, overload: str):
        self._packet, self._overloadname = packet, overload
        self.namespace, self._opname = packet.namespace, packet.__name__
        self.__name__ = f"{packet.__name__}.{overload}"

    @property
    def overloadpacket(self) -> OpOverloadPacket:
        """The operator with all its forms."""
        return self._packet

    def name(self) -> str:
        """The name with its namespace."""
        tail = "" if self._overloadname == "default" else f".{self._overloadname}"
        return f"{self.namespace}::{self._packet.__name__}{tail}"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        func, function = _standing.pair
        return (function if func is self else self._packet.function)(*args, **kwargs)

    def __repr__(self) -> str:
        return f"<OpOverload(op='{self.namespace}.{self._packet.__name__}', overload='{self._overloadname}')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"


class OpOverloadPacket:
    """An operator: a callable, with its forms as attributes (``add.Tensor``, ``add.default``)."""

    def __init__(self, namespace: str, name: str, function: Any):
        self.namespace, self.__name__, self.function = namespace, name, function

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __getattr__(self, overload: str) -> OpOverload:
        if overload.startswith("_"):
            raise AttributeError(f"'{self}' object has no attribute '{overload}'")
        made = self.__dict__[overload] = OpOverload(self, overload)
        return made

    def __repr__(self) -> str:
        return f"<OpOverloadPacket(op='{self.namespace}.{self.__name__}')>"

    def __str__(self) -> str:
        return f"{self.namespace}.{self.__name__}"


class _OpNamespace(types.ModuleType):
    def __init__(self, name: str):
        super().__init__(f"torch.ops.{name}")
        self.namespace = name

    def __getattr__(self, name: str) -> OpOverloadPacket:
        found = None
        if not name.startswith("__"):
            found = _custom.get((self.namespace, name)) or (_builtin(name) if self.namespace == "aten" else None)
        if found is None:
            raise AttributeError(f"'_OpNamespace' '{self.namespace}' object has no attribute '{name}'")
        made = self.__dict__[name] = OpOverloadPacket(self.namespace, name, found)
        return made


def _alias(input: Any) -> Any:
    return input.view(input.shape)


def _convolution(input: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, transposed: bool,
                 output_padding: Any, groups: int, *backend: bool) -> Any:
    return sys.modules["flowtorch"].convolution(  # type: ignore[attr-defined]
        input, weight, bias, stride, padding, dilation, transposed, output_padding, groups
    )


def _convolution_backward(grad_output: Any, input: Any, weight: Any, bias_sizes: Any, stride: Any, padding: Any,
                          dilation: Any, transposed: bool, output_padding: Any, groups: int, output_mask: Any) -> Any:
    root: Any = sys.modules["flowtorch"]
    with root.enable_grad():
        bias = root.zeros(weight.shape[1] * groups if transposed else weight.shape[0], dtype=weight.dtype)
        leaves = [t.detach().requires_grad_() for t in (input, weight, bias)]
        out = root.convolution(*leaves, stride, padding, dilation, transposed, output_padding, groups)
        grads = root.autograd.grad(out, leaves, grad_output)
    return tuple(g if wanted else None for g, wanted in zip(grads, output_mask, strict=True))


def _index(input: Any, indices: Any) -> Any:
    return input[tuple(slice(None) if i is None else i for i in indices)]


def _pin_memory(input: Any, device: Any = None) -> Any:
    return input.pin_memory()


def _slice(input: Any, dim: int = 0, start: Any = None, end: Any = None, step: int = 1) -> Any:
    return input[(slice(None),) * (dim % input.dim()) + (slice(start, end, step),)]


def _sparse_addmm(input: Any, mat1: Any, mat2: Any, *, beta: Any = 1, alpha: Any = 1) -> Any:
    return input.addmm(mat1, mat2, beta=beta, alpha=alpha)


def _to_copy(input: Any, *, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None,
             non_blocking: bool = False, memory_format: Any = None) -> Any:
    given = {} if memory_format is None else {"memory_format": memory_format}
    return input.to(device or input.device, dtype or input.dtype, non_blocking, True, **given)


# Operators that have no function or method of their name.
_UNNAMED = {
    "alias": _alias, "index": _index, "_pin_memory": _pin_memory, "slice": _slice, "_sparse_addmm": _sparse_addmm,
    "_to_copy": _to_copy, "_convolution": _convolution, "convolution_backward": _convolution_backward,
}  # fmt: skip


def _builtin(name: str) -> Any:
    """Return the function or method that an operator of PyTorch's own stands for."""
    if name in _UNNAMED:
        return _UNNAMED[name]
    root = sys.modules["flowtorch"]
    for prefix, module in (("linalg_", "linalg"), ("fft_", "fft"), ("special_", "special")):
        if name.startswith(prefix):
            return getattr(importlib.import_module(f"flowtorch.{module}"), name.removeprefix(prefix), None)
    for owner in (root, importlib.import_module("flowtorch.nn.functional"), root.Tensor):
        function = getattr(owner, name, None)
        if callable(function) and not isinstance(function, (type, types.ModuleType)):
            return function
    return None


class _Ops(types.ModuleType):
    """The root of the namespaces: every name is one, as in PyTorch."""

    def __init__(self) -> None:
        super().__init__("torch.ops")
        self.loaded_libraries: set[str] = set()

    def __getattr__(self, name: str) -> _OpNamespace:
        if name.startswith("__"):
            raise AttributeError(name)
        made = self.__dict__[name] = _OpNamespace(name)
        return made

    def __iter__(self) -> Iterator[str]:
        return iter(name for name, value in vars(self).items() if isinstance(value, _OpNamespace))

    def load_library(self, path: str) -> NoReturn:
        """Load operators compiled against PyTorch: not supported."""
        raise OSError(
            f"torch.ops.load_library({path!r}): flowtorch cannot run operators compiled against PyTorch; define them "
            "in Python with torch.library.custom_op"
        )

    import_module = staticmethod(importlib.import_module)


ops = _Ops()
