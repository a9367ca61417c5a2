"""Node: one value of a graph, and how it is computed from others."""

from __future__ import annotations

import operator
import types
from collections.abc import Callable
from typing import Any

import flowtorch as torch

from ._names import qualified_name as _get_qualified_name
from ._names import torch_name
from ._names import type_name as _type_repr
from .immutable_collections import immutable_dict, immutable_list

__all__ = ["Node", "has_side_effect", "map_aggregate", "map_arg"]

base_types = (
    str,
    int,
    float,
    bool,
    complex,
    torch.dtype,
    torch.Tensor,
    torch.device,
    torch.memory_format,
    torch.layout,
)
Target = Callable[..., Any] | str
Argument = Any

_legal_ops = dict.fromkeys(["placeholder", "call_method", "call_module", "call_function", "get_attr", "output", "root"])

_side_effectful_functions: set[Callable] = {torch._assert, torch._assert_async, operator.setitem}
# Functions that draw random numbers: leaving one out would change what the next ones draw.
_RANDOM = frozenset((
    "bernoulli", "dropout", "alpha_dropout", "feature_dropout", "feature_alpha_dropout", "dropout1d", "dropout2d",
    "dropout3d", "multinomial", "normal", "poisson", "rand", "rand_like", "randint", "randint_like", "randn",
    "randn_like", "randperm", "rrelu", "binomial",
))  # fmt: skip


def has_side_effect(fn: Callable) -> Callable:
    """Mark a function as one whose calls are kept though nobody uses their results. Returns it."""
    _side_effectful_functions.add(fn)
    return fn


class Node:
    """One value of a graph: what computes it (``op``, ``target``), from what (``args``, ``kwargs``), and its users.

    ``op`` is one of

    - ``placeholder``: an input; ``target`` is the parameter's name, ``args`` its default if it has one;
    - ``get_attr``: a parameter, buffer or other attribute of the module, by its dotted name;
    - ``call_function``: ``target(*args, **kwargs)``;
    - ``call_method``: the method named ``target`` of ``args[0]``;
    - ``call_module``: the submodule with the dotted name ``target``;
    - ``output``: what the graph returns, in ``args[0]``.

    Nodes are made by the methods of ``Graph``. They stand in a ring (``next``, ``prev``) in the order of execution.
    """

    graph: Any
    name: str
    op: str
    target: Any
    type: Any
    meta: dict[str, Any]
    users: dict[Node, None]
    _input_nodes: dict[Node, None]
    _args: tuple
    _kwargs: dict[str, Any]
    _erased: bool
    _repr_fn: Callable[[Node], str] | None
    _order: int
    _prev: Node
    _next: Node

    def __init__(
        self, graph: Any, name: str, op: str, target: Target, args: tuple, kwargs: dict, return_type: Any = None
    ) -> None:
        assert op in _legal_ops, f"op '{op}' is not one of {', '.join(_legal_ops)}"
        wanted = callable(target) if op == "call_function" else isinstance(target, str)
        if not wanted:
            kind = "Callable" if op == "call_function" else "str"
            raise ValueError(
                f"Node [graph = {graph}, name = '{name}'] target {target} has type {type(target).__name__} but a "
                f"{kind} is expected"
            )
        state = self.__dict__
        state.update(graph=graph, name=name, op=op, target=target, type=return_type, meta={}, users={})
        state.update(_input_nodes={}, _args=(), _kwargs=immutable_dict(), _erased=False, _repr_fn=None, _order=0)
        state.update(_prev=self, _next=self)
        self._update_args_kwargs(args, kwargs)

    # --- the ring

    @property
    def next(self) -> Node:
        """The node after this one; the last is followed by the ring's root."""
        return self._next

    @property
    def prev(self) -> Node:
        """The node before this one."""
        return self._prev

    def prepend(self, x: Node) -> None:
        """Put ``x`` right before this node."""
        assert self.graph == x.graph, "Attempting to move a Node into a different Graph"
        if self is x:
            return
        x._remove_from_list()
        before = self._prev
        before.__dict__["_next"], x.__dict__["_prev"] = x, before
        x.__dict__["_next"], self.__dict__["_prev"] = self, x
        self.graph._numbered = False

    def append(self, x: Node) -> None:
        """Put ``x`` right after this node."""
        if x is not self:
            self._next.prepend(x)

    def _remove_from_list(self) -> None:
        # This node's own links stay, so that whoever stands on it finds the way on.
        self._prev.__dict__["_next"], self._next.__dict__["_prev"] = self._next, self._prev

    @property
    def _sort_key(self) -> tuple[int]:
        return (self.graph._position(self),)

    def __lt__(self, other: Node) -> bool:
        return self._sort_key < other._sort_key

    def __gt__(self, other: Node) -> bool:
        return self._sort_key > other._sort_key

    def __le__(self, other: Node) -> bool:
        return self is other or self < other

    def __ge__(self, other: Node) -> bool:
        return self is other or self > other

    # --- arguments

    @property
    def args(self) -> tuple:
        """The positional arguments; assigning other ones keeps track of the uses."""
        return self._args

    @args.setter
    def args(self, a: tuple) -> None:
        self._update_args_kwargs(a, self._kwargs)

    @property
    def kwargs(self) -> dict[str, Any]:
        """The keyword arguments; assigning other ones keeps track of the uses."""
        return self._kwargs

    @kwargs.setter
    def kwargs(self, k: dict[str, Any]) -> None:
        self._update_args_kwargs(self._args, k)

    @property
    def all_input_nodes(self) -> list[Node]:
        """The nodes among the arguments, each once."""
        return list(self._input_nodes)

    def update_arg(self, idx: int, arg: Any) -> None:
        """Exchange one positional argument."""
        args = list(self._args)
        args[idx] = arg
        self.args = tuple(args)

    def insert_arg(self, idx: int, arg: Any) -> None:
        """Add a positional argument before the one at ``idx``."""
        assert 0 <= idx <= len(self._args), "insert_args index must be between 0 and len(self.args)"
        self.args = (*self._args[:idx], arg, *self._args[idx:])

    def update_kwarg(self, key: str, arg: Any) -> None:
        """Exchange or add one keyword argument."""
        self.kwargs = {**self._kwargs, key: arg}

    def _update_args_kwargs(self, args: tuple, kwargs: dict) -> None:
        for node in self._input_nodes:
            node.users.pop(self, None)
        inputs: dict[Node, None] = {}

        def note(node: Node) -> Node:
            inputs.setdefault(node)
            node.users.setdefault(self)
            return node

        held_args, held_kwargs = map_arg(args, note), map_arg(kwargs, note)
        self.__dict__.update(_input_nodes=inputs, _args=held_args, _kwargs=held_kwargs)

    def replace_input_with(self, old_input: Node, new_input: Node) -> None:
        """Use ``new_input`` wherever this node used ``old_input``."""
        for hook in getattr(self.graph.owning_module, "_replace_hooks", None) or ():
            hook(old=old_input, new=new_input.name, user=self)
        self._replace_input_with(old_input, new_input)

    def _replace_input_with(self, old: Node, new: Node) -> None:
        def exchange(node: Node) -> Node:
            return new if node is old else node

        self._update_args_kwargs(map_arg(self._args, exchange), map_arg(self._kwargs, exchange))

    def replace_all_uses_with(
        self, replace_with: Node, delete_user_cb: Callable | None = None, *, propagate_meta: bool = False
    ) -> list[Node]:
        """Let every user (that ``delete_user_cb`` agrees to) use another node instead. Returns those users."""
        if propagate_meta:
            assert not replace_with.meta, "propagate_meta=True, but replace_with already has .meta keys"
            replace_with.meta.update(self.meta)
        changed = [user for user in self.users if delete_user_cb is None or delete_user_cb(user)]
        for user in changed:
            user.replace_input_with(self, replace_with)
        return changed

    # --- questions

    @property
    def stack_trace(self) -> str | None:
        """Where the call was made, if the tracer recorded it."""
        return self.meta.get("stack_trace")

    @stack_trace.setter
    def stack_trace(self, trace: str | None) -> None:
        self.meta["stack_trace"] = trace

    def is_impure(self, impure_random: bool = True) -> bool:
        """Whether the node does more than compute its value, so that it must stay even without users."""
        if self.op in ("placeholder", "output"):
            return True
        if self.op == "call_module":
            module = self.graph.owning_module
            assert module is not None, "self.graph.owning_module not set for purity check"
            return getattr(module.get_submodule(self.target), "_is_impure", False)
        if self.op == "call_function":
            return self.target in _side_effectful_functions or self._writes() or (impure_random and self._draws())
        return False

    def _writes(self) -> bool:
        """Whether the function called is an operator in place, or gets an ``out``."""
        name = getattr(self.target, "__name__", "")
        if getattr(self.target, "__module__", None) == "_operator":
            return False
        from flowtorch.ops_namespace import OpOverload

        return isinstance(self.target, OpOverload) and name.partition(".")[0].endswith("_")

    def _draws(self) -> bool:
        from flowtorch.ops_namespace import OpOverload

        name = getattr(self.target, "__name__", "").partition(".")[0]
        return isinstance(self.target, OpOverload) and name in _RANDOM

    def normalized_arguments(
        self, root: Any, arg_types: Any = None, kwarg_types: Any = None, normalize_to_only_use_kwargs: bool = False
    ) -> Any:
        """The arguments as the function's or module's signature has them; None where there is no signature."""
        from .operator_schemas import normalize_function, normalize_module

        if self.op == "call_function":
            return normalize_function(
                self.target, self._args, self._kwargs, arg_types, kwarg_types, normalize_to_only_use_kwargs
            )
        if self.op == "call_module":
            return normalize_module(root, self.target, self._args, self._kwargs, normalize_to_only_use_kwargs)
        return None

    # --- names and printing

    def _rename(self, candidate: str) -> None:
        if candidate != self.name:
            self.name = self.graph._graph_namespace.create_name(candidate, None)
            self.graph._graph_namespace._rename_object(self, self.name)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "name":
            for hook in getattr(self.graph.owning_module, "_replace_hooks", None) or ():
                for user in self.users:
                    hook(old=self, new=value, user=user)
        if name in ("op", "target"):
            self.graph._found.pop(self)
            self.__dict__[name] = value
            self.graph._found.add(self)
        else:
            object.__setattr__(self, name, value)

    def __repr__(self) -> str:
        return self._repr_fn(self) if self._repr_fn else self.name

    @staticmethod
    def _pretty_print_target(target: Target) -> str:
        if isinstance(target, str):
            return target
        short = {"builtins": "builtins", "_operator": "operator"}.get(getattr(target, "__module__", None) or "")
        return f"{short}.{target.__name__}" if short else _get_qualified_name(target)

    def format_node(
        self, placeholder_names: list[str] | None = None, maybe_return_typename: list[str] | None = None, *,
        include_tensor_metadata: bool = False,
    ) -> str | None:  # fmt: skip
        """The node as a line of the printed graph; None for an input that goes into ``placeholder_names`` instead."""
        annotation = "" if self.type is None else f"{_type_repr(self.type)} "
        head = f"%{self.name} : {annotation}[num_users={len(self.users)}] = {self.op}"
        if self.op == "placeholder":
            if placeholder_names:
                placeholder_names.append(self.target + (f": {_type_repr(self.type)}" if self.type else ""))
                return None
            default = f"(default={self.args[0]})" if self.args else ""
            return f"{head}[target={self.target}]{default}"
        if self.op == "get_attr":
            return f"{head}[target={self.target}]"
        if self.op == "output":
            if self.type and maybe_return_typename:
                maybe_return_typename[0] = f" -> {_type_repr(self.type)}"
            return f"return {self.args[0]}"
        if include_tensor_metadata and (known := _metadata(self)):
            head = f"%{self.name} : {known}[num_users={len(self.users)}] = {self.op}"
        target = self._pretty_print_target(self.target)
        return f"{head}[target={target}](args = {_format_arg(self.args)}, kwargs = {_format_arg(self.kwargs)})"


def _metadata(node: Node) -> str:
    value = next((node.meta[k] for k in ("val", "tensor_meta", "example_value") if k in node.meta), None)
    if not isinstance(value, torch.Tensor):
        return ""
    from ._codegen import abbreviated

    return f'Tensor "{abbreviated(value.dtype)}{list(value.shape)}{list(value.stride())}{value.device}"'


def _format_arg(arg: Any, max_list_len: float = float("inf")) -> str:
    """An argument as the printed graph shows it: nodes with a % before their names."""
    if hasattr(arg, "_custom_fx_repr_fn"):
        return arg._custom_fx_repr_fn()
    if isinstance(arg, (list, tuple)):
        shown = ", ".join(_format_arg(a) for i, a in enumerate(arg) if i < max_list_len)
        if isinstance(arg, tuple) and len(arg) == 1:
            shown += ","
        if len(arg) >= max_list_len + 1:
            shown += f", ...[total_len={len(arg)}]"
        return f"[{shown}]" if isinstance(arg, list) else f"({shown})"
    if isinstance(arg, dict):
        return "{" + ", ".join(f"{k}: {_format_arg(v)}" for k, v in arg.items()) + "}"
    return f"%{arg}" if isinstance(arg, Node) else str(arg)


def map_arg(a: Any, fn: Callable[[Node], Any]) -> Any:
    """``a`` with ``fn`` applied to every node in it; lists and dicts come back immutable."""
    assert callable(fn), "torch.fx.map_arg(a, fn): fn must be a callable"
    return map_aggregate(a, lambda x: fn(x) if isinstance(x, Node) else x)


def map_aggregate(a: Any, fn: Callable[[Any], Any]) -> Any:
    """``a`` with ``fn`` applied to everything in it that is no tuple, list, dict or slice."""
    if isinstance(a, tuple):
        mapped = [map_aggregate(x, fn) for x in a]
        return type(a)(*mapped) if hasattr(a, "_fields") else tuple(mapped)
    if isinstance(a, list):
        return immutable_list([map_aggregate(x, fn) for x in a])
    if isinstance(a, dict):
        return immutable_dict({k: map_aggregate(v, fn) for k, v in a.items()})
    if isinstance(a, slice):
        return slice(map_aggregate(a.start, fn), map_aggregate(a.stop, fn), map_aggregate(a.step, fn))
    return fn(a)


def target_name(target: Target) -> str:
    """The name that a target suggests for its value: the function's, as PyTorch calls it."""
    if isinstance(target, str):
        return target
    known = torch_name(target) if not isinstance(target, type) else None
    if known is not None and not isinstance(target, types.BuiltinFunctionType):
        return known.rpartition(".")[2] if not known.startswith("torch.ops.") else target.__name__  # type: ignore[union-attr]
    return target.__name__  # type: ignore[union-attr]
