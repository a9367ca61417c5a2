"""The containers that trees are made of: how each is taken apart, put together and named."""

from __future__ import annotations

import dataclasses
import warnings
from collections import OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

PyTree = Any
Context = Any
DumpableContext = Any
FlattenFn = Callable[[PyTree], tuple[list, Context]]
UnflattenFn = Callable[[Iterable, Context], PyTree]
ToDumpableContextFn = Callable[[Context], DumpableContext]
FromDumpableContextFn = Callable[[DumpableContext], Context]
IsLeaf = Callable[[PyTree], bool] | None


# --- keys: where in its parent a child is ----------------------------------------------------


@dataclasses.dataclass(frozen=True)
class SequenceKey:
    """A position in a sequence."""

    idx: int

    def __str__(self) -> str:
        return f"[{self.idx!r}]"

    def get(self, sequence: Any) -> Any:
        return sequence[self.idx]


@dataclasses.dataclass(frozen=True)
class MappingKey:
    """A key of a mapping."""

    key: Any

    def __str__(self) -> str:
        return f"[{self.key!r}]"

    def get(self, mapping: Any) -> Any:
        return mapping[self.key]


@dataclasses.dataclass(frozen=True)
class GetAttrKey:
    """The name of an attribute."""

    name: str

    def __str__(self) -> str:
        return f".{self.name}"

    def get(self, obj: Any) -> Any:
        return getattr(obj, self.name)


def keystr(kp: tuple) -> str:
    """A path as one would write it after a variable's name."""
    return "".join(map(str, kp))


def key_get(obj: Any, kp: tuple) -> Any:
    """What lies at a path."""
    for key in kp:
        obj = key.get(obj)
    return obj


# --- kinds of nodes --------------------------------------------------------------------------


class NodeDef(NamedTuple):
    """How a type of container is taken apart and put together, and how its description is written down."""

    type: Any
    flatten_fn: FlattenFn
    unflatten_fn: UnflattenFn
    flatten_with_keys_fn: Callable[[PyTree], tuple[list, Context]] | None = None
    serialized_type_name: str | None = None
    to_dumpable_context: ToDumpableContextFn | None = None
    from_dumpable_context: FromDumpableContextFn | None = None


SUPPORTED_NODES: dict[Any, NodeDef] = {}
SERIALIZED_TYPE_TO_PYTHON_TYPE: dict[str, Any] = {}
CONSTANT_NODES: set[type] = set()


def register_pytree_node(
    cls: type,
    flatten_fn: FlattenFn,
    unflatten_fn: UnflattenFn,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: ToDumpableContextFn | None = None,
    from_dumpable_context: FromDumpableContextFn | None = None,
    flatten_with_keys_fn: Callable | None = None,
) -> None:
    """Make ``cls`` a node of trees.

    Args:
        flatten_fn: from an instance to (list of children, context).
        unflatten_fn: from children and context to an instance.
        serialized_type_name: its name in :func:`treespec_dumps`.
        flatten_with_keys_fn: from an instance to (list of (key, child), context).
    """
    if cls in SUPPORTED_NODES:
        raise ValueError(f"{cls} is already registered as pytree node.")
    _private_register_pytree_node(
        cls,
        flatten_fn,
        unflatten_fn,
        serialized_type_name=serialized_type_name,
        to_dumpable_context=to_dumpable_context,
        from_dumpable_context=from_dumpable_context,
        flatten_with_keys_fn=flatten_with_keys_fn,
    )


def _private_register_pytree_node(
    cls: Any,
    flatten_fn: FlattenFn,
    unflatten_fn: UnflattenFn,
    *,
    serialized_type_name: str | None = None,
    to_dumpable_context: ToDumpableContextFn | None = None,
    from_dumpable_context: FromDumpableContextFn | None = None,
    flatten_with_keys_fn: Callable | None = None,
) -> None:
    if cls in SUPPORTED_NODES:
        warnings.warn(
            f"{cls} is already registered as pytree node. Overwriting the previous registration.",
            stacklevel=3,
        )
    if (to_dumpable_context is None) != (from_dumpable_context is None):
        raise ValueError(f"Both to_dumpable_context and from_dumpable_context for {cls} must be None or registered.")
    SUPPORTED_NODES[cls] = NodeDef(
        cls,
        flatten_fn,
        unflatten_fn,
        flatten_with_keys_fn,
        serialized_type_name,
        to_dumpable_context,
        from_dumpable_context,
    )
    if serialized_type_name is not None:
        SERIALIZED_TYPE_TO_PYTHON_TYPE[serialized_type_name] = cls


def _register_pytree_node(
    cls: type,
    flatten_fn: FlattenFn,
    unflatten_fn: UnflattenFn,
    to_str_fn: Any = None,
    maybe_from_str_fn: Any = None,
    **options: Any,
) -> None:
    """The older name of :func:`register_pytree_node`; a second registration replaces the first."""
    _private_register_pytree_node(cls, flatten_fn, unflatten_fn, **options)


def _deregister_pytree_node(cls: type) -> None:
    """Make instances of ``cls`` leaves again."""
    node = SUPPORTED_NODES.pop(cls)
    CONSTANT_NODES.discard(cls)
    if node.serialized_type_name is not None:
        del SERIALIZED_TYPE_TO_PYTHON_TYPE[node.serialized_type_name]


def register_dataclass(
    cls: type,
    *,
    field_names: list[str] | None = None,
    drop_field_names: list[str] | None = None,
    serialized_type_name: str | None = None,
) -> None:
    """Make a dataclass a node whose children are its fields (those that are not None)."""
    if field_names is None:
        if not dataclasses.is_dataclass(cls):
            raise ValueError(
                "field_names must be specified with a list of all fields used to "
                f"initialize {cls}, as it is not a dataclass."
            )
        field_names = [f.name for f in dataclasses.fields(cls) if f.init]
    elif dataclasses.is_dataclass(cls):
        _check_fields(cls, set(field_names), set(drop_field_names or ()))
    names = [name for name in field_names if name not in (drop_field_names or ())]

    def flatten(obj: Any) -> tuple[list, Context]:
        present = [name for name in names if getattr(obj, name) is not None]
        return [getattr(obj, n) for n in present], [present, [n for n in names if n not in present]]

    def unflatten(values: Iterable, context: Context) -> Any:
        present, absent = context
        return cls(**dict(zip(present, values, strict=True)), **dict.fromkeys(absent))

    def flatten_with_keys(obj: Any) -> tuple[list, Context]:
        values, context = flatten(obj)
        return [(GetAttrKey(n), v) for n, v in zip(context[0], values, strict=True)], context

    _private_register_pytree_node(
        cls,
        flatten,
        unflatten,
        serialized_type_name=serialized_type_name,
        flatten_with_keys_fn=flatten_with_keys,
    )


def _check_fields(cls: Any, given: set[str], dropped: set[str]) -> None:
    wanted = {f.name for f in dataclasses.fields(cls) if f.init} - dropped
    faults = []
    if wanted - given:
        faults.append(f"Missing fields in `field_names`: {wanted - given}; name them there or in `drop_field_names`.")
    if given - wanted:
        faults.append(f"Unexpected fields in `field_names`: {given - wanted}.")
    if faults:
        raise ValueError("field_names does not include all dataclass fields.\n" + "\n".join(faults))


@dataclasses.dataclass(frozen=True)
class ConstantNode:
    """The context of a node that is all constant: the object itself."""

    value: Any


def register_constant(cls: type) -> None:
    """Make instances of ``cls`` a part of the structure of trees, without leaves; they must compare and
    hash."""
    if cls.__eq__ is object.__eq__:
        raise TypeError(f"register_constant(cls) expects `cls` to have a non-default `__eq__` implementation: {cls}")
    if cls.__hash__ is object.__hash__ or cls.__hash__ is None:
        raise TypeError(f"register_constant(cls) expects `cls` to have a non-default `__hash__` implementation: {cls}")
    _private_register_pytree_node(
        cls,
        lambda obj: ([], ConstantNode(obj)),
        lambda _, context: context.value,
        flatten_with_keys_fn=lambda obj: ([], ConstantNode(obj)),
    )
    CONSTANT_NODES.add(cls)


def is_constant_class(cls: type) -> bool:
    """Whether ``cls`` was given to :func:`register_constant`."""
    return isinstance(cls, type) and cls in CONSTANT_NODES


def is_namedtuple_class(cls: Any) -> bool:
    """Whether ``cls`` is a named tuple class."""
    fields = getattr(cls, "_fields", None)
    return isinstance(cls, type) and issubclass(cls, tuple) and isinstance(fields, tuple)


def is_namedtuple_instance(obj: object) -> bool:
    """Whether ``obj`` is a named tuple."""
    return is_namedtuple_class(type(obj))


def is_namedtuple(obj: Any) -> bool:
    """Whether ``obj`` is a named tuple or a class of them."""
    return is_namedtuple_class(obj if isinstance(obj, type) else type(obj))


def is_structseq_class(cls: Any) -> bool:
    """Whether ``cls`` is a struct sequence: a tuple type with named fields made in C."""
    counts = ("n_fields", "n_sequence_fields", "n_unnamed_fields")
    return (
        isinstance(cls, type)
        and cls.__bases__ == (tuple,)
        and all(isinstance(getattr(cls, name, None), int) for name in counts)
    )


def is_structseq_instance(obj: object) -> bool:
    """Whether ``obj`` is a struct sequence."""
    return is_structseq_class(type(obj))


def is_structseq(obj: Any) -> bool:
    """Whether ``obj`` is a struct sequence or a class of them."""
    return is_structseq_class(obj if isinstance(obj, type) else type(obj))


# --- the containers that are nodes from the start --------------------------------------------


def _with_positions(node: Any) -> list:
    return [(SequenceKey(i), child) for i, child in enumerate(node)]


def _with_mapping_keys(node: Any) -> list:
    return [(MappingKey(key), child) for key, child in node.items()]


def _filled(values: Iterable, keys: Iterable) -> Iterable:
    return zip(keys, values, strict=True)


def _dump_namedtuple(cls: Any) -> str:
    node = SUPPORTED_NODES.get(cls)
    if node is None or node.serialized_type_name is None:
        raise NotImplementedError(
            f"Can't serialize TreeSpec of namedtuple class {cls} because we didn't register a "
            "serializated_type_name. Please register using `_register_namedtuple`."
        )
    return node.serialized_type_name


def _load_namedtuple(name: str) -> Any:
    if name not in SERIALIZED_TYPE_TO_PYTHON_TYPE:
        raise NotImplementedError(
            f"Can't deserialize TreeSpec of namedtuple class {name} because we couldn't find a serializated name."
        )
    return SERIALIZED_TYPE_TO_PYTHON_TYPE[name]


def _dump_defaultdict(context: Context) -> DumpableContext:
    factory, keys = context
    return {
        "default_factory_module": factory.__module__,
        "default_factory_name": factory.__qualname__,
        "dict_context": keys,
    }


def _load_defaultdict(dumped: Any) -> Context:
    import importlib

    module = importlib.import_module(dumped["default_factory_module"])
    return [getattr(module, dumped["default_factory_name"]), dumped["dict_context"]]


def _sequence_functions(kind: type) -> tuple[Callable, Callable, Callable]:
    """How a sequence type is flattened, put together, and flattened with keys."""
    return (
        lambda node: (list(node), None),
        lambda values, context: kind(values),
        lambda node: (_with_positions(node), None),
    )


def _mapping_functions(kind: type) -> tuple[Callable, Callable, Callable]:
    return (
        lambda node: (list(node.values()), list(node)),
        lambda values, context: kind(_filled(values, context)),
        lambda node: (_with_mapping_keys(node), list(node)),
    )


# Other libraries build the functions of their own containers from these.
_list_flatten, _list_unflatten, _list_flatten_with_keys = _sequence_functions(list)
_tuple_flatten, _tuple_unflatten, _tuple_flatten_with_keys = _sequence_functions(tuple)
_dict_flatten, _dict_unflatten, _dict_flatten_with_keys = _mapping_functions(dict)
_ordereddict_flatten, _ordereddict_unflatten, _ordereddict_flatten_with_keys = _mapping_functions(OrderedDict)
_odict_flatten, _odict_unflatten = _ordereddict_flatten, _ordereddict_unflatten


def _register_builtins() -> None:
    register: Callable = _private_register_pytree_node
    functions = {
        "builtins.tuple": (tuple, _tuple_flatten, _tuple_unflatten, _tuple_flatten_with_keys),
        "builtins.list": (list, _list_flatten, _list_unflatten, _list_flatten_with_keys),
        "builtins.dict": (dict, _dict_flatten, _dict_unflatten, _dict_flatten_with_keys),
        "collections.OrderedDict": (
            OrderedDict,
            _ordereddict_flatten,
            _ordereddict_unflatten,
            _ordereddict_flatten_with_keys,
        ),
    }
    for name, (kind, flatten, unflatten, with_keys) in functions.items():
        register(kind, flatten, unflatten, serialized_type_name=name, flatten_with_keys_fn=with_keys)
    register(
        namedtuple,
        lambda node: (list(node), type(node)),
        lambda values, cls: cls(list(values)) if is_structseq_class(cls) else cls(*values),
        serialized_type_name="collections.namedtuple",
        to_dumpable_context=_dump_namedtuple,
        from_dumpable_context=_load_namedtuple,
        flatten_with_keys_fn=_namedtuple_with_keys,
    )
    register(
        defaultdict,
        lambda node: (list(node.values()), [node.default_factory, list(node)]),
        lambda values, context: defaultdict(context[0], _filled(values, context[1])),
        serialized_type_name="collections.defaultdict",
        to_dumpable_context=_dump_defaultdict,
        from_dumpable_context=_load_defaultdict,
        flatten_with_keys_fn=lambda node: (_with_mapping_keys(node), [node.default_factory, list(node)]),
    )
    register(
        deque,
        lambda node: (list(node), node.maxlen),
        lambda values, maxlen: deque(values, maxlen=maxlen),
        serialized_type_name="collections.deque",
        flatten_with_keys_fn=lambda node: (_with_positions(node), node.maxlen),
    )


def _namedtuple_with_keys(node: Any) -> tuple[list, Context]:
    return [(GetAttrKey(name), value) for name, value in zip(node._fields, node, strict=True)], type(node)


def _register_namedtuple(cls: type, *, serialized_type_name: str) -> None:
    """Give a named tuple class a name in :func:`treespec_dumps`."""
    node = SUPPORTED_NODES[namedtuple]
    _private_register_pytree_node(
        cls,
        node.flatten_fn,
        node.unflatten_fn,
        serialized_type_name=serialized_type_name,
        to_dumpable_context=_dump_namedtuple,
        from_dumpable_context=_load_namedtuple,
        flatten_with_keys_fn=_namedtuple_with_keys,
    )


_register_builtins()
BUILTIN_TYPES = frozenset(SUPPORTED_NODES)
STANDARD_DICT_TYPES = frozenset((dict, OrderedDict, defaultdict))


def _register_torch_types() -> None:
    from flowtorch.tensor import Size

    _private_register_pytree_node(
        Size,
        lambda node: (list(node), None),
        lambda values, _: Size(values),
        serialized_type_name="torch.Size",
        flatten_with_keys_fn=lambda node: (_with_positions(node), None),
    )


_register_torch_types()


def _get_node_type(tree: PyTree) -> Any:
    kind = type(tree)
    if kind not in SUPPORTED_NODES and is_namedtuple_class(kind):
        return namedtuple
    return kind


def tree_is_leaf(tree: PyTree, is_leaf: IsLeaf = None) -> bool:
    """Whether ``tree`` is a leaf: of no registered type, or because ``is_leaf`` says so."""
    return (is_leaf is not None and is_leaf(tree)) or _get_node_type(tree) not in SUPPORTED_NODES


_is_leaf = tree_is_leaf
