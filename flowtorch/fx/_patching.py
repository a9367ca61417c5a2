"""Functions and methods that are exchanged while a program is traced."""

from __future__ import annotations

import builtins
import functools
from collections.abc import Callable
from typing import Any

from ._recording import find_proxy

# (id of the globals, name) -> the globals of a module that has marked a function with ``wrap``.
_wrapped_fns_to_patch: dict[tuple[int, str], dict[str, Any]] = {}
_wrapped_methods_to_patch: list[tuple[type, str]] = []


class Patcher:
    """Puts functions in the place of others, and at the end of the context puts those back."""

    def __init__(self) -> None:
        self._undo: list[Callable[[], None]] = []
        self._visited: set[int] = set()

    def __enter__(self) -> Patcher:
        return self

    def __exit__(self, *exc: object) -> None:
        while self._undo:
            self._undo.pop()()

    def patch(self, names: dict[str, Any], name: str, new: Callable) -> None:
        """Exchange a global function; a builtin is hidden by a global of its name."""
        if name not in names:
            names[name] = new
            self._undo.append(lambda: names.pop(name))
        elif not getattr(names[name], "_flowtorch_traced", False):
            old, names[name] = names[name], new
            self._undo.append(lambda: names.__setitem__(name, old))
        new._flowtorch_traced = True  # type: ignore[attr-defined]

    def patch_method(self, cls: type, name: str, new: Callable, deduplicate: bool = True) -> None:
        """Exchange a method of a class; whatever ``deduplicate`` says, once more in each nested trace."""
        old = cls.__dict__.get(name)
        setattr(cls, name, new)
        self._undo.append(lambda: delattr(cls, name) if old is None else setattr(cls, name, old))

    def autowrap(self, names: dict[str, Any], function_ids: set[int]) -> None:
        """Exchange those global functions of a module that are always to be recorded."""
        if id(names) in self._visited:
            return
        self._visited.add(id(names))
        for name, value in list(names.items()):
            if not name.startswith("_") and callable(value) and id(value) in function_ids:
                self.patch(names, name, recorded(value))

    def patch_wrapped(self) -> None:
        """Exchange all functions and methods that ``wrap`` has marked."""
        for (_, name), names in list(_wrapped_fns_to_patch.items()):
            function = names[name] if name in names else getattr(builtins, name)
            self.patch(names, name, recorded(function))
        for cls, name in _wrapped_methods_to_patch:
            self.patch_method(cls, name, _recorded_method(getattr(cls, name), name))


def recorded(function: Callable) -> Callable:
    """``function``, except that a call with proxies becomes a node."""

    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy((args, kwargs))
        if proxy is None:
            return function(*args, **kwargs)
        result = proxy.tracer.create_proxy("call_function", function, args, kwargs)
        result.node.meta["is_wrapped"] = True
        return result

    return wrapped


def _recorded_method(function: Callable, name: str) -> Callable:
    @functools.wraps(function)
    def wrapped(*args: Any, **kwargs: Any) -> Any:
        proxy = find_proxy((args, kwargs))
        if proxy is None:
            return function(*args, **kwargs)
        return proxy.tracer.create_proxy("call_method", name, args, kwargs)

    return wrapped
