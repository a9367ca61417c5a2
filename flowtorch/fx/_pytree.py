"""Flattening of arguments by a structure known beforehand, which generated code does on every call."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import Any

__all__ = ["register_pytree_flatten_spec", "tree_flatten_spec"]

FlattenFuncSpec = Callable[[Any, Any], list]
FlattenFuncExactMatchSpec = Callable[[Any, Any], bool]
SUPPORTED_NODES: dict[type, FlattenFuncSpec] = {}
SUPPORTED_NODES_EXACT_MATCH: dict[type, FlattenFuncExactMatchSpec | None] = {}


def register_pytree_flatten_spec(
    cls: type, flatten_fn_spec: FlattenFuncSpec, flatten_fn_exact_match_spec: FlattenFuncExactMatchSpec | None = None
) -> None:
    """Say how values of ``cls`` are taken apart according to a structure, and what an exact match of one is."""
    SUPPORTED_NODES[cls] = flatten_fn_spec
    SUPPORTED_NODES_EXACT_MATCH[cls] = flatten_fn_exact_match_spec


def tree_flatten_spec(pytree: Any, spec: Any, exact_structural_match: bool = False) -> list:
    """The leaves of ``pytree``, found where ``spec`` has them."""
    if spec.is_leaf():
        return [pytree]
    kind = spec.type
    if kind not in SUPPORTED_NODES:
        raise RuntimeError(
            f"{type(pytree)} does not have a flatten_fn_spec associated with it: register one with "
            "torch.fx._pytree.register_pytree_flatten_spec."
        )
    children = SUPPORTED_NODES[kind](pytree, spec)
    if exact_structural_match:
        matches = SUPPORTED_NODES_EXACT_MATCH[kind]
        if matches is not None and not matches(pytree, spec):
            raise RuntimeError(f"Cannot flatten pytree {pytree}, given spec: {spec}")
    inner = zip(children, spec.children(), strict=False)
    return [leaf for child, part in inner for leaf in tree_flatten_spec(child, part, exact_structural_match)]


def _sequence(value: Any, spec: Any) -> list:
    return [value[i] for i in range(spec.num_children)]


def _mapping(value: Any, spec: Any) -> list:
    return [value[key] for key in spec.context]


def _same_length(value: Any, spec: Any) -> bool:
    return len(value) == spec.num_children


_SEQUENCES: tuple = (list, tuple, namedtuple)
for _kind in _SEQUENCES:
    register_pytree_flatten_spec(_kind, _sequence, _same_length)
register_pytree_flatten_spec(dict, _mapping, _same_length)
