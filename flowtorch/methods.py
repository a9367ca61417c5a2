"""Tensor methods of autograd: backward, hooks, grad, grad_fn."""
from __future__ import annotations

import warnings
import weakref
from collections import OrderedDict
from typing import Any

from flowtorch import legacy_names, overrides
from flowtorch.autograd.engine import backward
from flowtorch.autograd.gradient_dtype import gradient_dtype, set_gradient_dtype
from flowtorch.autograd.node import Output, edge, node_hooks, node_of
from flowtorch.errors import c_name
from flowtorch.native import calls
from flowtorch.ops.op import REGISTRY
from flowtorch.tensor import Tensor
from flowtorch.utils.hooks import RemovableHandle


def _backward(self: Tensor, gradient: Any = None, retain_graph: bool | None = None, create_graph: bool = False,
              inputs: Any = None) -> None:
    """Add to the ``grad`` of every leaf the gradient of this tensor, weighted by ``gradient``.

    RuntimeError if this tensor has several elements and no ``gradient`` is given, if it needs no gradient, or if the
    graph was used before without ``retain_graph=True``.

    >>> x = torch.tensor([1.0, 2.0], requires_grad=True)
    >>> (x ** 2).backward(torch.ones(2))
    >>> x.grad
    tensor([2., 4.])
    """
    if overrides.active and overrides.has_torch_function((self,)):
        return overrides.handle_torch_function(Tensor.backward, (self,), self, gradient=gradient,   # type: ignore[attr-defined]
                                               retain_graph=retain_graph, create_graph=create_graph, inputs=inputs)
    if edge(self) is None:
        raise RuntimeError("element 0 of tensors does not require grad and does not have a grad_fn: nothing it was "
                           "computed from requires a gradient, or it was detached, or computed under no_grad()")
    backward((self,), None if gradient is None else (gradient,), retain_graph, create_graph, inputs=inputs)
    return None


def _grad_fn(self: Tensor) -> Any:
    """The node that made this tensor, None for leaves."""
    e = edge(self) if self._view is not None else self._node
    return None if isinstance(e, Tensor) else node_of(e)


def _get_grad(self: Tensor) -> Tensor | None:
    """The gradient accumulated by ``backward``, None before.

    >>> x = torch.ones(2, requires_grad=True)
    >>> (3 * x).sum().backward()
    >>> x.grad
    tensor([3., 3.])
    """
    if self._grad is None and self._requires_grad and self._node is not None and not self.retains_grad:   # type: ignore[attr-defined]
        warnings.warn("The .grad attribute of a Tensor that is not a leaf Tensor is being accessed. Its .grad "
                      "attribute won't "
                      "be populated during autograd.backward(). If you indeed want the .grad field to be populated "
                      "for a "
                      "non-leaf Tensor, use .retain_grad() on the non-leaf Tensor.", UserWarning, stacklevel=2)
    return self._grad


def _set_grad(self: Tensor, value: Any) -> None:
    if value is not None:
        if not isinstance(value, Tensor):
            raise TypeError("assigned grad expected to be a Tensor or None but got grad of type "
                            f"{type(value).__name__}")
        if value is self:
            raise RuntimeError("can't assign Variable as its own grad")
        wanted = gradient_dtype(self) if self._node is None else self._type.dtype
        if value._type.dtype is not wanted and wanted is not None:
            raise RuntimeError(f"attempting to assign a gradient with dtype '{c_name(value.dtype)}' to a tensor with "
                               f"grad_dtype '{wanted.label}'. The gradient must match the tensor's grad_dtype (its "
                               "dtype unless set).")
        if value._type.device != self._type.device:
            raise RuntimeError(f"attempting to assign a gradient located on device with type '{value.device.type}' to "
                               "a tensor "
                               f"located on device with type '{self.device.type}'. Please ensure that the gradient "
                               "and the tensor "
                               "are on the same device")
        if value.shape != self.shape:
            raise RuntimeError(f"attempting to assign a gradient of size '{list(value.shape)}' to a tensor of size "
                               f"'{list(self.shape)}'. Please ensure that the gradient and the tensor are the same "
                               "size")
    self._grad = value


def _del_grad(self: Tensor) -> None:
    self._grad = None


def register_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call ``hook(grad)`` when this tensor's gradient is known; a returned tensor replaces it."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._backward_hooks is None:
        self._backward_hooks = OrderedDict()
        e = edge(self)
        if not isinstance(e, Tensor):
            node = node_of(e)
            node_hooks(node).tensor.append((e.index if type(e) is Output else 0, self._backward_hooks))
    handle = RemovableHandle(self._backward_hooks)
    self._backward_hooks[handle.id] = hook
    return handle


def register_post_accumulate_grad_hook(self: Tensor, hook: Any) -> RemovableHandle:
    """Call ``hook(tensor)`` after a gradient was added to this leaf's ``grad``."""
    if not self.requires_grad:
        raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")
    if self._node is not None:
        raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
    if self._post_accumulate_grad_hooks is None:
        self._post_accumulate_grad_hooks = OrderedDict()
    handle = RemovableHandle(self._post_accumulate_grad_hooks)
    self._post_accumulate_grad_hooks[handle.id] = hook
    return handle


def retain_grad(self: Tensor) -> None:
    """Keep the gradient of this non-leaf tensor in ``grad`` during backward."""
    if not self.requires_grad:
        raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
    e = edge(self)
    if isinstance(e, Tensor):
        return
    node_hooks(node_of(e)).retain[e.index if type(e) is Output else 0] = weakref.ref(self)
    self.__dict__["_retains_grad"] = True


def _retains_grad(self: Tensor) -> bool:
    return self.__dict__.get("_retains_grad", False)


def _output_nr(self: Tensor) -> int:
    e = edge(self)
    return e.index if type(e) is Output else 0


def _real(self: Tensor) -> Tensor:
    """The real part, a view of the same memory; real tensors come back as they are."""
    return REGISTRY["real"].public(self) if self.is_complex() else self


def _imag(self: Tensor) -> Tensor:
    """The imaginary part, a view of the same memory."""
    return REGISTRY["imag"].public(self)


def module_load(self: Tensor, other: Tensor, assign: bool = False) -> Tensor:
    """What ``load_state_dict`` puts in the place of this tensor when it swaps tensors: ``other``, or a copy of it."""
    if overrides.active and overrides.has_torch_function((self, other)):
        return overrides.handle_torch_function(module_load, (self, other), self, other, assign=assign)
    return other.detach() if assign else self.copy_(other).detach()              # type: ignore[attr-defined]


def attach() -> None:
    """Give Tensor these methods; called once by the package."""
    Tensor.backward = calls.backward(_backward)                          # type: ignore[attr-defined]
    Tensor.grad_fn = property(_grad_fn)                                  # type: ignore[attr-defined]
    Tensor.grad = property(_get_grad, _set_grad, _del_grad)              # type: ignore[attr-defined]
    Tensor.grad_dtype = property(gradient_dtype, set_gradient_dtype)     # type: ignore[attr-defined]
    Tensor.register_hook = register_hook                                 # type: ignore[attr-defined]
    Tensor.register_post_accumulate_grad_hook = register_post_accumulate_grad_hook    # type: ignore[attr-defined]
    Tensor.retain_grad = retain_grad                                     # type: ignore[attr-defined]
    Tensor.retains_grad = property(_retains_grad)                        # type: ignore[attr-defined]
    Tensor.real = property(_real, lambda self, value: _real(self).copy_(value))       # type: ignore[attr-defined]
    Tensor.imag = property(_imag, lambda self, value: _imag(self).copy_(value))       # type: ignore[attr-defined]
    Tensor.output_nr = property(_output_nr)                              # type: ignore[attr-defined]
    Tensor.module_load = module_load                                     # type: ignore[attr-defined]
    legacy_names.attach()
