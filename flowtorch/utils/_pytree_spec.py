"""The structure of a tree, as an object and as JSON."""

from __future__ import annotations

import functools
import json
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import Any

from flowtorch.utils._pytree_nodes import (
    SERIALIZED_TYPE_TO_PYTHON_TYPE,
    STANDARD_DICT_TYPES,
    SUPPORTED_NODES,
    Context,
    PyTree,
    _get_node_type,
)


class TreeSpec:
    """The structure of a tree: the type and context of each node, leaves left out."""

    __slots__ = ("_children", "_context", "num_children", "num_leaves", "num_nodes", "type")

    def __init__(self, type: Any, context: Context, children_specs: list[TreeSpec]) -> None:
        self.type, self._context, self._children = type, context, children_specs
        leaf = type is None
        self.num_children = len(children_specs)
        self.num_nodes: int = 1 + sum(child.num_nodes for child in children_specs)
        self.num_leaves: int = 1 if leaf else sum(child.num_leaves for child in children_specs)

    @property
    def context(self) -> Context:
        return self._context

    @property
    def children_specs(self) -> list[TreeSpec]:
        return self._children

    def children(self) -> list[TreeSpec]:
        """The descriptions of the children."""
        return list(self._children)

    def child(self, index: int) -> TreeSpec:
        """The description of one child."""
        return self._children[index]

    def is_leaf(self) -> bool:
        """Whether this describes a leaf."""
        return self.type is None

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, TreeSpec):
            return NotImplemented
        return (
            str(self.type) == str(other.type) and self._context == other._context and self._children == other._children
        )

    def __hash__(self) -> int:
        context = self._context
        key = repr(context) if isinstance(context, (list, dict)) else context
        return hash((str(self.type), key, tuple(self._children)))

    def __repr__(self, indent: int = 0) -> str:
        if self.is_leaf():
            return "*"
        children = [child.__repr__(indent + 2) for child in self._children]
        joined = (",\n" + " " * (indent + 2)).join(children)
        return f"TreeSpec({self.type.__name__}, {self._context}, [{joined}])"

    def __reduce__(self) -> tuple:
        return TreeSpec, (self.type, self._context, self._children)

    def unflatten(self, leaves: Iterable) -> PyTree:
        """The tree of this structure with the given leaves."""
        leaves = list(leaves)
        if len(leaves) != self.num_leaves:
            raise ValueError(
                f"treespec.unflatten(leaves): `leaves` has length {len(leaves)} but the spec refers to a "
                f"pytree "
                f"that holds {self.num_leaves} items ({self})."
            )
        return self._built(iter(leaves))

    def _built(self, leaves: Iterator) -> PyTree:
        if self.type is None:
            return next(leaves)
        children = [child._built(leaves) for child in self._children]
        return SUPPORTED_NODES[self.type].unflatten_fn(children, self._context)

    def flatten_up_to(self, tree: PyTree) -> list[PyTree]:
        """The parts of ``tree`` that stand where this structure has leaves."""
        parts: list[PyTree] = []
        self._collect(tree, parts)
        return parts

    def _collect(self, tree: PyTree, parts: list[PyTree]) -> None:
        if self.type is None:
            parts.append(tree)
            return
        for spec, child in zip(self._children, self._matched(tree), strict=True):
            spec._collect(child, parts)

    def _matched(self, tree: PyTree) -> list[PyTree]:
        """The children of a node that must fit this one, in this one's order."""
        kind = _get_node_type(tree)
        dicts = self.type in STANDARD_DICT_TYPES and kind in STANDARD_DICT_TYPES
        if kind is not self.type and not dicts:
            raise ValueError(f"Node type mismatch; expected {self.type!r}, but got {kind!r}.")
        children, context = SUPPORTED_NODES[kind].flatten_fn(tree)
        if len(children) != self.num_children:
            raise ValueError(f"Node arity mismatch; expected {self.num_children}, but got {len(children)}.")
        if dicts:
            return self._matched_dict(tree)
        if self.type is not deque and context != self._context:
            raise ValueError(
                f"Node context mismatch for node type {self.type!r}; expected {self._context!r}, but got {context!r}."
            )
        return children

    def _matched_dict(self, tree: Mapping) -> list[PyTree]:
        expected = self._context[1] if self.type is defaultdict else self._context
        if set(tree) != set(expected):
            missing = set(expected).difference(tree)
            extra = set(tree).difference(expected)
            faults = f"; missing key(s): {missing}" if missing else ""
            faults += f"; extra key(s): {extra}" if extra else ""
            raise ValueError(f"Node keys mismatch{faults}.")
        return [tree[key] for key in expected]


PyTreeSpec = TreeSpec


class _LeafSpecMeta(type):
    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, TreeSpec) and instance.is_leaf()


class LeafSpec(TreeSpec, metaclass=_LeafSpecMeta):
    """The description of a leaf."""

    __slots__ = ()

    def __new__(cls) -> Any:
        return _LEAF_SPEC


_LEAF_SPEC = TreeSpec(None, None, [])


def treespec_leaf() -> TreeSpec:
    """The description of a leaf."""
    return _LEAF_SPEC


def treespec_tuple(iterable: Iterable[TreeSpec] = (), /) -> TreeSpec:
    """The description of a tuple of the described parts."""
    return TreeSpec(tuple, None, list(iterable))


def treespec_dict(mapping: Any = (), /, **kwargs: TreeSpec) -> TreeSpec:
    """The description of a dict of the described parts."""
    specs = dict(mapping, **kwargs)
    return TreeSpec(dict, list(specs), list(specs.values()))


# --- writing structures down -----------------------------------------------------------------


class EnumEncoder(json.JSONEncoder):
    """Writes members of enumerations by name."""

    def default(self, o: object) -> Any:
        if isinstance(o, Enum):
            cls = type(o)
            return {"__enum__": True, "fqn": f"{cls.__module__}:{cls.__qualname__}", "name": o.name}
        return super().default(o)


def treespec_dumps(treespec: TreeSpec, protocol: int | None = None) -> str:
    """A structure as JSON."""
    if not isinstance(treespec, TreeSpec):
        raise TypeError(
            "treespec_dumps(treespec, protocol): Expected `treespec` to be instance of TreeSpec "
            f"but got item of type {type(treespec)}."
        )
    if protocol not in (None, 1):
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return json.dumps((1, _dumped(treespec)), cls=EnumEncoder)


def _dumped(spec: TreeSpec) -> dict[str, Any]:
    if spec.is_leaf():
        return {"type": None, "context": None, "children_spec": []}
    node = SUPPORTED_NODES.get(spec.type)
    if node is None:
        raise NotImplementedError(f"Serializing {spec.type} in pytree is not registered.")
    if node.serialized_type_name is None:
        raise NotImplementedError(
            f"No registered serialization name for {spec.type} found. "
            "Please update your _register_pytree_node call with a `serialized_type_name` kwarg."
        )
    context = spec.context
    try:
        dumped = (node.to_dumpable_context or _to_json)(context)
    except TypeError as error:
        raise TypeError(
            "Unable to serialize context. Please make the context json dump-able, or register a "
            "custom serializer using _register_pytree_node."
        ) from error
    children = [_dumped(child) for child in spec._children]
    return {"type": node.serialized_type_name, "context": dumped, "children_spec": children}


def _to_json(context: Context) -> str:
    return json.dumps(context, cls=EnumEncoder)


def treespec_loads(serialized: str) -> TreeSpec:
    """The structure that :func:`treespec_dumps` wrote."""
    protocol, schema = json.loads(serialized)
    if protocol != 1:
        raise ValueError(f"Unknown protocol {protocol}. Available protocols: [1]")
    return _loaded(schema)


def _loaded(schema: dict[str, Any]) -> TreeSpec:
    name = schema["type"]
    if name is None:
        return _LEAF_SPEC
    if name not in SERIALIZED_TYPE_TO_PYTHON_TYPE:
        raise NotImplementedError(f"Deserializing {name} in pytree is not registered.")
    kind = SERIALIZED_TYPE_TO_PYTHON_TYPE[name]
    context = (SUPPORTED_NODES[kind].from_dumpable_context or _from_json)(schema["context"])
    return TreeSpec(kind, context, [_loaded(child) for child in schema["children_spec"]])


def _from_json(text: str) -> Context:
    return json.loads(text, object_hook=_enum_member)


def _enum_member(value: dict[str, Any]) -> Any:
    if "__enum__" not in value:
        return value
    import importlib

    module, _, path = value["fqn"].partition(":")
    cls: Any = functools.reduce(getattr, path.split("."), importlib.import_module(module))
    return cls[value["name"]]


class _Asterisk:
    def __repr__(self) -> str:
        return "*"


def treespec_pprint(treespec: TreeSpec) -> str:
    """A structure as it would be written, with an asterisk for each leaf."""
    return repr(treespec.unflatten([_Asterisk()] * treespec.num_leaves))
