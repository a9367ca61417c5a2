"""Composites under their own public names: how modes and subclasses get to see functions that have no op record.

A composite is a plain Python function, and asking in each whether somebody listens would cost every call. Instead
its code is exchanged while somebody does: the function object that everybody holds stays the same, and runs the
original code on its own once nobody has taken the call.
"""

from __future__ import annotations

import inspect
import threading
from collections.abc import Callable, Iterator
from types import CodeType, FunctionType
from typing import Any

from flowtorch import overrides
from flowtorch.ops.op import COMPOSITES, REGISTRY
from flowtorch.tensor import Tensor

# Composites that make tensors themselves rather than through a primitive: dispatch modes are shown these.
MAKERS = frozenset(
    [
        "empty",
        "zeros",
        "ones",
        "full",
        "arange",
        "rand",
        "randn",
        "randint",
        "randperm",
        "linspace",
        "logspace",
        "eye",
        "scalar_tensor",
        "empty_like",
        "zeros_like",
        "ones_like",
        "full_like",
        "rand_like",
        "randn_like",
        "randint_like",
        "new_empty",
        "new_zeros",
        "new_ones",
        "new_full",
        "empty_strided",
        "detach",
    ]
)
# Functions that PyTorch shows to nobody.
UNSEEN = frozenset(("is_tensor", "is_storage", "get_default_dtype", "set_default_dtype"))

_lock = threading.Lock()
_holders = 0
_exchanged: dict[Any, tuple[CodeType, CodeType]] = {}  # function -> (own code, intercepting code)

_originals: dict[Any, Callable] = {}


def original_of(function: Any) -> Callable | None:
    """What an intercepted composite does once nobody has taken the call; None for other functions."""
    return _originals.get(function)


def hold() -> None:
    """Show composites to modes and subclasses from now on, for one more listener."""
    global _holders
    with _lock:
        _holders += 1
        for record in list(COMPOSITES.values()):
            for function in (record.public, getattr(record, "public_inplace", None)):
                if function is not None and record.name not in UNSEEN:
                    _prepare(record.name, function)
        for name, function in _wrappers().items():
            _prepare(name, function)
        for function, (_, code) in _exchanged.items():
            function.__code__ = code


def _wrappers() -> dict[str, Any]:
    """Functions of nn.functional that are neither composites nor ops: ``relu`` with its ``inplace``, and the like."""
    from flowtorch.nn import functional

    ops = {op.public for op in REGISTRY.values()}
    return {
        name: f
        for name, f in vars(functional).items()
        if type(f) is FunctionType and f.__module__.startswith(("flowtorch", "torch")) and f not in ops
        if not name.startswith("_") and "torch_function" not in name and name not in ("composite", "boolean_dispatch")
    }


def drop() -> None:
    """The reverse of ``hold``."""
    global _holders
    with _lock:
        _holders -= 1
        if _holders == 0:
            for function, (code, _) in _exchanged.items():
                function.__code__ = code


def _prepare(name: str, function: Any) -> None:
    if function in _exchanged or not isinstance(function, FunctionType):
        return
    own = function.__code__
    if "__signature__" not in function.__dict__:
        function.__signature__ = inspect.signature(function)  # type: ignore[attr-defined]
    original = FunctionType(own, function.__globals__, function.__name__, function.__defaults__, function.__closure__)
    original.__kwdefaults__ = function.__kwdefaults__
    _originals[function] = original
    _exchanged[function] = own, _code(_interceptor(name, function, original), own)


def _code(interceptor: Callable, own: CodeType) -> CodeType:
    """Code that calls ``interceptor``, with as many free variables as the code that it stands in for."""
    source = "def stand_in(*_args, **_kwargs):\n    _taken = '@'\n    return _taken(*_args, **_kwargs)\n"
    if own.co_freevars:
        names = ", ".join(own.co_freevars)
        inner = source.replace("    _taken =", f"    if False: ({names},)\n    _taken =", 1).replace("\n", "\n    ")
        source = f"def make({names}):\n    {inner}"
    code: CodeType = compile(source, "<op intercepted>", "exec")
    while code.co_name != "stand_in":
        code = next(c for c in code.co_consts if isinstance(c, CodeType))
    constants = tuple(interceptor if c == "@" else c for c in code.co_consts)
    return code.replace(co_consts=constants, co_name=own.co_name)  # type: ignore[arg-type]


def _interceptor(name: str, function: Any, original: Callable) -> Callable:
    makes = name in MAKERS
    state = overrides.state

    def call(*args: Any, **kwargs: Any) -> Any:
        if name == "einsum" and len(args) == 2 and isinstance(args[1], (list, tuple)):
            args = (args[0], *args[1])  # PyTorch shows the operands one by one, however they were given
        if overrides.symbolic and (taken := overrides.symbolic[-1](function, args, kwargs)) is not NotImplemented:
            return taken
        relevant = list(_operands(args, kwargs))
        if (state.modes or relevant) and overrides.has_torch_function(relevant):
            return overrides.handle_torch_function(function, relevant, *args, **kwargs)
        if makes and overrides.dispatch_classes:
            special = [a for a in relevant if type(a) in overrides.dispatch_classes]
            if special:
                from flowtorch.utils._python_dispatch import handle_maker

                cls: Any = type(special[0])
                return handle_maker(cls.__torch_dispatch__, (cls,), name, args, kwargs)
        if makes and state.below:
            return _made(name, function, args, kwargs, original)
        return original(*args, **kwargs)

    return call


def _operands(args: tuple, kwargs: dict) -> Iterator[Any]:
    """What among the arguments may have ``__torch_function__``, lists of tensors included; plain tensors are not."""
    for a in (*args, *kwargs.values()) if kwargs else args:
        kind = type(a)
        if kind is Tensor:
            continue
        if hasattr(kind, "__torch_function__"):
            yield a
        elif kind in (list, tuple) and a and hasattr(type(a[0]), "__torch_function__"):
            yield from (x for x in a if type(x) is not Tensor and hasattr(type(x), "__torch_function__"))


def _made(name: str, function: Callable, args: tuple, kwargs: dict, original: Callable) -> Any:
    """Hand a call that makes a tensor to the innermost of those who see what happens below autograd."""
    state = overrides.state
    stack = state.below
    state.below = stack[:-1]
    try:
        show = getattr(stack[-1], "maker", None)
        return original(*args, **kwargs) if show is None else show(name, function, args, kwargs)
    finally:
        state.below = stack
