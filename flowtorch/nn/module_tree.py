"""Walking over a module's parts, and converting all of them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, Self

import flowtorch as torch

from ..dtypes import as_dtype
from ..tensor import Tensor
from .parameter import Parameter

if TYPE_CHECKING:
    from .module import Module


class _ModuleTree:
    """The part of Module that walks over parameters, buffers and submodules, and converts them."""

    training: bool
    _parameters: dict[str, Any]
    _buffers: dict[str, Any]
    _modules: dict[str, Any]

    # --- finding one part

    def _get_name(self) -> str:
        return type(self).__name__

    def get_submodule(self, target: str) -> Module:
        """Return the submodule at the dotted path ``target``; AttributeError where there is none."""
        found: Any = self
        for name in target.split(".") if target else ():
            found = found._part(name)
            if not isinstance(found, _ModuleTree):
                raise AttributeError(f"`{name}` is not an nn.Module")
        return found

    def get_parameter(self, target: str) -> Parameter:
        """Return the parameter at the dotted path ``target``; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        found = self.get_submodule(path)._part(name)
        if not isinstance(found, Parameter):
            raise AttributeError(f"`{name}` is not an nn.Parameter")
        return found

    def get_buffer(self, target: str) -> Tensor:
        """Return the buffer at the dotted path ``target``; AttributeError where there is none."""
        path, _, name = target.rpartition(".")
        owner = self.get_submodule(path)
        found = owner._part(name)
        if name not in owner._buffers:
            raise AttributeError(f"`{name}` is not a buffer")
        return found

    def _part(self, name: str) -> Any:
        if not hasattr(self, name):
            raise AttributeError(f"{self._get_name()} has no attribute `{name}`")
        return getattr(self, name)

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Put ``module`` at the dotted path ``target``; with ``strict`` it must replace another."""
        if target == "":
            raise ValueError("Cannot set the submodule without a target name!")
        if not isinstance(module, _ModuleTree):
            raise ValueError(f"`module` is not an nn.Module, found {type(module)}")
        path, _, name = target.rpartition(".")
        parent = self.get_submodule(path) if path else self
        if strict and not hasattr(parent, name):
            raise AttributeError(f"{parent._get_name()} has no attribute `{name}`")
        if hasattr(parent, name) and not isinstance(getattr(parent, name), _ModuleTree):
            raise AttributeError(f"`{name}` is not an nn.Module")
        setattr(parent, name, module)

    # --- walking

    def _named_members(
        self,
        get_members_fn: Callable[[Any], Iterable[tuple[str, Any]]],
        prefix: str = "",
        recurse: bool = True,
        remove_duplicate: bool = True,
    ) -> Iterator[tuple[str, Any]]:
        seen: set[Any] = set()
        modules: Any = [(prefix, self)]
        if recurse:
            modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate)
        for path, module in modules:
            for name, member in get_members_fn(module):
                if member is None or member in seen:
                    continue
                if remove_duplicate:
                    seen.add(member)
                yield f"{path}.{name}" if path else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """Yield the path and the tensor of each parameter, each tensor once unless told otherwise."""
        return self._named_members(
            lambda module: module._parameters.items(), prefix, recurse, remove_duplicate
        )

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """Yield each parameter of the module, and of its submodules if ``recurse``."""
        for _, param in self.named_parameters(recurse=recurse):
            yield param

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """Yield the path and the tensor of each buffer, each tensor once unless told otherwise."""
        return self._named_members(lambda module: module._buffers.items(), prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """Yield each buffer of the module, and of its submodules if ``recurse``."""
        for _, buffer in self.named_buffers(recurse=recurse):
            yield buffer

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """Yield the name and the module of each direct submodule, each module once."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """Yield each direct submodule once."""
        for _, module in self.named_children():
            yield module

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Any]]:
        """Yield the path and the module of this and all modules below, each once unless told otherwise."""
        memo = set() if memo is None else memo
        if self in memo:
            return
        if remove_duplicate:
            memo.add(self)
        yield prefix, self
        for name, module in self._modules.items():
            if module is not None:
                path = f"{prefix}.{name}" if prefix else name
                yield from module.named_modules(memo, path, remove_duplicate)

    def modules(self, remove_duplicate: bool = True) -> Iterator[Any]:
        """Yield this module and all below it, each once unless told otherwise."""
        for _, module in self.named_modules(remove_duplicate=remove_duplicate):
            yield module

    # --- modes

    def apply(self, fn: Callable[[Module], Any]) -> Self:
        """Call ``fn`` with every submodule, children first, and with this module last."""
        for module in self.children():
            module.apply(fn)
        fn(self)  # type: ignore[arg-type]
        return self

    def train(self, mode: bool = True) -> Self:
        """Set ``training`` on this module and all below it."""
        if not isinstance(mode, bool):
            raise ValueError("training mode is expected to be boolean")
        self.training = mode
        for module in self.children():
            module.train(mode)
        return self

    def eval(self) -> Self:
        """Set evaluation mode: ``train(False)``."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Set ``requires_grad`` on every parameter."""
        for param in self.parameters():
            param.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or set them to zero if not ``set_to_none``."""
        if getattr(self, "_is_replica", False):
            warnings.warn(
                "Calling .zero_grad() from a module created with nn.DataParallel() has no effect. The "
                "parameters are copied (in a differentiable manner) from the original module. This means "
                "they are not leaf nodes in autograd and so don't accumulate gradients. If you need "
                "gradients in your forward method, consider using autograd.grad instead.",
                stacklevel=2,
            )
        for param in self.parameters():
            grad = param.grad
            if grad is None:
                continue
            if set_to_none:
                param.grad = None
                continue
            if grad.grad_fn is not None:
                grad.detach_()
            else:
                grad.requires_grad_(False)
            grad.zero_()

    # --- conversion

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> Self:
        """Replace every parameter, its gradient and every buffer by what ``fn`` makes of it.

        Parameters stay the same objects, unless the new tensor is of a kind that the old one cannot turn
        into.
        """
        if recurse:
            for module in self.children():
                module._apply(fn)
        for name, param in self._parameters.items():
            if param is not None:
                self._parameters[name] = self._convert(name, param, fn)
        for name, buffer in self._buffers.items():
            if buffer is not None:
                self._buffers[name] = fn(buffer)
        return self

    def _convert(self, name: str, param: Any, fn: Callable[[Tensor], Tensor]) -> Any:
        grad = param.grad
        new_grad: Any
        with torch.no_grad():
            new = fn(param)
            new_grad = None if grad is None else fn(grad)
        if torch.__future__.get_swap_module_params_on_conversion():
            return self._swap(name, param, new, new_grad)
        if _can_become(param, new):
            param.data = new
        else:
            param = Parameter(new, param.requires_grad)
        if grad is None:
            return param
        if _can_become(grad, new_grad):
            grad.data = new_grad
            param.grad = grad
        else:
            param.grad = new_grad.requires_grad_(grad.requires_grad)
        return param

    def _swap(self, name: str, param: Any, new: Any, new_grad: Any) -> Any:
        grad = param.grad
        try:
            param.grad = None
            torch.utils.swap_tensors(param, Parameter(new, requires_grad=param.requires_grad))
        except Exception as error:
            param.grad = grad
            raise RuntimeError(f"_apply(): Couldn't swap {self._get_name()}.{name}") from error
        if grad is not None:
            new_grad.requires_grad_(grad.requires_grad)
            try:
                torch.utils.swap_tensors(grad, new_grad)
            except Exception as error:
                raise RuntimeError(f"_apply(): Couldn't swap {self._get_name()}.{name}.grad") from error
            param.grad = grad
        return param

    def to(self, *args: Any, **kwargs: Any) -> Self:
        """Move and cast the parameters and buffers in place.

        Called as ``to(device, dtype, non_blocking)``, ``to(dtype)``, ``to(tensor)`` or
        ``to(memory_format=...)``. Only floating point and complex tensors are cast; a memory format applies
        to those of 4 or 5 dimensions.
        """
        device, dtype, non_blocking, memory_format = _parse_to(*args, **kwargs)
        if dtype is not None and not (dtype.is_floating_point or dtype.is_complex):
            raise TypeError(
                f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
            )
        if dtype is not None and dtype.is_complex:
            warnings.warn(
                "Complex modules are a new feature under active development whose design may change, and "
                "some modules might not work as expected when using complex tensors as parameters or "
                "buffers.",
                stacklevel=2,
            )

        def convert(t: Tensor) -> Tensor:
            wanted = dtype if t.is_floating_point() or t.is_complex() else None
            layout = (
                {} if memory_format is None or t.dim() not in (4, 5) else {"memory_format": memory_format}
            )
            try:
                return t.to(device, wanted, non_blocking, **layout)
            except NotImplementedError as error:
                if not str(error).startswith("Cannot copy out of meta tensor; no data!"):
                    raise
                raise NotImplementedError(
                    "Cannot copy out of meta tensor; no data! Please use torch.nn.Module.to_empty() instead of "
                    "torch.nn.Module.to() when moving module from meta to a different device."
                ) from None

        return self._apply(convert)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Self:
        """Move the parameters and buffers to ``device`` without their values."""
        return self._apply(lambda t: torch.empty_like(t, device=device), recurse=recurse)

    def cpu(self) -> Self:
        """Move the parameters and buffers to the CPU."""
        return self._apply(lambda t: t.cpu())

    def cuda(self, device: Any = None) -> Self:
        """Move the parameters and buffers to a CUDA device."""
        return self._apply(lambda t: t.cuda(device))

    def ipu(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an IPU, where there is one."""
        return self._apply(lambda t: t.ipu(device))

    def xpu(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an XPU, where there is one."""
        return self._apply(lambda t: t.xpu(device))

    def mtia(self, device: Any = None) -> Self:
        """Move the parameters and buffers to an MTIA device, where there is one."""
        return self._apply(lambda t: t.mtia(device))

    def share_memory(self) -> Self:
        """Move the parameters and buffers to shared memory."""
        return self._apply(lambda t: t.share_memory_())

    def type(self, dst_type: Any) -> Self:
        """Cast all parameters and buffers to ``dst_type``."""
        return self._apply(lambda t: t.type(dst_type))

    def float(self) -> Self:
        """Cast the floating point parameters and buffers to float32."""
        return self._apply(lambda t: t.float() if t.is_floating_point() else t)

    def double(self) -> Self:
        """Cast the floating point parameters and buffers to float64."""
        return self._apply(lambda t: t.double() if t.is_floating_point() else t)

    def half(self) -> Self:
        """Cast the floating point parameters and buffers to float16."""
        return self._apply(lambda t: t.half() if t.is_floating_point() else t)

    def bfloat16(self) -> Self:
        """Cast the floating point parameters and buffers to bfloat16."""
        return self._apply(lambda t: t.bfloat16() if t.is_floating_point() else t)


def _can_become(old: Any, new: Any) -> bool:
    """Whether ``old.data = new`` is possible and wanted, so that ``old`` stays the same object."""
    if torch.__future__.get_overwrite_module_params_on_conversion():
        return False
    return old.is_meta == new.is_meta and old.layout == new.layout


def _parse_to(*args: Any, **kwargs: Any) -> tuple[Any, Any, bool, Any]:
    """Device, dtype, non_blocking and memory format out of the arguments of ``to``."""
    args = tuple(as_dtype(a) for a in args)
    if args and isinstance(args[0], (Tensor, torch.dtype)):
        lead = ("tensor",) if isinstance(args[0], Tensor) else ("dtype",)
    else:
        lead = ("device", "dtype")
    names = (*lead, "non_blocking", "copy")
    given = dict(zip(names, args, strict=False))
    known = {*names, "memory_format", "device", "dtype", "tensor"}
    if len(args) > len(names) or given.keys() & kwargs.keys() or not kwargs.keys() <= known:
        _refuse_to(args, kwargs)
    given.update(kwargs)
    device, dtype = given.get("device"), as_dtype(given.get("dtype"))
    if "tensor" in given:
        device, dtype = given["tensor"].device, given["tensor"].dtype
    if not (dtype is None or isinstance(dtype, torch.dtype)):
        _refuse_to(args, kwargs)
    if device is not None:
        if not isinstance(device, (str, int, torch.device)):
            _refuse_to(args, kwargs)
        device = torch.device(device)
    return device, dtype, bool(given.get("non_blocking", False)), given.get("memory_format")


def _refuse_to(args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    shown = [type(arg).__name__ for arg in args] + [f"{k}={type(v).__name__}" for k, v in kwargs.items()]
    raise TypeError(
        f"to() received an invalid combination of arguments - got ({', '.join(shown)}), but expected one "
        "of:\n * (torch.device device = None, torch.dtype dtype = None, bool non_blocking = False, bool copy "
        "= False, *, torch.memory_format memory_format = None)\n"
        " * (torch.dtype dtype, bool non_blocking = False, bool copy = False, *, "
        "torch.memory_format memory_format = None)\n"
        " * (Tensor tensor, bool non_blocking = False, bool copy = False, *, "
        "torch.memory_format memory_format = None)"
    )
