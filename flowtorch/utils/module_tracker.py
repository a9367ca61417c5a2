"""Which modules' calls are running, in forward and in backward."""

from __future__ import annotations

import weakref
from typing import Any

from flowtorch.autograd.engine import current
from flowtorch.autograd.graph import register_multi_grad_hook
from flowtorch.autograd.mode import is_grad_enabled
from flowtorch.nn.module_hooks import register_module_forward_hook, register_module_forward_pre_hook
from flowtorch.tensor import Tensor
from flowtorch.utils._pytree import tree_leaves

__all__ = ["ModuleTracker"]


class ModuleTracker:
    """Context whose ``parents`` holds the full names of the modules that are being called, and ``Global``."""

    def __init__(self) -> None:
        self._running = {"Global"}
        self._names: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
        self._known: weakref.WeakSet[Any] = weakref.WeakSet()
        self._hooks: list[Any] = []
        self._pass = 0

    @property
    def parents(self) -> set[str]:
        """The names of the modules in whose calls, or whose part of backward, this moment falls."""
        if self._pass and not self.is_bw:  # inputs that need no gradient do not say when their module's part ends
            self._pass = 0
            self._running.intersection_update(("Global",))
        return self._running

    @property
    def is_bw(self) -> bool:
        """Whether a backward pass is running."""
        return current.pass_id != 0

    def __enter__(self) -> ModuleTracker:
        self._hooks = [
            register_module_forward_pre_hook(self._before),
            register_module_forward_hook(self._after, always_call=True),
        ]
        return self

    def __exit__(self, *exc: object) -> None:
        for hook in self._hooks:
            hook.remove()

    def _name(self, module: Any) -> str:
        """The name below the outermost module that was called."""
        if module not in self._known:
            for name, inner in module.named_modules(prefix=type(module).__name__):
                if inner not in self._known:
                    self._names[inner] = name
                    self._known.add(inner)
        return self._names[module]

    def _before(self, module: Any, inputs: Any) -> None:
        name = self._name(module)
        self.parents.add(name)
        self._on_gradients(inputs, lambda _: self._running.discard(name))

    def _after(self, module: Any, inputs: Any, output: Any) -> None:
        name = self._name(module)
        self._running.discard(name)
        self._on_gradients(output, lambda _: self._enter_backward(name))

    def _enter_backward(self, name: str) -> None:
        self._pass = current.pass_id
        self._running.add(name)

    def _on_gradients(self, tensors: Any, call: Any) -> None:
        if is_grad_enabled():
            wanted = [t for t in tree_leaves(tensors) if isinstance(t, Tensor) and t.requires_grad]
            if wanted:
                register_multi_grad_hook(wanted, call)
