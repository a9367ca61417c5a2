"""Calls brought into the form of the callee's signature."""

from __future__ import annotations

import inspect
import numbers
import typing
from collections.abc import Callable
from typing import Any, NamedTuple

import flowtorch as torch

from ._names import torch_name

__all__ = [
    "ArgsKwargsPair",
    "check_for_mutable_operation",
    "create_type_hint",
    "get_signature_for_torch_op",
    "normalize_function",
    "normalize_module",
    "type_matches",
]


class ArgsKwargsPair(NamedTuple):
    """Arguments of a call."""

    args: tuple
    kwargs: dict[str, Any]


def get_signature_for_torch_op(op: Callable, return_schemas: bool = False) -> Any:
    """The signatures of an operator, of which each has one here; None for what is no operator."""
    signature = None
    if torch_name(op) is not None:
        try:
            signature = inspect.signature(op)
        except (TypeError, ValueError):
            signature = None
    found = None if signature is None else [signature]
    return (found, None) if return_schemas else found


def check_for_mutable_operation(target: Callable, args: tuple, kwargs: dict) -> None:
    """RuntimeError if a call writes into its arguments."""
    name = (torch_name(target) or "").partition(".default")[0].rpartition(".")[2]
    if (name.endswith("_") and not name.endswith("__")) or kwargs.get("out") is not None:
        raise RuntimeError(
            f"Tried to trace mutable operation {name}. FX only supports functional code, so operations that mutate "
            "operands in-place (e.g. via `out` arguments) are not supported"
        )


def normalize_function(
    target: Callable, args: tuple, kwargs: dict[str, Any] | None = None, arg_types: Any = None, kwarg_types: Any = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:  # fmt: skip
    """The arguments of a call of ``target`` with its defaults filled in; None where it has no usable signature."""
    try:
        signature = inspect.signature(inspect.unwrap(target))
    except (TypeError, ValueError):
        return None
    return _in_form(signature, args, kwargs or {}, normalize_to_only_use_kwargs)


def normalize_module(
    root: Any, target: str, args: tuple, kwargs: dict[str, Any] | None = None,
    normalize_to_only_use_kwargs: bool = False,
) -> ArgsKwargsPair | None:  # fmt: skip
    """The arguments of a call of a submodule with its defaults filled in; None for modules that are not of torch.nn."""
    try:
        module = root.get_submodule(target)
    except AttributeError as error:
        raise RuntimeError(
            f"Tried to normalize node with target {target} but root did not have that target!"
        ) from error
    if getattr(torch.nn, type(module).__name__, None) is not type(module):
        return None
    signature = inspect.signature(inspect.unwrap(module.forward))
    return _in_form(signature, args, kwargs or {}, normalize_to_only_use_kwargs)


def _in_form(signature: inspect.Signature, args: tuple, kwargs: dict, by_keyword: bool) -> ArgsKwargsPair | None:
    usual = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    parameters = {n: p for n, p in signature.parameters.items() if n != "out" or "out" in kwargs}
    if any(p.kind not in usual for p in parameters.values()):
        return None
    bound = signature.replace(parameters=list(parameters.values())).bind(*args, **kwargs)
    bound.apply_defaults()
    items = list(bound.arguments.items())
    first = 0 if by_keyword else len(args)
    return ArgsKwargsPair(tuple(value for _, value in items[:first]), dict(items[first:]))


def create_type_hint(x: Any) -> Any:
    """Types in a list or tuple as one type of lists or tuples."""
    if not isinstance(x, (list, tuple)):
        return x
    base: Any = x[0] if x else Any
    for kind in x:
        if inspect.isclass(base) and inspect.isclass(kind) and issubclass(base, kind):
            base = kind
        elif not (inspect.isclass(base) and inspect.isclass(kind) and issubclass(kind, base)):
            base = Any
    return list[base] if isinstance(x, list) else tuple[base, ...]


def type_matches(signature_type: Any, argument_type: Any) -> bool:
    """Whether an argument of one type fits a parameter of another."""
    if signature_type is argument_type:
        return True
    if typing.get_origin(signature_type) is typing.Union:
        return any(type_matches(kind, argument_type) for kind in typing.get_args(signature_type))
    if typing.get_origin(signature_type) is list:
        inner = typing.get_args(signature_type)[0]
        if argument_type is int and inner is int:
            return True
        if typing.get_origin(argument_type) not in (list, tuple):
            return False
        kinds = [kind for kind in typing.get_args(argument_type) if kind is not Ellipsis]
        return all(issubclass(kind, inner) for kind in kinds)
    if signature_type is numbers.Number and argument_type in (int, float):
        return True
    both_classes = inspect.isclass(argument_type) and inspect.isclass(signature_type)
    return both_classes and issubclass(argument_type, signature_type)
