"""Operators that programs define (``torch.library``): called as ``torch.ops.<namespace>.<name>``."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from flowtorch import ops_namespace
from flowtorch.library_schema import infer_schema, parse_name
from flowtorch.tensor import Tensor

__all__ = [
    "CustomOpDef", "Library", "custom_op", "define", "fallthrough_kernel", "get_ctx", "get_kernel", "impl",
    "impl_abstract", "infer_schema", "opcheck", "register_autocast", "register_autograd", "register_fake",
    "register_kernel", "register_torch_dispatch", "register_vmap", "triton_op", "wrap_triton",
]  # fmt: skip


class CustomOpDef:
    """An operator with its kernels by device type, and its derivative: a callable."""

    def __init__(self, namespace: str, name: str, schema: str, fn: Callable | None = None, tags: Any = None) -> None:
        self._namespace, self._name, self._schema, self._init_fn = namespace, name, schema, fn
        self._qualname = f"{namespace}::{name}"
        self._kernels: dict[str | None, Callable] = {} if fn is None else {None: fn}
        self._backward: Callable | None = None
        self._setup: Callable | None = None
        self._fake: Callable | None = None
        self._vmap: Callable | None = None
        self._autocast: dict[str, Any] = {}
        self.tags = tags
        ops_namespace.register(namespace, name, self)
        if fn is not None:
            functools.update_wrapper(self, fn)

    def __repr__(self) -> str:
        return f"<CustomOpDef({self._qualname})>"

    def register_kernel(self, device_types: str | Sequence[str] | None, fn: Callable | None = None, /) -> Callable:
        """Give the kernel for types of devices (None: for every one); also a decorator."""
        kinds = [device_types] if device_types is None or isinstance(device_types, str) else list(device_types)

        def register(kernel: Callable) -> Callable:
            for kind in kinds:
                self._kernels[kind] = kernel
            return kernel

        return register if fn is None else register(fn)

    def register_fake(self, fn: Callable, /) -> Callable:
        """Give the function that computes shapes alone, for ``meta`` tensors; a decorator."""
        self._fake = fn
        return fn

    def register_autograd(self, backward: Callable, /, *, setup_context: Callable | None = None) -> None:
        """Give the derivative: ``backward(ctx, *grads)`` and ``setup_context(ctx, inputs, output)``."""
        self._backward, self._setup = backward, setup_context

    def register_vmap(self, func: Callable | None = None, /) -> Any:
        """Give the batching rule ``func(info, in_dims, *args)``; also a decorator."""
        if func is None:
            return self.register_vmap
        self._vmap = func
        return func

    def register_autocast(self, device_type: str, cast_inputs: Any) -> None:
        """Have float inputs cast to a dtype while autocast is on for a kind of device."""
        self._autocast[device_type] = cast_inputs

    def _called_under_autocast(self, device_type: str, args: tuple, kwargs: dict) -> Any:
        from flowtorch.amp import autocast

        def cast(value: Any) -> Any:
            if isinstance(value, Tensor) and value.is_floating_point() and value.device.type == device_type:
                return value.to(self._autocast[device_type])  # type: ignore[attr-defined]
            return value

        with autocast(device_type, enabled=False):
            return self(*[cast(x) for x in args], **{k: cast(x) for k, x in kwargs.items()})

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._autocast:
            from flowtorch.amp.state import is_autocast_enabled

            for kind in self._autocast:
                if is_autocast_enabled(kind):
                    return self._called_under_autocast(kind, args, kwargs)
        if self._backward is None:
            return self._run(*args, **kwargs)
        bound = inspect.signature(self._init_fn or self._run).bind(*args, **kwargs)
        bound.apply_defaults()
        return self._function().apply(*bound.args, *bound.kwargs.values())

    def _run(self, *args: Any, **kwargs: Any) -> Any:
        kinds = {x.device.type for x in _tensors((*args, *kwargs.values()))}
        if "meta" in kinds and self._fake is not None:
            return self._fake(*args, **kwargs)
        kernel = next((self._kernels[kind] for kind in sorted(kinds) if kind in self._kernels), None)
        kernel = kernel or self._kernels.get(None)
        if kernel is None:
            at = ", ".join(sorted(kinds)) or "no tensor's device"
            raise NotImplementedError(f"Could not run '{self._qualname}': it has no kernel for {at}")
        return kernel(*args, **kwargs)

    def _function(self) -> Any:
        from flowtorch.autograd import Function

        op = self

        class Custom(Function):
            @staticmethod
            def forward(*args: Any) -> Any:
                return op._run(*args)

            @staticmethod
            def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
                if op._setup is not None:
                    op._setup(ctx, inputs, output)

            @staticmethod
            def backward(ctx: Any, *grads: Any) -> Any:
                assert op._backward is not None
                return op._backward(ctx, *grads)

            if op._vmap is not None:

                @staticmethod
                def vmap(info: Any, in_dims: Any, *args: Any) -> Any:
                    assert op._vmap is not None
                    return op._vmap(info, in_dims, *args)

        Custom.__name__ = f"{self._namespace}_{self._name}"
        return Custom

    @property
    def _opoverload(self) -> Any:
        return getattr(getattr(ops_namespace.ops, self._namespace), self._name)


def _tensors(values: Iterable[Any]) -> Iterable[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (list, tuple)):
            yield from _tensors(value)


def custom_op(
    name: str, fn: Callable | None = None, /, *, mutates_args: str | Iterable[str], device_types: Any = None,
    schema: str | None = None, tags: Any = None,
) -> Any:  # fmt: skip
    """Make an operator ``"namespace::name"`` of a function; also a decorator."""
    namespace, last = parse_name(name)

    def make(function: Callable) -> CustomOpDef:
        said = infer_schema(function, mutates_args=mutates_args) if schema is None else schema
        op = CustomOpDef(namespace, last, said, function, tags)
        if device_types is not None:
            op._kernels = {}
            op.register_kernel(device_types, function)
        return op

    return make if fn is None else make(fn)


triton_op = custom_op


def wrap_triton(triton_kernel: Callable, /) -> Any:
    """The kernel (a ``@triton.jit`` function) to be launched as ``kernel[grid](...)`` on tensors of device "cuda"."""
    from flowtorch.user_kernels import LaunchableKernel

    return LaunchableKernel(triton_kernel)


def _lookup(op: Any) -> CustomOpDef:
    if isinstance(op, CustomOpDef):
        return op
    if isinstance(op, str):
        return ops_namespace.custom(*parse_name(op.partition(".")[0]))
    return ops_namespace.custom(op.namespace, op.__name__.partition(".")[0])


def define(qualname: str, schema: str, *, lib: Any = None, tags: Any = ()) -> CustomOpDef:
    """Declare an operator by its schema, ``"(Tensor x) -> Tensor"``; its kernels come with ``impl``."""
    namespace, name = parse_name(qualname)
    return CustomOpDef(namespace, name, schema, tags=tags)


_KINDS = {"cpu": "cpu", "cuda": "cuda", "default": None, "CPU": "cpu", "CUDA": "cuda", "": None,
          "CompositeExplicitAutograd": None, "CompositeImplicitAutograd": None, "Meta": "meta"}  # fmt: skip


def impl(qualname: str, types: Any, func: Callable | None = None, *, lib: Any = None) -> Any:
    """Give an operator's kernel for types of devices ("default": for every one); also a decorator."""
    op = _lookup(qualname)

    def register(kernel: Callable) -> Callable:
        for kind in [types] if isinstance(types, str) else types:
            if kind not in _KINDS:
                raise ValueError(f"torch.library.impl({qualname!r}): flowtorch has no dispatch key {kind!r}")
            if _KINDS[kind] == "meta":
                op.register_fake(kernel)
            else:
                op.register_kernel(_KINDS[kind], kernel)
        return kernel

    return register if func is None else register(func)


def register_kernel(op: Any, device_types: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """Give an operator's kernel for types of devices; also a decorator."""
    return _lookup(op).register_kernel(device_types, func)


def register_fake(
    op: Any, func: Callable | None = None, /, *, lib: Any = None, _stacklevel: int = 1, allow_override: bool = True
) -> Any:
    """Give the function that computes an operator's shapes alone; also a decorator."""
    if isinstance(op, str) and not ops_namespace.is_defined(*parse_name(op.partition(".")[0])):
        # Compiled operators that could not be loaded are described all the same, before anybody calls them.
        return (lambda fn: fn) if func is None else func
    return _lookup(op).register_fake if func is None else _lookup(op).register_fake(func)


def impl_abstract(qualname: str, func: Callable | None = None, *, lib: Any = None, _stacklevel: int = 1) -> Any:
    """The former name of ``register_fake``."""
    return register_fake(qualname, func)


def register_autograd(op: Any, backward: Callable, /, *, setup_context: Any = None, lib: Any = None) -> None:
    """Give an operator's derivative: ``backward(ctx, *grads)`` and ``setup_context(ctx, inputs, output)``."""
    _lookup(op).register_autograd(backward, setup_context=setup_context)


def register_vmap(op: Any, func: Callable | None = None, /, *, lib: Any = None) -> Any:
    """Give an operator's batching rule; also a decorator."""
    return _lookup(op).register_vmap(func)


class Library:
    """Operators of a namespace, defined and given kernels one after the other."""

    def __init__(self, ns: str, kind: str, dispatch_key: str = "") -> None:
        if kind not in ("IMPL", "DEF", "FRAGMENT"):
            raise ValueError(f"Unsupported kind: {kind}")
        self.ns, self.kind, self.dispatch_key = ns, kind, dispatch_key

    def define(self, schema: str, alias_analysis: str = "", *, tags: Any = ()) -> str:
        """Declare an operator, ``"name(Tensor x) -> Tensor"``; return its name."""
        name, _, rest = schema.partition("(")
        define(f"{self.ns}::{name.strip()}", "(" + rest, tags=tags)
        return name.strip()

    def impl(self, op_name: Any, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False,
             allow_override: bool = False) -> None:  # fmt: skip
        """Give an operator's kernel for a dispatch key."""
        name = op_name if isinstance(op_name, str) else op_name.__name__
        impl(f"{self.ns}::{name.partition('.')[0].rpartition('::')[2]}", dispatch_key or self.dispatch_key, fn)

    def fallback(self, fn: Callable, dispatch_key: str = "", *, with_keyset: bool = False) -> None:
        """Give a kernel for every operator: not supported."""
        raise NotImplementedError("torch.library.Library.fallback: flowtorch has no dispatch keys to fall through")


def fallthrough_kernel() -> None:
    """Stands for a kernel that leaves the call to the next dispatch key; it is never called."""
    raise NotImplementedError("fallthrough_kernel() should never be called.")


def get_ctx() -> None:
    """What a shape function may ask about sizes that depend on data: None, for sizes are always known."""


def register_autocast(op: Any, device_type: str, cast_inputs: Any, /, *, lib: Any = None) -> None:
    """Have an operator's float inputs cast to a dtype while autocast is on for a kind of device."""
    if device_type not in ("cpu", "cuda"):
        raise ValueError(f"Unknown device type: {device_type}")
    _lookup(op).register_autocast(device_type, cast_inputs)


def register_torch_dispatch(op: Any, torch_dispatch_class: Any, func: Callable | None = None, /, *,
                            lib: Any = None) -> Any:  # fmt: skip
    """Give what a class with ``__torch_dispatch__`` does with one operator: not supported."""
    _lookup(op)
    raise NotImplementedError("torch.library.register_torch_dispatch: handle the operator inside "
                              f"{torch_dispatch_class.__name__}.__torch_dispatch__")  # fmt: skip


def get_kernel(op: Any, dispatch_key: Any) -> Callable:
    """The kernel of an operator for a dispatch key ("CPU", "CUDA")."""
    kernels = _lookup(op)._kernels
    kind = getattr(dispatch_key, "name", str(dispatch_key)).lower()
    if kind not in kernels and None not in kernels:
        raise RuntimeError(f"No kernel registered for {op} with dispatch key {dispatch_key}")
    return kernels.get(kind, kernels.get(None))  # type: ignore[return-value]


def opcheck(op: Any, args: tuple, kwargs: dict | None = None, *, test_utils: Any = (
        "test_schema", "test_autograd_registration", "test_faketensor", "test_aot_dispatch_dynamic"),
        raise_exception: bool = True, atol: Any = None, rtol: Any = None) -> dict[str, str]:  # fmt: skip
    """Check an operator by a call: its inputs stay as they are, and its shape function agrees with its kernel."""
    from flowtorch.library_check import check

    return check(op, args, kwargs or {}, (test_utils,) if isinstance(test_utils, str) else tuple(test_utils),
                 raise_exception)  # fmt: skip


def __getattr__(name: str) -> Any:
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)


