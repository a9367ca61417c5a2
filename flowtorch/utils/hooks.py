"""Handles that remove hooks again, and the autograd nodes behind a module's backward hooks."""

from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from typing import Any, TypeVar

import flowtorch as torch

from ..tensor import Tensor

__all__ = ["BackwardHook", "RemovableHandle", "unserializable_hook", "warn_if_has_hooks"]

_F = TypeVar("_F")


class RemovableHandle:
    """Removes one hook from the dict that holds it (and from the dicts that hold its options).

    ``id`` is the key to store the hook under. Also a context manager that removes the hook on exit. The dicts
    are referenced weakly, so they must be of a kind that can be, such as OrderedDict.
    """

    id: int
    next_id: int = 0

    def __init__(self, hooks_dict: Any, *, extra_dict: Any = None) -> None:
        self.hooks_dict_ref = weakref.ref(hooks_dict)
        self.id = RemovableHandle.next_id
        RemovableHandle.next_id += 1
        extras = [extra_dict] if isinstance(extra_dict, dict) else extra_dict or ()
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extras)

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        for ref in (self.hooks_dict_ref, *self.extra_dict_ref):
            hooks = ref()
            if hooks is not None:
                hooks.pop(self.id, None)

    def __getstate__(self) -> tuple[Any, ...]:
        return self.hooks_dict_ref(), self.id, tuple(ref() for ref in self.extra_dict_ref)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        hooks, self.id = state[:2]
        extras = (state[2] if len(state) > 2 else None) or ()
        # A temporary dict gives a reference that is dead at once.
        self.hooks_dict_ref = weakref.ref(OrderedDict() if hooks is None else hooks)
        self.extra_dict_ref = tuple(weakref.ref(extra) for extra in extras)
        RemovableHandle.next_id = max(RemovableHandle.next_id, self.id + 1)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, type: Any, value: Any, tb: Any) -> None:
        self.remove()


def unserializable_hook(f: _F) -> _F:
    """Mark ``f`` as a hook that may be left out silently when its tensor is saved."""
    f.__torch_unserializable__ = True  # type: ignore[attr-defined]
    return f


def warn_if_has_hooks(tensor: Tensor) -> None:
    """Warn of each backward hook of ``tensor`` that saving it would lose."""
    for hook in (tensor._backward_hooks or {}).values():
        if not hasattr(hook, "__torch_unserializable__"):
            warnings.warn(
                f"backward hook {hook!r} on tensor will not be serialized.  If this is expected, you can "
                "decorate the function with @torch.utils.hooks.unserializable_hook to suppress this warning",
                stacklevel=2,
            )


def _identity_function() -> Any:
    """The autograd function that marks a module's border (made on first use: autograd loads later)."""
    global _BackwardHookFunction
    if _BackwardHookFunction is None:

        class BackwardHookFunction(torch.autograd.Function):
            @staticmethod
            def forward(ctx: Any, *args: Tensor) -> tuple[Tensor, ...]:
                ctx.mark_non_differentiable(*[arg for arg in args if not arg.requires_grad])
                return args

            @staticmethod
            def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, ...]:
                return grads

        _BackwardHookFunction = BackwardHookFunction
    return _BackwardHookFunction


_BackwardHookFunction: Any = None


class BackwardHook:
    """One call of a module that has full backward (pre-)hooks.

    Identity nodes are put in front of the module's tensor arguments and behind its tensor results. The one
    behind sees the gradients of the results first (pre-hooks run there); the one in front then sees those of
    the arguments, and runs the hooks with both. Positions that hold no tensor read None.
    """

    def __init__(self, module: Any, user_hooks: list[Any], user_pre_hooks: list[Any]) -> None:
        self.module = module
        self.user_hooks = user_hooks
        self.user_pre_hooks = user_pre_hooks
        self.grad_outputs: tuple[Any, ...] | None = None
        self.n_inputs = -1
        self.n_outputs = -1
        self.input_tensors_index: list[int] | None = None
        self.output_tensors_index: list[int] | None = None

    def setup_input_hook(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """Put the node in front of the arguments; returns the arguments to call ``forward`` with."""
        args, self.input_tensors_index, node = _pass_through_node(args)
        self.n_inputs = len(args)
        if node is not None:
            node.register_hook(self._at_inputs)
        return args

    def setup_output_hook(self, result: Any) -> Any:
        """Put the node behind the result; returns the result to hand to the caller."""
        results = result if isinstance(result, tuple) else (result,)
        results, self.output_tensors_index, node = _pass_through_node(results)
        self.n_outputs = len(results)
        if node is not None:
            node.register_hook(self._at_outputs)
        return results if isinstance(result, tuple) else results[0]

    def _at_outputs(self, _: Any, grad_output: tuple[Any, ...]) -> tuple[Any, ...]:
        assert self.output_tensors_index is not None
        grads = _spread(self.output_tensors_index, grad_output, self.n_outputs)
        for hook in self.user_pre_hooks:
            changed = hook(self.module, grads)
            if changed is None:
                continue
            if len(changed) != self.n_outputs:
                raise RuntimeError(
                    "Backward pre hook returned an invalid number of grad_output, "
                    f"got {len(changed)}, but expected {self.n_outputs}"
                )
            grads = changed
        if self.input_tensors_index is None:
            self._run_without_inputs(grads)
        else:
            self.grad_outputs = grads
        return tuple(grads[i] for i in self.output_tensors_index)

    def _run_without_inputs(self, grads: tuple[Any, ...]) -> None:
        """No argument needs a gradient: no node stands in front, so the hooks run behind the module."""
        warnings.warn(
            "Full backward hook is firing when gradients are computed with respect to module outputs since "
            "no inputs require gradients. See "
            "https://docs.pytorch.org/docs/main/generated/torch.nn.Module.html"
            "#torch.nn.Module.register_full_backward_hook for more details.",
            stacklevel=5,
        )
        for hook in self.user_hooks:
            result = hook(self.module, (None,) * self.n_inputs, grads)
            if result is not None and not (
                isinstance(result, tuple) and all(item is None for item in result)
            ):
                raise RuntimeError(
                    "Backward hook for Modules where no input requires gradient should always return None or "
                    "None for all gradients."
                )

    def _at_inputs(self, grad_input: tuple[Any, ...], _: Any) -> tuple[Any, ...] | None:
        if self.grad_outputs is None:
            # The gradient came to the arguments by a way around the results, as in a double backward.
            return None
        assert self.input_tensors_index is not None
        grads: Any = _spread(self.input_tensors_index, grad_input, self.n_inputs)
        for hook in self.user_hooks:
            changed = hook(self.module, grads, self.grad_outputs)
            if changed is None:
                continue
            if len(changed) != len(grads):
                raise RuntimeError(
                    "Backward hook returned an invalid number of grad_input, "
                    f"got {len(changed)}, but expected {len(grads)}"
                )
            grads = changed
        self.grad_outputs = None
        return tuple(grads[i] for i in self.input_tensors_index)


def _spread(positions: list[int], values: Any, size: int) -> tuple[Any, ...]:
    """A tuple of ``size`` Nones with ``values`` at ``positions``."""
    spread = [None] * size
    for position, value in zip(positions, values, strict=True):
        spread[position] = value
    return tuple(spread)


def _pass_through_node(values: tuple[Any, ...]) -> tuple[tuple[Any, ...], list[int] | None, Any]:
    """Send the tensors among ``values`` through one identity node.

    Returns the new values, the positions of the tensors and the node; the last two are None where nothing is
    recorded.
    """
    positions = [i for i, value in enumerate(values) if isinstance(value, Tensor)]
    if not (torch.is_grad_enabled() and any(values[i].requires_grad for i in positions)):
        return values, None, None
    passed = _identity_function().apply(*[values[i] for i in positions])
    new = list(values)
    for position, tensor in zip(positions, passed, strict=True):
        new[position] = tensor
    node = next(tensor.grad_fn for tensor in passed if tensor.requires_grad)
    return (tuple(new) if type(values) is tuple else type(values)(*new)), positions, node
