"""Proxies: what stands for values while a program is traced, and writes down what is done to it."""

from __future__ import annotations

import copy
import dis
import enum
import operator
import sys
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import flowtorch as torch

from . import traceback as fx_traceback
from ._codegen import magic_methods, reflectable_magic_methods
from .node import Node, base_types, map_aggregate, map_arg

__all__ = [
    "Attribute",
    "GraphAppendingTracer",
    "MetaProxy",
    "ParameterProxy",
    "Proxy",
    "Scope",
    "ScopeContextManager",
    "TraceError",
    "TracerBase",
]


class TraceError(ValueError):
    """The program does something that a trace cannot hold."""


class Scope:
    """The module that is being traced: its path and type."""

    def __init__(self, module_path: str, module_type: Any) -> None:
        self.module_path, self.module_type = module_path, module_type


class ScopeContextManager:
    """Inside, ``scope`` is what ``current_scope`` says."""

    def __init__(self, scope: Scope, current_scope: Scope) -> None:
        self._before = copy.copy(scope)
        self._scope = scope
        self._set(current_scope)

    def _set(self, scope: Scope) -> None:
        self._scope.module_path, self._scope.module_type = scope.module_path, scope.module_type

    def __enter__(self) -> Scope:
        return self._scope

    def __exit__(self, *exc: object) -> None:
        self._set(self._before)


class TracerBase:
    """What proxies ask: makes nodes of what is done to them. Subclasses change what can be traced, and how."""

    graph: Any
    record_stack_traces = False
    check_mutable_operations = False
    trace_asserts = False
    proxy_buffer_attributes = False
    traced_func_name = "forward"
    scope: Scope
    module_stack: OrderedDict
    node_name_to_scope: dict[str, tuple[str, Any]]

    def create_node(
        self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None
    ) -> Node:
        """Add a node to the graph: what a tracer does to all of them, it does here."""
        if kind == "call_function" and self.check_mutable_operations:
            from .operator_schemas import check_for_mutable_operation

            check_for_mutable_operation(target, args, kwargs)
        node = self.graph.create_node(kind, target, args, kwargs, name, type_expr)
        self.node_name_to_scope[node.name] = (self.scope.module_path, self.scope.module_type)
        if fx_traceback.has_preserved_node_meta():
            fx_traceback.copy_meta_to(node)
        elif self.module_stack:
            node.meta["nn_module_stack"] = copy.copy(self.module_stack)
        if self.record_stack_traces and not node.stack_trace:
            node.stack_trace = fx_traceback.user_stack() or None
        return node

    def proxy(self, node: Node) -> Proxy:
        """What stands for the value of ``node``."""
        return Proxy(node, self)

    def create_proxy(
        self, kind: str, target: Any, args: tuple, kwargs: dict, name: str | None = None, type_expr: Any = None,
        proxy_factory_fn: Callable[[Node], Proxy] | None = None,
    ) -> Proxy:  # fmt: skip
        """Add a node with these arguments, in which proxies may stand, and return what stands for its value."""
        node = self.create_node(kind, target, self.create_arg(args), self.create_arg(kwargs), name, type_expr)
        return proxy_factory_fn(node) if proxy_factory_fn else self.proxy(node)

    def create_arg(self, a: Any) -> Any:
        """An argument as nodes have it: proxies become nodes, in containers too."""
        if isinstance(a, Proxy):
            return a.node
        if a is None or a is ... or isinstance(a, (*base_types, enum.Enum)):
            return a
        if hasattr(a, "__fx_create_arg__"):
            return a.__fx_create_arg__(self)
        if isinstance(a, tuple) and hasattr(a, "_fields"):
            return type(a)(*map(self.create_arg, a))
        if isinstance(a, torch.Size):
            return tuple(map(self.create_arg, a))
        if isinstance(a, tuple):
            return type(a)(map(self.create_arg, a))
        if isinstance(a, list):
            return [self.create_arg(x) for x in a]
        if isinstance(a, dict):
            return {self._key(k): self.create_arg(v) for k, v in a.items()}
        if isinstance(a, (slice, range)):
            return type(a)(self.create_arg(a.start), self.create_arg(a.stop), self.create_arg(a.step))
        if _is_operator(a):
            return a
        if is_dataclass(a) and not isinstance(a, type):
            values = {field.name: self.create_arg(getattr(a, field.name)) for field in fields(a)}
            return self.create_node("call_function", type(a), (), values)
        raise NotImplementedError(f"argument of type: {type(a)}")

    def _key(self, key: Any) -> Any:
        if isinstance(key, str):
            return key
        key = self.create_arg(key)
        map_arg(key, _refuse_key)
        return key

    def to_bool(self, obj: Proxy) -> bool:
        """Called where a branch depends on a proxy: an error, unless a subclass knows better."""
        raise TraceError(
            "symbolically traced variables cannot be used as inputs to control flow: the branch depends on values that "
            f"are not known while tracing ({obj.node.format_node()}). Make it depend on concrete_args, compute both "
            "sides with torch.where, or leave the function untraced with torch.fx.wrap."
        )

    def iter(self, obj: Proxy) -> Iterator:
        """Called where a proxy is iterated over: an error, unless a subclass knows better."""
        raise TraceError(
            "Proxy object cannot be iterated. This can be attempted when the Proxy is used in a loop or as *args: its "
            f"length is unknown while tracing ({obj.node.format_node()}). Unpacking into a fixed number of names works."
        )

    def keys(self, obj: Proxy) -> Any:
        """Called for ``proxy.keys()``, and so for ``**proxy``: a call of the method."""
        return Attribute(obj, "keys")()


def _refuse_key(node: Node) -> None:
    raise RuntimeError(f"Keys for dictionaries used as an argument cannot contain a Node. Got key: {node}")


def _is_operator(a: Any) -> bool:
    from flowtorch.ops_namespace import OpOverload, OpOverloadPacket

    return isinstance(a, (OpOverload, OpOverloadPacket))


class GraphAppendingTracer(TracerBase):
    """Adds what is done to proxies to a graph that exists."""

    def __init__(self, graph: Any) -> None:
        from ._recording import watch_for_good

        watch_for_good()
        self.graph = graph
        self.scope = Scope("", None)
        self.module_stack = OrderedDict()
        self.node_name_to_scope = {}


def assert_fn(x: Any) -> None:
    """AssertionError unless ``x``: what ``assert`` becomes in a trace."""
    if not x:
        raise AssertionError("Assertion failed")


class Proxy:
    """Stands for the value of a node: operators, functions, methods and attributes of it become nodes.

    ``Proxy(node)`` adds to the node's graph, at the place where new nodes go.
    """

    def __init__(self, node: Node, tracer: TracerBase | None = None) -> None:
        self.tracer = GraphAppendingTracer(node.graph) if tracer is None else tracer
        self.node = node

    def __repr__(self) -> str:
        return f"Proxy({self.node.name})"

    def __getattr__(self, k: str) -> Any:
        if k in ("tracer", "node"):  # asked for before __init__ has run, by copy and pickle
            raise AttributeError(k)
        return Attribute(self, k)

    def __getstate__(self) -> dict:
        return self.__dict__

    def __setstate__(self, d: dict) -> None:
        self.__dict__ = d

    def __deepcopy__(self, memo: dict) -> Proxy:
        copied = Proxy(copy.deepcopy(self.node, memo), copy.deepcopy(self.tracer, memo))
        memo[id(self)] = copied
        return copied

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", "__call__", (self, *args), kwargs)

    def __iter__(self) -> Iterator:
        instruction = _instruction(sys._getframe(1))
        if instruction is not None and instruction.opname == "UNPACK_SEQUENCE":
            return (self[i] for i in range(instruction.argval))  # type: ignore[index]
        return self.tracer.iter(self)

    def __abs__(self) -> Any:
        return self.tracer.create_proxy("call_function", operator.abs, (self,), {})

    def __bool__(self) -> bool:
        if self.tracer.trace_asserts and _asserts(sys._getframe(1)):
            self.tracer.create_proxy("call_function", assert_fn, (self,), {})
            return True
        return self.tracer.to_bool(self)

    def __len__(self) -> int:
        raise RuntimeError(
            "'len' is not supported in symbolic tracing by default. If you want this call to be recorded, please call "
            "torch.fx.wrap('len') at module scope"
        )

    def keys(self) -> Any:
        """A call of the method ``keys``, or what the tracer makes of it."""
        return self.tracer.keys(self)

    @classmethod
    def __torch_function__(cls, orig_method: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        from ._recording import called

        kwargs = kwargs or {}
        tracers: dict[TracerBase, None] = {}

        def note(a: Any) -> None:
            if isinstance(a, cls):
                tracers[a.tracer] = None

        map_aggregate((args, kwargs), note)
        if len(tracers) > 1:
            raise RuntimeError(
                f"Found multiple different tracers {list(tracers)} while trying to trace operations {orig_method}"
            )
        tracer = next(iter(tracers))
        kind, target, args, kwargs = called(orig_method, args, kwargs)
        if kind == "call_method":
            return tracer.create_proxy(kind, target, args, kwargs)
        return tracer.create_proxy(kind, target, args, kwargs, name=tracer.graph._target_to_str(target))


class MetaProxy(Proxy):
    """A proxy whose node holds an example of its value in ``meta["val"]``."""

    def __init__(self, node: Node, tracer: TracerBase | None = None, fake_mode: Any = None) -> None:
        super().__init__(node, tracer)
        self.fake_mode = fake_mode

    def __repr__(self) -> str:
        return f"MetaProxy({self.node.name})"

    @classmethod
    def __torch_function__(cls, orig_method: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        own = next((a for a in args if isinstance(a, MetaProxy)), None)
        assert own is not None, "No MetaProxy found in arguments, but one is expected."
        proxy = super().__torch_function__(orig_method, types, args, kwargs)
        with own.fake_mode:
            known = [a.node.meta["val"] if isinstance(a, Proxy) else a for a in args]
            proxy.node.meta["val"] = orig_method(*known, **kwargs)
        return MetaProxy(proxy.node, proxy.tracer, own.fake_mode)


class Attribute(Proxy):
    """An attribute of a proxy: a node of its own once it is used, or a method call if it is called."""

    def __init__(self, root: Proxy, attr: str) -> None:
        self.root, self.attr, self.tracer = root, attr, root.tracer
        self._node: Node | None = None

    @property
    def node(self) -> Node:  # type: ignore[override]
        """The node of the attribute's value."""
        if self._node is None:
            self._node = self.tracer.create_proxy("call_function", getattr, (self.root, self.attr), {}).node
        return self._node

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.tracer.create_proxy("call_method", self.attr, (self.root, *args), kwargs)


class ParameterProxy(Proxy):
    """Stands for a parameter whose shape is taken for constant."""

    def __init__(self, tracer: TracerBase, node: Node, name: str, param: Any) -> None:
        super().__init__(node, tracer)
        assert isinstance(param, torch.nn.Parameter), f"Expected Parameter, got {type(param)}"
        self.param, self.name = param, name

    def __repr__(self) -> str:
        return f"ParameterProxy({self.name})"

    @property
    def shape(self) -> Any:
        """The parameter's shape."""
        return self.param.shape

    def size(self, *dim: int) -> Any:
        """The parameter's size."""
        return self.param.size(*dim)

    def dim(self) -> int:
        """How many dimensions the parameter has."""
        return self.param.dim()

    @property
    def ndim(self) -> int:
        """How many dimensions the parameter has."""
        return self.param.ndim

    def numel(self) -> int:
        """How many elements the parameter has."""
        return self.param.numel()

    nelement = numel


def _instruction(frame: Any) -> dis.Instruction | None:
    """The instruction that a frame is at."""
    found = list(dis.get_instructions(frame.f_code))
    at = bisect_left(found, frame.f_lasti, key=lambda i: i.offset)
    return found[at] if at < len(found) else None


def _asserts(frame: Any) -> bool:
    """Whether the branch that a frame is at is that of an ``assert``."""
    found = list(dis.get_instructions(frame.f_code))
    at = bisect_left(found, frame.f_lasti, key=lambda i: i.offset)
    if at + 1 >= len(found) or not found[at].opname.startswith("POP_JUMP"):
        return False
    return "IF_TRUE" in found[at].opname and found[at + 1].opname == "LOAD_ASSERTION_ERROR"


def _forward(name: str) -> Callable:
    function = getattr(operator, name)

    def record(self: Proxy, *args: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (self, *args), {})

    record.__name__ = f"__{name.strip('_')}__"
    return record


def _reflected(name: str) -> Callable:
    function = getattr(operator, name)

    def record(self: Proxy, other: Any) -> Any:
        return self.tracer.create_proxy("call_function", function, (other, self), {})

    record.__name__ = f"__r{name.strip('_')}__"
    return record


# Set afterwards, so that the class keeps the hash by identity that a class with __eq__ would lose.
for _name in magic_methods:
    if hasattr(operator, _name):
        setattr(Proxy, f"__{_name.strip('_')}__", _forward(_name))
for _name in reflectable_magic_methods:
    if hasattr(operator, _name):
        setattr(Proxy, f"__r{_name.strip('_')}__", _reflected(_name))
