"""The hooks of modules: those of one module, those of all modules, and the call that runs them."""

from __future__ import annotations

import functools
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..tensor import Tensor
from ..utils.hooks import BackwardHook, RemovableHandle

# Hooks of all modules. The dicts are changed in place and never replaced, so every importer sees the same
# ones.
_global_buffer_registration_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_module_registration_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_parameter_registration_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_backward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_backward_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_is_full_backward_hook: bool | None = None
_global_forward_pre_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks: OrderedDict[int, Callable] = OrderedDict()
_global_forward_hooks_always_called: OrderedDict[int, bool] = OrderedDict()
_global_forward_hooks_with_kwargs: OrderedDict[int, bool] = OrderedDict()

_MIXED_HOOKS = (
    "Cannot use both regular backward hooks and full backward hooks as a global Module hook. "
    "Please use only one of them."
)


def _store(hook: Callable, hooks: OrderedDict, prepend: bool = False, **options: Any) -> RemovableHandle:
    """Put ``hook`` into ``hooks``; each option is a pair (wanted, dict of the hooks that have it)."""
    flags = [flag for _, flag in options.values()]
    handle = RemovableHandle(hooks, extra_dict=flags)
    hooks[handle.id] = hook
    for wanted, flag in options.values():
        if wanted:
            flag[handle.id] = True
    if prepend:
        hooks.move_to_end(handle.id, last=False)
    return handle


def register_module_buffer_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, buffer)`` at every buffer registration; a result replaces the buffer."""
    return _store(hook, _global_buffer_registration_hooks)


def register_module_module_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, submodule)`` at every module registration; a result replaces the module."""
    return _store(hook, _global_module_registration_hooks)


def register_module_parameter_registration_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, name, param)`` at every parameter registration; a result replaces the parameter."""
    return _store(hook, _global_parameter_registration_hooks)


def register_module_forward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, args)`` before the forward of every module; a result replaces ``args``."""
    return _store(hook, _global_forward_pre_hooks)


def register_module_forward_hook(
    hook: Callable[..., Any], *, with_kwargs: bool = False, always_call: bool = False
) -> RemovableHandle:
    """Run ``hook(module, args, output)`` after the forward of every module; a result replaces ``output``."""
    return _store(
        hook,
        _global_forward_hooks,
        with_kwargs=(with_kwargs, _global_forward_hooks_with_kwargs),
        always_call=(always_call, _global_forward_hooks_always_called),
    )


def register_module_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Deprecated: run ``hook(module, grad_input, grad_output)`` at the last node of each module."""
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is True:
        raise RuntimeError(_MIXED_HOOKS)
    _global_is_full_backward_hook = False
    return _store(hook, _global_backward_hooks)


def register_module_full_backward_pre_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, grad_output)`` before every module's backward; a result replaces the gradients."""
    return _store(hook, _global_backward_pre_hooks)


def register_module_full_backward_hook(hook: Callable[..., Any]) -> RemovableHandle:
    """Run ``hook(module, grad_input, grad_output)`` after the backward of every module."""
    global _global_is_full_backward_hook
    if _global_is_full_backward_hook is False:
        raise RuntimeError(_MIXED_HOOKS)
    _global_is_full_backward_hook = True
    return _store(hook, _global_backward_hooks)


def _has_any_global_hook() -> Any:
    """Whether calls of modules have any global hook to run."""
    return (
        _global_backward_pre_hooks
        or _global_backward_hooks
        or _global_forward_pre_hooks
        or _global_forward_hooks
    )


class _WrappedHook:
    """A hook that is given its module first, without keeping the module alive."""

    def __init__(self, hook: Callable, module: Any = None) -> None:
        self.hook = hook
        functools.update_wrapper(self, hook)
        self.with_module = module is not None
        if module is not None:
            self.module = weakref.ref(module)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.with_module:
            return self.hook(*args, **kwargs)
        module = self.module()
        if module is None:
            raise RuntimeError("You are trying to call the hook of a dead Module!")
        return self.hook(module, *args, **kwargs)

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = {"hook": self.hook, "with_module": self.with_module}
        if self.with_module:
            state["module"] = self.module()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.hook = state["hook"]
        self.with_module = state["with_module"]
        if self.with_module:
            if state["module"] is None:
                raise RuntimeError("You are trying to revive the hook of a dead Module!")
            self.module = weakref.ref(state["module"])


class _ModuleHooks:
    """The part of Module that registers hooks and makes a call with hooks."""

    _forward_pre_hooks: OrderedDict[int, Callable]
    _forward_pre_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks: OrderedDict[int, Callable]
    _forward_hooks_with_kwargs: OrderedDict[int, bool]
    _forward_hooks_always_called: OrderedDict[int, bool]
    _backward_pre_hooks: OrderedDict[int, Callable]
    _backward_hooks: OrderedDict[int, Callable]
    _is_full_backward_hook: bool | None
    forward: Callable[..., Any]

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Run ``hook(module, args)`` before ``forward``; a result replaces the arguments.

        With ``with_kwargs`` it is ``hook(module, args, kwargs)``, which returns None or ``(args, kwargs)``.
        """
        return _store(
            hook,
            self._forward_pre_hooks,
            prepend,
            with_kwargs=(with_kwargs, self._forward_pre_hooks_with_kwargs),
        )

    def register_forward_hook(
        self,
        hook: Callable[..., Any],
        *,
        prepend: bool = False,
        with_kwargs: bool = False,
        always_call: bool = False,
    ) -> RemovableHandle:
        """Run ``hook(module, args, output)`` after ``forward``; a result replaces the output.

        With ``with_kwargs`` it is ``hook(module, args, kwargs, output)``; with ``always_call`` it runs even
        when ``forward`` raises.
        """
        return _store(
            hook,
            self._forward_hooks,
            prepend,
            with_kwargs=(with_kwargs, self._forward_hooks_with_kwargs),
            always_call=(always_call, self._forward_hooks_always_called),
        )

    def register_full_backward_pre_hook(
        self, hook: Callable[..., Any], prepend: bool = False
    ) -> RemovableHandle:
        """Run ``hook(module, grad_output)`` before the backward; a result replaces ``grad_output``."""
        return _store(hook, self._backward_pre_hooks, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Run ``hook(module, grad_input, grad_output)`` after the backward; a result replaces ``grad_input``.

        Only positional tensor arguments count; the others, and results that are no tensors, read None.
        ``forward`` gets views of its arguments, and they and its results must not be changed in place.
        """
        self._claim_backward_hooks(full=True)
        return _store(hook, self._backward_hooks, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """Deprecated: run ``hook(module, grad_input, grad_output)`` at the last node of ``forward``."""
        self._claim_backward_hooks(full=False)
        return _store(hook, self._backward_hooks)

    def _claim_backward_hooks(self, full: bool) -> None:
        if self._is_full_backward_hook not in (None, full):
            raise RuntimeError(
                "Cannot use both regular backward hooks and full backward hooks on a single Module. "
                "Please use only one of them."
            )
        self._is_full_backward_hook = full

    def _get_backward_hooks(self) -> tuple[list[Callable], list[Callable]]:
        """The full and the deprecated backward hooks of a call, global ones first."""
        found: dict[Any, list[Callable]] = {True: [], False: [], None: []}
        found[_global_is_full_backward_hook] += _global_backward_hooks.values()
        found[self._is_full_backward_hook] += self._backward_hooks.values()
        return found[True], found[False]

    def _get_backward_pre_hooks(self) -> list[Callable]:
        return [*_global_backward_pre_hooks.values(), *self._backward_pre_hooks.values()]

    def _call_with_hooks(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call ``forward`` between its hooks."""
        call = _HookedCall(self, args, kwargs)
        try:
            return call.run()
        except Exception:
            call.run_always_called()
            raise


class _HookedCall:
    """One call of a module with hooks: the arguments and the result as the hooks change them."""

    def __init__(self, module: _ModuleHooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        self.module = module
        self.args = args
        self.kwargs = kwargs
        self.result: Any = None
        self.ran: set[int] = set()

    def run(self) -> Any:
        module = self.module
        full_hooks, deprecated_hooks = module._get_backward_hooks()
        pre_hooks = module._get_backward_pre_hooks()
        self.run_forward_pre_hooks()
        border = BackwardHook(module, full_hooks, pre_hooks) if full_hooks or pre_hooks else None
        if border is not None:
            self.args = border.setup_input_hook(self.args)
        self.result = module.forward(*self.args, **self.kwargs)
        self.run_forward_hooks()
        if border is not None:
            if not isinstance(self.result, (Tensor, tuple)):
                warnings.warn(
                    "For backward hooks to be called, module output should be a Tensor or a tuple of Tensors "
                    f"but received {type(self.result)}",
                    stacklevel=5,
                )
            self.result = border.setup_output_hook(self.result)
        if deprecated_hooks:
            self.attach_deprecated(deprecated_hooks)
        return self.result

    def run_forward_pre_hooks(self) -> None:
        module = self.module
        for key, hook in (*_global_forward_pre_hooks.items(), *module._forward_pre_hooks.items()):
            if key in module._forward_pre_hooks_with_kwargs:
                changed = hook(module, self.args, self.kwargs)
                if changed is None:
                    continue
                if not (isinstance(changed, tuple) and len(changed) == 2):
                    raise RuntimeError(
                        "forward pre-hook must return None or a tuple of (new_args, new_kwargs), but got "
                        f"{changed}."
                    )
                self.args, self.kwargs = changed
            else:
                changed = hook(module, self.args)
                if changed is not None:
                    self.args = changed if isinstance(changed, tuple) else (changed,)

    def run_forward_hooks(self) -> None:
        module = self.module
        for key, hook in (*_global_forward_hooks.items(), *module._forward_hooks.items()):
            if key in module._forward_hooks_always_called or key in _global_forward_hooks_always_called:
                self.ran.add(key)
            self.run_forward_hook(key, hook)

    def run_forward_hook(self, key: int, hook: Callable) -> None:
        module = self.module
        if key in module._forward_hooks_with_kwargs or key in _global_forward_hooks_with_kwargs:
            changed = hook(module, self.args, self.kwargs, self.result)
        else:
            changed = hook(module, self.args, self.result)
        if changed is not None:
            self.result = changed

    def run_always_called(self) -> None:
        """After an exception, run the hooks that asked for it and have not run; their errors only warn."""
        for kind, hooks, always in (
            ("global module", _global_forward_hooks, _global_forward_hooks_always_called),
            ("module", self.module._forward_hooks, self.module._forward_hooks_always_called),
        ):
            for key, hook in list(hooks.items()):
                if key not in always or key in self.ran:
                    continue
                try:
                    self.run_forward_hook(key, hook)
                except Exception as error:
                    warnings.warn(
                        f"{kind} forward hook with ``always_call=True`` raised an exception that was "
                        f"silenced as another error was raised in forward: {error}",
                        stacklevel=4,
                    )

    def attach_deprecated(self, hooks: list[Callable]) -> None:
        """Hang the deprecated backward hooks on the node of the first tensor of the result."""
        first = self.result
        while not isinstance(first, Tensor):
            first = (
                next(v for v in first.values() if isinstance(v, Tensor))
                if isinstance(first, dict)
                else first[0]
            )
        node = first.grad_fn
        if node is None:
            return
        for hook in hooks:
            node.register_hook(_WrappedHook(hook, self.module))
        complaint = _incomplete_gradients(self.args, self.result, node)
        if complaint is not None:
            warnings.warn(complaint, FutureWarning, stacklevel=5)


_FULL_HOOK_HINT = "Please use register_full_backward_hook to get the documented behavior."


def _incomplete_gradients(inputs: Any, result: Any, node: Any) -> str | None:
    """What a deprecated backward hook on ``node`` will not see, or None where it sees all."""
    results = (result,) if isinstance(result, Tensor) else result
    if not (isinstance(results, tuple) and all(isinstance(r, Tensor) for r in results)):
        return (
            "Using non-full backward hooks on a Module that does not return a single Tensor or a tuple of "
            "Tensors is deprecated and will be removed in future versions. This hook will be missing some of "
            "the grad_output. " + _FULL_HOOK_HINT
        )
    if not all(isinstance(i, Tensor) for i in inputs):
        return (
            "Using non-full backward hooks on a Module that does not take as input a single Tensor or a "
            "tuple of Tensors is deprecated and will be removed in future versions. This hook will be "
            "missing some of the "
            "grad_input. " + _FULL_HOOK_HINT
        )
    nodes = {r.grad_fn for r in results if r.grad_fn is not None}
    if len(nodes) > 1:
        return (
            "Using a non-full backward hook when outputs are generated by different autograd Nodes is "
            "deprecated and will be removed in future versions. This hook will be missing some grad_output. "
            + _FULL_HOOK_HINT
        )
    if node not in nodes:
        return (
            "Using a non-full backward hook when outputs are nested in python data structure is deprecated "
            "and will be removed in future versions. This hook will be missing some grad_output."
        )
    if {i.grad_fn for i in inputs if i.grad_fn is not None} != {edge[0] for edge in node.next_functions}:
        return (
            "Using a non-full backward hook when the forward contains multiple autograd Nodes is deprecated "
            "and will "
            "be removed in future versions. This hook will be missing some grad_input. " + _FULL_HOOK_HINT
        )
    return None
