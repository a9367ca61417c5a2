"""Reading ``self.weight`` or ``self.layer`` without the detour through ``Module.__getattr__``.

Parameters, buffers and submodules live in dicts of the module, where everybody may look and change them.
Python gets there only after the ordinary lookup has failed, with an exception on the way, which takes four
times as long as all the rest. So the class of a module gets, for each name that its modules register, a
descriptor that looks into the dict. It keeps nothing itself, and attributes of the instance and of subclasses
come before it. It stands only where the name means nothing else to the class, its bases and its subclasses,
and where nobody has replaced ``__getattr__``; so what an attribute is never depends on it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

# A class whose modules register ever new names gains nothing from more of these.
_LIMIT = 64


class Shortcut:
    """Finds what a module holds under ``name``."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def missing(self, cls: type) -> AttributeError:
        """The error that leads on to ``__getattr__``, or that says that the class has no such attribute."""
        return AttributeError(f"type object '{cls.__name__}' has no attribute '{self.name}'")


class ParameterShortcut(Shortcut):
    """Finds a parameter."""

    __slots__ = ()

    def __get__(self, module: Any, cls: type) -> Any:
        if module is None:
            raise self.missing(cls)
        try:
            return module._parameters[self.name]
        except KeyError:
            raise self.missing(cls) from None


class BufferShortcut(Shortcut):
    """Finds a buffer."""

    __slots__ = ()

    def __get__(self, module: Any, cls: type) -> Any:
        if module is not None and self.name in (held := module._buffers):
            return held[self.name]
        raise self.missing(cls)


class ModuleShortcut(Shortcut):
    """Finds a submodule."""

    __slots__ = ()

    def __get__(self, module: Any, cls: type) -> Any:
        if module is not None and self.name in (held := module._modules):
            return held[self.name]
        raise self.missing(cls)


def shorten(cls: Any, name: str, kind: type[Shortcut]) -> None:
    """Give ``cls`` a shortcut to ``name``, unless it has one or must not have one."""
    if any(name in base.__dict__ for base in cls.__mro__) or not name.isidentifier():
        return
    if any(_forbids(sub, name) for sub in _with_subclasses(cls)):
        return
    names = cls.__dict__.get("_shortcuts")
    if names is None:
        names = cls._shortcuts = set()
    if len(names) < _LIMIT:
        names.add(name)
        setattr(cls, name, kind(name))


def withdraw(cls: Any) -> None:
    """Take those shortcuts from the bases of the new class ``cls`` that it forbids."""
    for base in cls.__mro__[1:]:
        for name in shortcuts_on(base):
            if _forbids(cls, name):
                delattr(base, name)
                base._shortcuts.remove(name)


def shortcuts_on(cls: type) -> list[str]:
    """The names of the shortcuts that stand on ``cls`` itself."""
    return [name for name in cls.__dict__.get("_shortcuts", ()) if isinstance(cls.__dict__.get(name), Shortcut)]


def _with_subclasses(cls: Any) -> Iterator[Any]:
    yield cls
    for sub in cls.__subclasses__():
        yield from _with_subclasses(sub)


def _forbids(cls: Any, name: str) -> bool:
    """Whether ``name`` may mean something else to ``cls``: by some base, or by its own ``__getattr__``."""
    from .module import Module

    if cls.__getattr__ is not Module.__getattr__:
        return True
    return any(name in base.__dict__ and not isinstance(base.__dict__[name], Shortcut) for base in cls.__mro__[1:])
