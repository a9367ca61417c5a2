"""Which functions ``__torch_function__`` and modes get to see: the tables of ``torch.overrides``."""

from __future__ import annotations

import contextlib
import functools
import inspect
from collections.abc import Callable
from typing import Any

import flowtorch
from flowtorch import fft, linalg, special
from flowtorch.interception import UNSEEN
from flowtorch.nn import functional
from flowtorch.ops.op import COMPOSITES, REGISTRY
from flowtorch.tensor import Tensor, keeps_plain

# Shown to modes, but with no tensor among their arguments for ``__torch_function__``.
_WITHOUT_TENSORS = [
    "tensor",
    "as_tensor",
    "asarray",
    "from_numpy",
    "frombuffer",
    "empty",
    "zeros",
    "ones",
    "full",
    "arange",
    "range",
    "linspace",
    "logspace",
    "eye",
    "rand",
    "randn",
    "randint",
    "randperm",
    "empty_strided",
    "empty_permuted",
    "scalar_tensor",
    "tril_indices",
    "triu_indices",
    "hann_window",
    "hamming_window",
    "blackman_window",
    "bartlett_window",
    "kaiser_window",
    "rand_like",
    "randn_like",
    "randint_like",
    "vander",
    "sparse_coo_tensor",
    "complex_from",
]
_NEVER = [
    "is_tensor",
    "is_storage",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "is_anomaly_enabled",
    "is_anomaly_check_nan_enabled",
    "get_default_dtype",
    "set_default_dtype",
    "get_default_device",
    "set_default_device",
    "set_default_tensor_type",
    "manual_seed",
    "seed",
    "initial_seed",
    "get_rng_state",
    "set_rng_state",
    "set_printoptions",
    "get_num_threads",
    "set_num_threads",
    "save",
    "load",
    "can_cast",
    "promote_types",
    "result_type",
    "broadcast_shapes",
    "no_grad",
    "enable_grad",
    "set_grad_enabled",
    "inference_mode",
    "finfo",
    "iinfo",
    "set_float32_matmul_precision",
    "get_float32_matmul_precision",
    "use_deterministic_algorithms",
    "are_deterministic_algorithms_enabled",
    "typename",
    "vmap",
    "compile",
    "set_flush_denormal",
]


def _spaces() -> list[tuple[Any, str]]:
    return [
        (flowtorch, "torch"),
        (functional, "torch.nn.functional"),
        (linalg, "torch.linalg"),
        (fft, "torch.fft"),
        (special, "torch.special"),
    ]


@functools.cache
def _known() -> dict[Any, None]:
    """Every function that the call path shows: primitives, composites and their in-place forms."""
    found: dict[Any, None] = {}
    records: list[Any] = [*REGISTRY.values(), *COMPOSITES.values()]
    for record in records:
        if record.name in UNSEEN:
            continue
        for f in (record.public, getattr(record, "public_inplace", None)):
            if f is not None:
                found[f] = None
    return found


@functools.cache
def _table() -> dict[Any, list[Callable]]:
    known, ignored = _known(), get_ignored_functions()
    table: dict[Any, list[Callable]] = {}
    for space, _ in _spaces():
        names = dir(space)
        table[space] = [
            f
            for n in names
            if not n.startswith("__")
            and callable(f := getattr(space, n, None))
            and _hashable(f)
            and f in known
            and f not in ignored
        ]
    table[Tensor] = [
        f
        for n in dir(Tensor)
        if inspect.isfunction(f := inspect.getattr_static(Tensor, n))
        and (f in known or _is_operator(n))
        and f not in ignored
    ]
    return table


def _hashable(f: Any) -> bool:
    return getattr(type(f), "__hash__", None) is not None


def _is_operator(name: str) -> bool:
    return name.startswith("__") and getattr(getattr(Tensor, name), "op", None) is not None


def get_overridable_functions() -> dict[Any, list[Callable]]:
    """Namespace -> the functions in it that ``__torch_function__`` may take over."""
    return {space: list(functions) for space, functions in _table().items()}


@functools.cache
def get_ignored_functions() -> set[Callable]:
    """Public functions that ``__torch_function__`` never gets."""
    found: set[Any] = {getattr(flowtorch, n, None) for n in (*_WITHOUT_TENSORS, *_NEVER)} - {None}
    return {f for f in found if _hashable(f)} | {Tensor.as_subclass, Tensor._make_subclass}  # type: ignore[arg-type]


def get_testing_overrides() -> dict[Callable, Callable]:
    """Function -> one with the same signature that returns -1: to test which of them a class takes over."""
    table: dict[Callable, Callable] = {}
    for functions in _table().values():
        for f in functions:
            table[f] = _dummy(f)
    return table


def _dummy(f: Callable) -> Callable:
    def dummy(*args: Any, **kwargs: Any) -> int:
        return -1

    with contextlib.suppress(TypeError, ValueError):
        dummy.__signature__ = inspect.signature(f)  # type: ignore[attr-defined]
    dummy.__name__ = f.__name__
    return dummy


def get_default_nowrap_functions() -> set[Callable]:
    """Functions whose results stay plain tensors under subclasses."""
    return set(keeps_plain)


@functools.cache
def _names() -> dict[Any, str]:
    names: dict[Any, str] = {}
    for named_so in (True, False):  # the function's own name first, then aliases
        for space, prefix in _spaces():
            for n in dir(space):
                f = None if n.startswith("__") else getattr(space, n, None)
                if callable(f) and _hashable(f) and f in _known() and (n == f.__name__) is named_so:
                    names.setdefault(f, f"{prefix}.{n}")
    for n in dir(Tensor):
        f = inspect.getattr_static(Tensor, n)
        if inspect.isfunction(f) and f not in names:
            names[f] = f"torch.Tensor.{n}"
    return names


def resolve_name(f: Any) -> str | None:
    """The dotted public name of a function that ``__torch_function__`` gets; overloads print themselves."""
    from flowtorch.ops_namespace import OpOverload, OpOverloadPacket

    if isinstance(f, (OpOverload, OpOverloadPacket)):
        return str(f)
    return _names().get(f) if _hashable(f) else None


def is_tensor_method_or_property(func: Callable) -> bool:
    """Whether ``func`` is a method of Tensor, or the ``__get__`` of one of its properties."""
    if getattr(func, "__name__", None) == "__get__":
        return True
    name = getattr(func, "__name__", "")
    return inspect.getattr_static(Tensor, name, None) is func
