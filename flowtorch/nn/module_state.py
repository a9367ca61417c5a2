"""State dicts: writing a module's parameters and buffers into a dict, and reading them back."""

from __future__ import annotations

import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

import flowtorch as torch

from ..tensor import Tensor
from ..utils.hooks import RemovableHandle
from .module_hooks import _WrappedHook
from .parameter import Parameter, is_lazy

_EXTRA_STATE_KEY_SUFFIX = "_extra_state"


class _Keys(NamedTuple):
    missing_keys: list[str]
    unexpected_keys: list[str]


class _IncompatibleKeys(_Keys):
    """What ``load_state_dict`` returns: the keys that were missing and those that were not expected."""

    __slots__ = ()

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return super().__repr__()

    __str__ = __repr__


class _Load:
    """One ``load_state_dict``: what is collected over the whole tree of modules."""

    def __init__(self, metadata: Any, assign: bool) -> None:
        self.metadata = metadata
        self.assign = assign
        self.missing: list[str] = []
        self.unexpected: list[str] = []
        self.errors: list[str] = []

    def visit(self, module: Any, state_dict: Any, prefix: str = "") -> None:
        local_metadata = {} if self.metadata is None else self.metadata.get(prefix[:-1], {})
        if self.assign:
            local_metadata["assign_to_params_buffers"] = True
        module._load_from_state_dict(
            state_dict, prefix, local_metadata, True, self.missing, self.unexpected, self.errors
        )
        for name, child in module._modules.items():
            if child is not None:
                below = prefix + name + "."
                self.visit(child, {k: v for k, v in state_dict.items() if k.startswith(below)}, below)

        keys = _IncompatibleKeys(self.missing, self.unexpected)
        for hook in module._load_state_dict_post_hooks.values():
            if hook(module, keys) is not None:
                raise AssertionError(
                    "Hooks registered with ``register_load_state_dict_post_hook`` are not expected to return "
                    "new values, if incompatible_keys need to be modified, it should be done inplace."
                )

    def all_errors(self, strict: bool) -> list[str]:
        """The errors of the visit, after those of missing and unexpected keys if ``strict``."""
        found = []
        for kind, keys in (("Missing", self.missing), ("Unexpected", self.unexpected)):
            if strict and keys:
                found.append(f"{kind} key(s) in state_dict: {', '.join(map(_quoted, keys))}. ")
        return found + self.errors


def _quoted(key: str) -> str:
    return f'"{key}"'


class _ModuleState:
    """The part of Module that deals in state dicts."""

    T_destination = TypeVar("T_destination", bound=dict[str, Any])

    _version: int
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]
    _non_persistent_buffers_set: set[str]
    _state_dict_hooks: OrderedDict[int, Callable]
    _state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_pre_hooks: OrderedDict[int, Callable]
    _load_state_dict_post_hooks: OrderedDict[int, Callable]

    def get_extra_state(self) -> Any:
        """Return what else belongs into the state dict; override together with ``set_extra_state``."""
        raise RuntimeError(
            "Reached a code path in Module.get_extra_state() that should never be called: a module overrides "
            "get_extra_state() and set_extra_state() together."
        )

    def set_extra_state(self, state: Any) -> None:
        """Take back what ``get_extra_state`` returned; override together with it."""
        raise RuntimeError(
            "Reached a code path in Module.set_extra_state() that should never be called: a module overrides "
            "get_extra_state() and set_extra_state() together."
        )

    def _overrides(self, method: str) -> bool:
        return getattr(type(self), method) is not getattr(_ModuleState, method)

    def _register_state_dict_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Run ``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict``.

        A result replaces the state dict, at the module that ``state_dict`` was called on only.
        """
        if getattr(hook, "_from_public_api", False):
            raise RuntimeError(
                "Cannot register the same function as the state dict post hook that was previously "
                "registered via register_state_dict_post_hook"
            )
        handle = RemovableHandle(self._state_dict_hooks)
        self._state_dict_hooks[handle.id] = hook
        return handle

    def register_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, state_dict, prefix, local_metadata)`` after ``state_dict``; it returns None."""
        # Both kinds share one dict, which others look into; the mark tells them apart.
        hook._from_public_api = True  # type: ignore[attr-defined]
        handle = RemovableHandle(self._state_dict_hooks)
        self._state_dict_hooks[handle.id] = hook
        return handle

    def register_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, prefix, keep_vars)`` before ``state_dict``."""
        handle = RemovableHandle(self._state_dict_pre_hooks)
        self._state_dict_pre_hooks[handle.id] = hook
        return handle

    def _register_load_state_dict_pre_hook(
        self, hook: Callable[..., None], with_module: bool = False
    ) -> RemovableHandle:
        """Run ``hook`` before this module's part of a state dict is loaded; it may get the module first."""
        handle = RemovableHandle(self._load_state_dict_pre_hooks)
        self._load_state_dict_pre_hooks[handle.id] = _WrappedHook(hook, self if with_module else None)
        return handle

    def register_load_state_dict_pre_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook`` before this module's part of a state dict is loaded.

        Its arguments: module, state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
        error_msgs.
        """
        return self._register_load_state_dict_pre_hook(hook, with_module=True)

    def register_load_state_dict_post_hook(self, hook: Callable[..., None]) -> RemovableHandle:
        """Run ``hook(module, incompatible_keys)`` after loading; it may change the two lists in place."""
        handle = RemovableHandle(self._load_state_dict_post_hooks)
        self._load_state_dict_post_hooks[handle.id] = hook
        return handle

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Return a dict of all parameters and persistent buffers, detached unless ``keep_vars``.

        Keys are the paths of the tensors, after ``prefix``. ``_metadata`` on the dict keeps each module's
        version.
        """
        if args:
            warnings.warn(
                "Positional args are being deprecated, use kwargs instead. Refer to "
                "https://pytorch.org/docs/main/generated/torch.nn.Module.html#torch.nn.Module.state_dict for "
                "details.",
                FutureWarning,
                stacklevel=2,
            )
            given = dict(zip(("destination", "prefix", "keep_vars"), args, strict=False))
            destination = given["destination"] if destination is None else destination
            prefix = prefix or given.get("prefix", "")
            keep_vars = keep_vars or given.get("keep_vars", False)
        if destination is None:
            destination = OrderedDict()
            destination._metadata = OrderedDict()  # type: ignore[attr-defined]
        local_metadata = {"version": self._version}
        if hasattr(destination, "_metadata"):
            destination._metadata[prefix[:-1]] = local_metadata

        for hook in self._state_dict_pre_hooks.values():
            hook(self, prefix, keep_vars)
        self._save_to_state_dict(destination, prefix, keep_vars)
        for name, child in self._modules.items():
            if child is not None:
                child.state_dict(destination=destination, prefix=prefix + name + ".", keep_vars=keep_vars)
        for hook in self._state_dict_hooks.values():
            result = hook(self, destination, prefix, local_metadata)
            if result is None:
                continue
            if getattr(hook, "_from_public_api", False):
                raise RuntimeError("state_dict post-hook must return None")
            destination = result
        return destination

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        """Write this module's own state, without its children's; override to write another form of it."""
        for name, tensor in self._local_state():
            destination[prefix + name] = tensor if keep_vars else tensor.detach()
        if self._overrides("get_extra_state"):
            destination[prefix + _EXTRA_STATE_KEY_SUFFIX] = self.get_extra_state()

    def _local_state(self) -> Iterator[tuple[str, Any]]:
        """The parameters and persistent buffers of this module itself that are not None."""
        for name, param in self._parameters.items():
            if param is not None:
                yield name, param
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._non_persistent_buffers_set:
                yield name, buffer

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> _IncompatibleKeys:
        """Copy the tensors of ``state_dict`` into this module's parameters and buffers.

        ``strict`` demands that the keys match; ``assign`` puts the tensors themselves in place instead of
        copying. Raises a RuntimeError that lists everything that did not fit.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        # Hooks may change the dict, so it is a copy that goes around.
        copied: Any = OrderedDict(state_dict)
        metadata = getattr(state_dict, "_metadata", None)
        if metadata is not None:
            copied._metadata = metadata

        load = _Load(metadata, assign)
        load.visit(self, copied)
        errors = load.all_errors(strict)
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(
                    type(self).__name__, "\n\t".join(errors)
                )
            )
        return _IncompatibleKeys(load.missing, load.unexpected)

    def _load_from_state_dict(
        self,
        state_dict: Any,
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        unexpected_keys: list[str],
        error_msgs: list[str],
    ) -> None:
        """Read this module's own state, without its children's; override to read other forms of it.

        Keys that are missing or not expected and messages of errors are added to the lists given.
        """
        for hook in self._load_state_dict_pre_hooks.values():
            hook(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys, error_msgs)

        local_state = dict(self._local_state())
        assign = local_metadata.get("assign_to_params_buffers", False)
        for name, current in local_state.items():
            key = prefix + name
            if key in state_dict:
                error = self._load_tensor(key, name, current, state_dict[key], assign)
                if error is not None:
                    error_msgs.append(error)
            elif strict:
                missing_keys.append(key)

        extra_key = prefix + _EXTRA_STATE_KEY_SUFFIX
        if self._overrides("set_extra_state"):
            if extra_key in state_dict:
                self.set_extra_state(state_dict[extra_key])
            elif strict:
                missing_keys.append(extra_key)
        elif strict and extra_key in state_dict:
            unexpected_keys.append(extra_key)
        if strict:
            known = [key for key in state_dict if key.startswith(prefix) and key != extra_key]
            unexpected_keys.extend(self._unexpected(known, prefix, local_state))

    def _unexpected(self, keys: Iterable[str], prefix: str, local_state: dict[str, Any]) -> Iterator[str]:
        for key in keys:
            name, dot, _ = key[len(prefix) :].partition(".")
            if name not in (self._modules if dot else local_state):
                yield key

    def _load_tensor(self, key: str, name: str, current: Tensor, given: Any, assign: bool) -> str | None:
        """Bring ``given`` into the parameter or buffer ``name``; returns what went wrong, if anything."""
        if not (isinstance(given, Tensor) or hasattr(type(given), "__torch_function__")):
            return (
                f'While copying the parameter named "{key}", expected torch.Tensor or Tensor-like object '
                f"from checkpoint but received {type(given)}"
            )
        lazy = is_lazy(current)
        if not lazy:
            if len(current.shape) == 0 and len(given.shape) == 1 and given.shape[0] == 1:
                given = given[0]  # very old checkpoints have scalars with one dimension
            if given.shape != current.shape:
                return (
                    f"size mismatch for {key}: copying a param with shape {given.shape} from checkpoint, "
                    f"the shape in current model is {current.shape}."
                )
        if current.is_meta and not given.is_meta and not assign:
            warnings.warn(
                f"for {key}: copying from a non-meta parameter in the checkpoint to a meta parameter in the "
                "current model, which is a no-op. (Did you mean to pass `assign=True` to assign items in the "
                "state dictionary to their corresponding key in the module instead of copying them in "
                "place?)",
                stacklevel=2,
            )
        swap = torch.__future__.get_swap_module_params_on_conversion()
        try:
            with torch.no_grad():
                if swap:
                    _swap_in(current, given, assign)
                elif assign:
                    setattr(self, name, _as_parameter(given, current))
                else:
                    current.copy_(given)
        except Exception as error:
            return (
                f'While {"swapping" if swap else "copying"} the parameter named "{key}", '
                f"whose dimensions in the model are {current.size()} and "
                f"whose dimensions in the checkpoint are {given.size()}, "
                f"an exception occurred : {error.args}."
            )
        return None


def _as_parameter(given: Any, current: Tensor) -> Any:
    """``given``, as a parameter that needs a gradient like ``current``, if ``current`` is a parameter."""
    if not isinstance(current, Parameter):
        return given
    if isinstance(given, Parameter):
        return given.requires_grad_(current.requires_grad)
    return Parameter(given, requires_grad=current.requires_grad)


def _swap_in(current: Tensor, given: Any, assign: bool) -> None:
    """Let ``current`` and what ``module_load`` makes of ``given`` change places."""
    loaded = current.module_load(given, assign=assign)
    if loaded is given or loaded is current:
        raise RuntimeError(
            "module_load returned one of self or other, please .detach() the result if returning one of the "
            "inputs in module_load"
        )
    torch.utils.swap_tensors(current, _as_parameter(loaded, current))
