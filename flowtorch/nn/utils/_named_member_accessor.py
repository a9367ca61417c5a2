"""Reading, setting and swapping the tensors of a module by their dotted paths."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from ...tensor import Tensor
from ..module import Module

_MISSING: Any = object()


def _check(kind: str, module: Any, name: str) -> None:
    if not isinstance(module, Module):
        raise TypeError(f"{module} is not an instance of torch.nn.Module")
    if "." in name:
        raise KeyError(f'{kind} name can\'t contain "."')
    if name == "":
        raise KeyError(f'{kind} name can\'t be empty string ""')


def _check_tensor(tensor: Any, start: str = "") -> None:
    if tensor is not _MISSING and tensor is not None and not isinstance(tensor, Tensor):
        raise TypeError(f"{start}{tensor} is not an instance of torch.Tensor")


def set_tensor(module: Module, name: str, tensor: Tensor | None) -> None:
    """Put ``tensor`` into the place of a parameter or buffer, whatever its class, or into an attribute."""
    _check("tensor", module, name)
    _check_tensor(tensor)
    for table in (module._parameters, module._buffers):
        if name in table:
            table[name] = tensor
            return
    setattr(module, name, tensor)


def swap_tensor(module: Module, name: str, tensor: Any, allow_missing: bool = False) -> Any:
    """Like ``set_tensor``, and return what was there; the missing mark stands for nothing, both ways."""
    _check("tensor", module, name)
    _check_tensor(tensor)
    for table in (module._parameters, module._buffers):
        if name in table:
            old = table[name]
            if tensor is _MISSING:
                del table[name]
            else:
                table[name] = tensor
            return old
    old = getattr(module, name, _MISSING)
    if old is _MISSING and not allow_missing:
        raise AttributeError(f"{module._get_name()} has no attribute `{name}`")
    _check_tensor(old, f"attribute `{name}`: ")
    if tensor is not _MISSING:
        setattr(module, name, tensor)
    elif hasattr(module, name):
        delattr(module, name)
    return old


def swap_submodule(module: Module, name: str, submodule: Module) -> Module:
    """Put ``submodule`` into the place of another, and return that one."""
    _check("submodule", module, name)
    if not isinstance(submodule, Module):
        raise TypeError(f"{submodule} is not an instance of torch.nn.Module")
    if name not in module._modules:
        raise KeyError(f"submodule {name} does not exist")
    old = module._modules[name]
    if not isinstance(old, Module):
        raise TypeError(f"{name} attribute is not an instance of torch.nn.Module")
    module._modules[name] = submodule
    return old


class NamedMemberAccessor:
    """Access to the submodules and tensors of ``module`` by dotted path; submodules are looked up once."""

    def __init__(self, module: Module) -> None:
        self.module = module
        self.memo: dict[str, Module] = {}

    def get_submodule(self, name: str) -> Module:
        """Return the submodule at the path ``name``."""
        if not name:
            return self.module
        if name not in self.memo:
            path, _, attribute = name.rpartition(".")
            parent = self.get_submodule(path)
            try:
                found = getattr(parent, attribute)
            except AttributeError as error:
                raise AttributeError(f"{parent._get_name()} has no attribute `{attribute}`") from error
            if not isinstance(found, Module):
                raise TypeError(f"submodule `{name}`: {found} is not an instance of torch.nn.Module")
            self.memo[name] = found
        return self.memo[name]

    def _split(self, name: str) -> tuple[Module, str]:
        path, _, attribute = name.rpartition(".")
        return self.get_submodule(path), attribute

    def swap_submodule(self, path: str, value: Module) -> Module:
        """Put ``value`` at ``path``, and return the module that was there."""
        return swap_submodule(*self._split(path), value)

    def get_tensor(self, name: str) -> Any:
        """Return the tensor at the path ``name``."""
        module, attribute = self._split(name)
        try:
            found = getattr(module, attribute)
        except AttributeError as error:
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`") from error
        _check_tensor(found)
        return found

    def set_tensor(self, name: str, value: Tensor | None) -> None:
        """Put ``value`` at the path ``name``."""
        set_tensor(*self._split(name), value)

    def del_tensor(self, name: str) -> None:
        """Delete the tensor at the path ``name``."""
        module, attribute = self._split(name)
        try:
            delattr(module, attribute)
        except AttributeError as error:
            raise AttributeError(f"{module._get_name()} has no attribute `{name}`") from error

    def swap_tensor(self, name: str, value: Any, allow_missing: bool = False) -> Any:
        """Put ``value`` at the path ``name``, and return what was there."""
        return swap_tensor(*self._split(name), value, allow_missing=allow_missing)

    def get_tensors(self, names: Iterable[str]) -> list[Any]:
        """Return the tensors at several paths."""
        return [self.get_tensor(name) for name in names]

    def set_tensors(self, names: Iterable[str], values: Iterable[Any]) -> None:
        """Put tensors at several paths."""
        for name, value in _paired(names, values):
            self.set_tensor(name, value)

    def set_tensors_dict(self, named_tensors: dict[str, Any]) -> None:
        """Put the tensors of a dict at its paths."""
        for name, value in named_tensors.items():
            self.set_tensor(name, value)

    def del_tensors(self, names: Iterable[str]) -> None:
        """Delete the tensors at several paths."""
        for name in names:
            self.del_tensor(name)

    def swap_tensors(
        self, names: Iterable[str], values: Iterable[Any], allow_missing: bool = False
    ) -> list[Any]:
        """Put tensors at several paths, and return what was there."""
        return [self.swap_tensor(name, value, allow_missing) for name, value in _paired(names, values)]

    def swap_tensors_dict(
        self, named_tensors: dict[str, Any], allow_missing: bool = False
    ) -> tuple[dict[str, Any], list[str]]:
        """Put the tensors of a dict at its paths; returns what was there, and the paths that held nothing.

        Where it raises, everything is as it was.
        """
        old: dict[str, Any] = {}
        try:
            for name, tensor in named_tensors.items():
                old[name] = self.swap_tensor(name, tensor, allow_missing=True)
            missing = [name for name, tensor in old.items() if tensor is _MISSING]
            if missing and not allow_missing:
                raise RuntimeError(f"Missing key(s): {', '.join(map(repr, missing))}.")
        except Exception:
            for name, tensor in old.items():
                self.swap_tensor(name, tensor, allow_missing=True)
            raise
        return old, missing

    def check_keys(self, keys: Iterable[str]) -> tuple[list[str], list[str]]:
        """Return the paths of tensors that are missing in ``keys``, and those that are too many."""
        given = set(keys)
        known = {name for name, _ in self.named_tensors(remove_duplicate=False)}
        return sorted(known - given), sorted(given - known)

    def named_parameters(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield path and tensor of each parameter."""
        yield from self.module.named_parameters(remove_duplicate=remove_duplicate)

    def named_buffers(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield path and tensor of each buffer."""
        yield from self.module.named_buffers(remove_duplicate=remove_duplicate)

    def named_tensors(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Tensor]]:
        """Yield path and tensor of each parameter, then of each buffer."""
        yield from self.named_parameters(remove_duplicate)
        yield from self.named_buffers(remove_duplicate)

    def named_modules(self, remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """Yield path and module of each submodule."""
        yield from self.module.named_modules(remove_duplicate=remove_duplicate)


def _paired(names: Iterable[str], values: Iterable[Any]) -> list[tuple[str, Any]]:
    names, values = list(names), list(values)
    if len(names) != len(values):
        raise AssertionError(
            f"names and values must have the same length, got {len(names)} names and {len(values)} values"
        )
    return list(zip(names, values, strict=True))
