"""Lists and dicts of nodes' arguments: changing one would go unnoticed by the graph, so it is an error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NoReturn

from flowtorch.utils import _pytree as pytree

__all__ = ["immutable_dict", "immutable_list"]


def _refuses(kind: str) -> Callable[..., NoReturn]:
    def change(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(
            f"'{type(self).__name__}' object does not support mutation. The graph follows uses by this {kind}: make a "
            "new one and assign it to node.args or node.kwargs."
        )

    return change


def _frozen(name: str, base: type, changes: tuple[str, ...]) -> dict[str, Any]:
    """The body of a class like ``base`` that refuses the methods named; it copies and pickles as itself."""
    body: dict[str, Any] = dict.fromkeys(changes, _refuses(base.__name__))
    body["__hash__"] = lambda self: hash(tuple(self.items() if base is dict else self))
    body["__reduce__"] = lambda self: (type(self), (base(self),))
    body["__doc__"] = f"A {base.__name__} that cannot be changed."
    body["__module__"] = __name__
    return body


_LIST = ("append", "clear", "extend", "insert", "pop", "remove", "reverse", "sort",
         "__delitem__", "__iadd__", "__imul__", "__setitem__")  # fmt: skip
_DICT = ("clear", "pop", "popitem", "update", "setdefault", "__delitem__", "__ior__", "__setitem__")

immutable_list: Any = type("immutable_list", (list,), _frozen("immutable_list", list, _LIST))
immutable_dict: Any = type("immutable_dict", (dict,), _frozen("immutable_dict", dict, _DICT))


def _list_flatten(value: Any) -> tuple[list, None]:
    return list(value), None


def _list_unflatten(values: Iterable, context: Any) -> Any:
    return immutable_list(values)


def _dict_flatten(value: Any) -> tuple[list, list]:
    return list(value.values()), list(value)


def _dict_unflatten(values: Iterable, context: Any) -> Any:
    return immutable_dict(zip(context, values, strict=True))


pytree.register_pytree_node(
    immutable_list,
    _list_flatten,
    _list_unflatten,
    serialized_type_name="torch.fx.immutable_collections.immutable_list",
)
pytree.register_pytree_node(
    immutable_dict,
    _dict_flatten,
    _dict_unflatten,
    serialized_type_name="torch.fx.immutable_collections.immutable_dict",
)
