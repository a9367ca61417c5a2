"""The public functions of composites: ``out=``, in-place forms, errors about arguments, and the node that shows.

A composite itself is Python on tensors and knows of none of this; what stands here is put around it when it is
registered, and only as much as it needs.
"""
from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, Signature, signature
from types import MappingProxyType
from typing import Any, NoReturn

from flowtorch import overrides
from flowtorch.autograd.mode import grad_enabled, grad_mode
from flowtorch.autograd.node_names import COMPOSITES as NODE_NAMES
from flowtorch.autograd.node_names import recorded_as
from flowtorch.dtypes import as_dtype
from flowtorch.ops import overlap
from flowtorch.ops.autocast import LISTED, watch
from flowtorch.ops.dispatch import check_inplace, check_stored, write_out
from flowtorch.ops.op import NUMPY_NAMES, PARSER_NAMES, Composite, home_of, pytorch_names
from flowtorch.tensor import Tensor


def compose(record: Composite) -> Callable:
    """The public function of a composite: itself, or with ``out=`` handling around it."""
    f = watch(record) if record.name in LISTED else record.function
    key = record.name if record.namespace == "torch" else f"{record.namespace}.{record.name}"
    if key in NODE_NAMES:
        f = naming(f, NODE_NAMES[key])
    f.record = record                                           # type: ignore[attr-defined]
    record.public = f                                           # type: ignore[attr-defined]
    if not record.out:
        if record.name not in _UNCHECKED and record.namespace != "nn.functional":
            record.public = checked(record, f)
        return f

    plain = record.function if getattr(f, "__wrapped__", None) is record.function and key not in NODE_NAMES else f

    def call(*args: Any, out: Any = None, **kwargs: Any) -> Any:
        if out is not None:
            overlap.check_out(record, out, overlap.tensors_of((*args, *kwargs.values())))
        try:
            result = (f if overrides.active else plain)(*args, **kwargs)
        except AttributeError as error:
            args, kwargs = with_dtypes(args, kwargs) or blame(record, args, kwargs, error)
            result = f(*args, **kwargs)
        except TypeError:
            args, kwargs = with_dtypes(args, kwargs) or (args, renamed(f, kwargs))
            result = f(*args, **kwargs)
        return result if out is None else write_out(record, out, result)      # type: ignore[arg-type]

    call.__signature__ = SignatureWithOut(f)                    # type: ignore[attr-defined]
    record.public = present(call, record, f)
    return call


def naming(f: Callable, node_name: Any) -> Callable:
    """``f``, whose result is one node of this name in PyTorch."""
    def call(*args: Any, **kwargs: Any) -> Any:
        result = f(*args, **kwargs)
        return recorded_as(result, node_name) if grad_mode.enabled else result

    call.__name__, call.__qualname__, call.__module__ = f.__name__, f.__qualname__, f.__module__
    call.__doc__, call.__wrapped__ = f.__doc__, f           # type: ignore[attr-defined]
    return call


def present(call: Any, record: Composite, f: Any) -> Callable:
    """``call`` under the name of the composite that it calls."""
    call.__name__ = call.__qualname__ = record.name
    call.__doc__ = record.doc
    call.__module__ = home_of(record)
    call.__wrapped__ = f
    call.record = record
    return call


# Published as they are: a training step calls them often, or PyTorch raises AttributeError as well.
_UNCHECKED = frozenset([
    "to", "float", "double", "half", "bfloat16", "int", "long", "short", "char", "byte", "bool", "contiguous",
    "detach", "detach_", "copy_", "split", "new_empty", "new_zeros", "new_ones", "new_full",
    "new_tensor", "div", "div_", "clamp_min", "clamp_max", "conj", "sum_to_size", "max", "min", "masked_fill",
    "masked_fill_", "fill_", "zero_", "softmax", "log_softmax", "cpu", "cuda", "type", "flatten", "unflatten",
    "expand_as", "view_as", "type_as", "reshape_as", "scatter", "scatter_", "swapaxes", "norm", "stft",
    "__pos__", "resize_", "resize_as_", "set_", "storage", "untyped_storage", "_typed_storage", "manual_seed",
    "seed", "linear", "dropout", "zeros", "ones", "empty", "is_shared", "pca_lowrank", "svd_lowrank", "tensordot",
    "unravel_index",
])


def checked(record: Composite, f: Callable) -> Callable:
    """The published form of a composite: an argument that is no tensor is a TypeError. Our own code calls ``f``."""
    def call(*args: Any, **kwargs: Any) -> Any:
        try:
            return f(*args, **kwargs)
        except AttributeError as error:
            args, kwargs = with_dtypes(args, kwargs) or blame(record, args, kwargs, error)
        except TypeError:
            args, kwargs = with_dtypes(args, kwargs) or (args, renamed(f, kwargs))
        return f(*args, **kwargs)

    return present(call, record, f)


def renamed(f: Callable, kwargs: dict) -> dict:
    """Keyword arguments with numpy's names replaced by those of ``f``; else the error in flight goes on."""
    if NUMPY_NAMES.keys().isdisjoint(kwargs) and PARSER_NAMES.keys().isdisjoint(kwargs):
        raise
    inner: Any = f
    while hasattr(inner, "__wrapped__"):
        inner = inner.__wrapped__
    code = inner.__code__
    changed = pytorch_names(kwargs, code.co_varnames[:code.co_argcount + code.co_kwonlyargcount])
    if changed.keys() == kwargs.keys():
        raise
    return changed


def with_dtypes(args: tuple, kwargs: dict) -> tuple | None:
    """The arguments with Python's types as the dtypes they stand for, or None if there are no such types."""
    found = tuple(as_dtype(a) for a in args), {name: as_dtype(value) for name, value in kwargs.items()}
    same = all(a is b for a, b in zip((*args, *kwargs.values()), (*found[0], *found[1].values()), strict=True))
    return None if same else found


def blame(record: Composite, args: tuple, kwargs: dict, error: AttributeError) -> NoReturn:
    """PyTorch's TypeError, where a composite asked an argument for what only a tensor (or an integer) has."""
    if record.name in _UNCHECKED:
        raise error
    code = record.function.__code__                             # type: ignore[attr-defined]
    names = code.co_varnames[:code.co_argcount + code.co_kwonlyargcount]
    wanted = "int" if error.name == "__index__" else "Tensor"
    for i, (name, v) in enumerate([*zip([*names, *["args"] * len(args)], args, strict=False), *kwargs.items()]):
        if v is error.obj and not isinstance(v, Tensor):
            kind = type(v).__name__
            where = f"argument '{name}' (position {i + 1})"
            raise TypeError(f"{record.name}(): {where} must be {wanted}, not {kind}") from None
        if isinstance(v, (tuple, list)) and any(x is error.obj and not isinstance(x, Tensor) for x in v):
            raise TypeError(f"{record.name}(): argument '{name}' (position {i + 1}) must be tuple of {wanted}s, but "
                             f"found element of type {type(error.obj).__name__}") from None
    raise error


class SignatureWithOut(Signature):
    """The signature of ``f`` with the keyword ``out`` that its public form takes, worked out when somebody asks."""

    __slots__ = ("function",)

    def __init__(self, function: Callable) -> None:
        self.function = function
        self._return_annotation = Signature.empty

    @property
    def parameters(self) -> Any:
        shown = dict(signature(self.function).parameters)
        rest = {name: p for name, p in shown.items() if p.kind is Parameter.VAR_KEYWORD}
        own = {name: p for name, p in shown.items() if name not in rest}
        return MappingProxyType({**own, "out": Parameter("out", Parameter.KEYWORD_ONLY, default=None), **rest})

    def __reduce__(self) -> Any:
        return SignatureWithOut, (self.function,)


def compose_inplace(record: Composite, public: Callable) -> Callable:
    """``name_`` of a composite: compute, then copy into the first argument through ``copy_``, which keeps the
    history."""
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        recording = input.requires_grad and grad_enabled()
        check_inplace(input, recording)
        # What the function keeps of its input for the derivative must outlive the writing.
        result = public(input.clone() if recording else input, *args, **kwargs)
        if record.name == "float_power" and result.dtype is not input.dtype:
            raise RuntimeError(f"the base given to float_power_ has dtype {input.dtype.label} but the operation's "
                               f"result requires dtype {result.dtype.label}")
        check_stored(input, result)
        return input.copy_(result)

    call.__name__ = call.__qualname__ = record.name + "_"
    call.__doc__ = record.doc
    call.__module__ = home_of(record)
    record.public_inplace = call                                # type: ignore[attr-defined]
    return call
