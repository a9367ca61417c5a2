"""Parameters and buffers: the tensors that modules register by mere assignment."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import flowtorch as torch

from ..overrides import _disabled_torch_function_impl
from ..tensor import Tensor

__all__ = [
    "Buffer",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "UninitializedTensorMixin",
    "is_lazy",
]


class _ParameterMeta(type(Tensor)):  # type: ignore[misc]
    """Lets tensors of custom classes that carry ``_is_param`` count as instances of Parameter."""

    def __instancecheck__(cls, instance: object) -> bool:
        # Asked at every assignment to a module: spelled out, without super().
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Parameter and isinstance(instance, Tensor) and instance._is_param


class Parameter(Tensor, metaclass=_ParameterMeta):
    """A tensor that a module lists among its parameters once assigned to one of its attributes.

    ``requires_grad`` is True unless told otherwise, inside ``no_grad`` as well. A tensor of a custom subclass
    keeps its class and is only marked.

    >>> torch.nn.Parameter(torch.zeros(2))
    Parameter containing:
    tensor([0., 0.], requires_grad=True)
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, requires_grad: bool = True) -> Any:
        if data is None:
            data = torch.empty(0)
        if type(data) is Tensor or type(data) is Parameter:
            return Tensor._make_subclass(cls, data, requires_grad)
        return _mark_custom(data, requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Parameter:
        if id(self) not in memo:
            copied = self.data.clone(memory_format=torch.preserve_format)
            memo[id(self)] = type(self)(copied, self.requires_grad)
        return memo[id(self)]

    def __repr__(self) -> str:  # type: ignore[override]
        return "Parameter containing:\n" + super().__repr__()

    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        from ..serialization import tensors

        attributes = {k: v for k, v in self.__dict__.items() if k not in tensors.ENGINE_STATE}
        saved: tuple[Any, ...] = (self.data, self.requires_grad, OrderedDict())  # hooks stay behind
        if attributes:
            return tensors._rebuild_parameter_with_state, (*saved, attributes)
        return tensors._rebuild_parameter, saved

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]


def _mark_custom(data: Tensor, requires_grad: bool) -> Any:
    """Turn a tensor of a custom subclass into a parameter of that same subclass."""
    marked = data.detach().requires_grad_(requires_grad)
    if type(marked) is not type(data):
        raise RuntimeError(
            f"Creating a Parameter from an instance of type {type(data).__name__} requires that detach() "
            f"returns an instance of the same type, but return type {type(marked).__name__} was found "
            "instead. To use the type as a Parameter, please correct the detach() semantics defined by its "
            "__torch_dispatch__() implementation."
        )
    marked._is_param = True
    return marked


class UninitializedTensorMixin:
    """What parameters and buffers of unknown shape share: they refuse nearly all but ``materialize``."""

    __slots__ = ()

    cls_to_become: type = Tensor

    # Looked up by name, because the operations themselves are defined after this layer is loaded.
    _allowed_names = frozenset(
        {"__hash__", "__get__", "__set__", "size", "copy_", "_to_copy", "data", "dtype", "device", "get_device", "to"}
        | {"is_complex", "is_floating_point", "is_meta", "requires_grad", "cpu", "cuda"}
        | {"half", "float", "double", "char", "short", "int", "long"}
    )

    def materialize(self, shape: Any, device: Any = None, dtype: Any = None) -> None:
        """Give the tensor its shape (uninitialised values), and from now on the ordinary class."""
        tensor: Any = self
        data = torch.empty(shape, device=device or tensor.device, dtype=dtype or tensor.dtype)
        tensor.__class__ = self.cls_to_become
        tensor.data = data
        # Tensors of the new class take the fast paths that this one was kept from.
        tensor._type = data._type

    @property
    def shape(self) -> Any:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. "
            "Call `forward` to initialize the parameters before accessing their attributes."
        )

    def share_memory_(self) -> Any:
        raise RuntimeError(
            "Can't share memory on an uninitialized parameter or buffer. "
            "Call `forward` to initialize the parameters before calling `module.share_memory()`."
        )

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    def __reduce_ex__(self, proto: Any) -> tuple[Any, ...]:
        return type(self), (self.requires_grad,)  # type: ignore[attr-defined]

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if getattr(func, "__name__", None) in cls._allowed_names:
            return super().__torch_function__(func, types, args, kwargs or {})  # type: ignore[misc]
        raise ValueError(
            f"Attempted to use an uninitialized parameter in {func}. This error happens when you are using a "
            f"`LazyModule` or explicitly manipulating `torch.nn.parameter.{cls.__name__}` objects. When "
            "using LazyModules Call `forward` with a dummy batch to initialize the parameters before calling "
            "torch functions"
        )


def is_lazy(param: Any) -> bool:
    """Tell whether ``param`` is still without a shape."""
    return isinstance(param, UninitializedTensorMixin)


class UninitializedParameter(UninitializedTensorMixin, Parameter):  # type: ignore[misc]
    """A parameter whose shape is not known yet; ``materialize`` turns it into a Parameter in place."""

    __slots__ = ()

    cls_to_become = Parameter

    def __new__(cls, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> Any:
        return Tensor._make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if id(self) not in memo:
            memo[id(self)] = type(self)(self.requires_grad, self.data.device, self.data.dtype)
        return memo[id(self)]


class _BufferMeta(type(Tensor)):  # type: ignore[misc]
    """Lets tensors that carry ``_is_buffer`` count as instances of Buffer, whatever their class."""

    def __instancecheck__(cls, instance: object) -> bool:
        if type.__instancecheck__(cls, instance):
            return True
        return cls is Buffer and isinstance(instance, Tensor) and getattr(instance, "_is_buffer", False)


class Buffer(Tensor, metaclass=_BufferMeta):
    """A tensor that a module lists among its buffers once assigned to one of its attributes.

    What the constructor returns keeps the class of ``data`` and is marked; ``persistent`` says whether it
    goes into the state dict.
    """

    __slots__ = ()

    def __new__(cls, data: Tensor | None = None, *, persistent: bool = True) -> Any:
        if data is None:
            data = torch.empty(0)
        marked = data.detach().requires_grad_(data.requires_grad)
        marked.persistent = persistent
        marked._is_buffer = True
        return marked

    __torch_function__ = _disabled_torch_function_impl  # type: ignore[assignment]


class UninitializedBuffer(UninitializedTensorMixin, Tensor):  # type: ignore[misc]
    """A buffer whose shape is not known yet; ``materialize`` turns it into a Tensor in place."""

    __slots__ = ()

    cls_to_become = Tensor

    def __new__(
        cls, requires_grad: bool = False, device: Any = None, dtype: Any = None, persistent: bool = True
    ) -> Any:
        made = Tensor._make_subclass(cls, torch.empty(0, device=device, dtype=dtype), requires_grad)
        made.persistent = persistent
        made._is_buffer = True
        return made
