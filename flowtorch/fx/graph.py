"""Graph: the values of a program in the order in which they are computed."""

from __future__ import annotations

import copy
import inspect
import warnings
from collections.abc import Callable, Iterator
from typing import Any

from ._codegen import CodeGen as CodeGen
from ._codegen import PythonCode as PythonCode
from ._codegen import _BoxedCodeGen as _BoxedCodeGen
from ._codegen import _PyTreeCodeGen as _PyTreeCodeGen
from ._codegen import _PyTreeInfo as _PyTreeInfo
from ._codegen import inplace_methods as inplace_methods
from ._codegen import magic_methods as magic_methods
from ._codegen import reflectable_magic_methods as reflectable_magic_methods
from ._names import CUSTOM_BUILTINS as _custom_builtins
from ._names import Builtin as _CustomBuiltin
from ._names import Namespace as _Namespace
from ._names import is_magic as _is_magic
from ._names import snake_case as _snake_case
from ._tables import tabulated
from .node import Node, Target, _legal_ops, map_arg, target_name

__all__ = ["CodeGen", "Graph", "PythonCode"]


def _register_custom_builtin(name: str, import_str: str, obj: Any) -> None:
    """Let all generated code name ``obj``; ``import_str`` is how a file gets it."""
    _custom_builtins[name] = _CustomBuiltin(import_str, obj)


class _node_list:
    """The nodes of a graph in order, or ``reversed``. The graph may change while somebody goes along it."""

    def __init__(self, graph: Graph, direction: str = "_next") -> None:
        self.graph, self.direction = graph, direction

    def __len__(self) -> int:
        return self.graph._len

    def __iter__(self) -> Iterator[Node]:
        return self._walk(self.direction)

    def __reversed__(self) -> Iterator[Node]:
        return self._walk("_prev" if self.direction == "_next" else "_next")

    def _walk(self, direction: str) -> Iterator[Node]:
        root = self.graph._root
        node = getattr(root, direction)
        while node is not root:
            if not node._erased:
                yield node
            node = getattr(node, direction)


class _Found:
    """Nodes by what they do, so that ``find_nodes`` need not look at all."""

    def __init__(self) -> None:
        self.table: dict[tuple, dict[Node, None]] = {}

    @staticmethod
    def _key(op: str, target: Any) -> tuple:
        return (op, target if op == "call_function" else None)

    def add(self, node: Node) -> None:
        self.table.setdefault(self._key(node.op, node.target), {})[node] = None

    def pop(self, node: Node) -> None:
        self.table.get(self._key(node.op, node.target), {}).pop(node, None)

    def find(self, op: str, target: Any) -> list[Node]:
        nodes = self.table.get(self._key(op, target), {})
        return [node for node in nodes if op == "call_function" or target is None or node.target == target]


class _InsertPoint:
    """The place where new nodes go, until the context ends (if it is used as one)."""

    def __init__(self, graph: Graph, new_insert: Callable) -> None:
        self.graph, self.before = graph, graph._insert
        graph._insert = new_insert

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exc: object) -> None:
        self.graph._insert = self.before


class Graph:
    """A program as a list of nodes.

    ``symbolic_trace`` makes one of a module; nodes are added by ``placeholder``, ``call_function``, ... at the end or
    where ``inserting_before`` and ``inserting_after`` say.
    """

    def __init__(self, owning_module: Any = None, tracer_cls: type | None = None, tracer_extras: Any = None) -> None:
        self._found = _Found()
        self._numbered = False
        self._owning_module: Any = None
        self._root = Node(self, "", "root", "", (), {})
        self._insert: Callable = self._root.prepend
        self._len = 0
        self._graph_namespace = _Namespace()
        self._owning_module = owning_module
        self._tracer_cls = tracer_cls
        self._tracer_extras = tracer_extras
        self._codegen = CodeGen()
        self._co_fields: dict[str, Any] = {}

    @property
    def owning_module(self) -> Any:
        """The module that the graph is the code of."""
        return self._owning_module

    @owning_module.setter
    def owning_module(self, mod: Any) -> None:
        self._owning_module = mod

    @property
    def nodes(self) -> _node_list:
        """All nodes, in the order of execution."""
        return _node_list(self)

    def _position(self, node: Node) -> int:
        if not self._numbered:
            for i, each in enumerate(self.nodes):
                each.__dict__["_order"] = i
            self._numbered = True
        return node._order

    def output_node(self) -> Node:
        """The node that holds what the graph returns."""
        node = next(iter(reversed(self.nodes)))
        assert node.op == "output", f"Expected output node, got op={node.op}"
        return node

    def find_nodes(self, *, op: str, target: Target | None = None, sort: bool = True) -> list[Node]:
        """The nodes that do ``op`` (and, where it is given, have this ``target``), in order."""
        assert op != "call_function" or target is not None, "target must not be None for call_function op"
        nodes = self._found.find(op, target)
        return sorted(nodes) if sort else nodes

    # --- making nodes

    def create_node(
        self, op: str, target: Target, args: tuple | None = None, kwargs: dict | None = None, name: str | None = None,
        type_expr: Any = None,
    ) -> Node:  # fmt: skip
        """Add a node where new nodes go; its name is made of ``name``, or of what it does."""
        assert isinstance(args or (), tuple), f"args must be a tuple, got {type(args)}"
        assert isinstance(kwargs or {}, dict), f"kwargs must be a dict, got {type(kwargs)}"
        unique = self._graph_namespace.create_name(self._target_to_str(target) if name is None else name, None)
        node = Node(self, unique, op, target, args or (), kwargs or {}, type_expr)
        for hook in getattr(self.owning_module, "_create_node_hooks", None) or ():
            hook(node)
        self._graph_namespace.associate_name_with_obj(unique, node)
        self._insert(node)
        self._found.add(node)
        self._len += 1
        return node

    def _target_to_str(self, target: Target) -> str:
        name = target_name(target)
        return _snake_case(name[2:-2] if isinstance(target, str) and _is_magic(name) else name)

    def placeholder(self, name: str, type_expr: Any = None, default_value: Any = inspect.Signature.empty) -> Node:
        """Add an input."""
        args = () if default_value is inspect.Signature.empty else (default_value,)
        return self.create_node("placeholder", name, args=args, type_expr=type_expr)

    def get_attr(self, qualified_name: str, type_expr: Any = None) -> Node:
        """Add a node for an attribute of the module, by its dotted name."""
        if self.owning_module is not None and not _is_held(self.owning_module, qualified_name):
            warnings.warn(
                "Attempted to insert a get_attr Node with no underlying reference in the owning GraphModule! "
                f"'{qualified_name}' is no module, parameter or buffer of it: add it with add_submodule, "
                "register_parameter or register_buffer.",
                stacklevel=2,
            )
        return self.create_node("get_attr", qualified_name, type_expr=type_expr)

    def call_module(
        self, module_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None
    ) -> Node:
        """Add a call of a submodule, by its dotted name."""
        if self.owning_module is not None and self.owning_module.get_submodule(module_name) is None:
            warnings.warn(
                "Attempted to insert a call_module Node with no underlying reference in the owning GraphModule! "
                f"Add '{module_name}' with GraphModule.add_submodule.",
                stacklevel=2,
            )
        return self.create_node("call_module", module_name, args, kwargs, type_expr=type_expr)

    def call_method(
        self, method_name: str, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None
    ) -> Node:
        """Add a call of a method of the first argument."""
        return self.create_node("call_method", method_name, args, kwargs, type_expr=type_expr)

    def call_function(
        self, the_function: Callable, args: tuple | None = None, kwargs: dict | None = None, type_expr: Any = None,
        name: str | None = None,
    ) -> Node:  # fmt: skip
        """Add a call of a function."""
        return self.create_node("call_function", the_function, args, kwargs, name=name, type_expr=type_expr)

    def output(self, result: Any, type_expr: Any = None) -> Node:
        """Add the node that says what the graph returns."""
        return self.create_node("output", "output", (result,), type_expr=type_expr)

    def node_copy(self, node: Node, arg_transform: Callable[[Node], Any] = lambda x: x) -> Node:
        """Add a copy of a node of another graph; ``arg_transform`` finds its inputs in this one."""
        args, kwargs = map_arg(node.args, arg_transform), map_arg(node.kwargs, arg_transform)
        copied = self.create_node(node.op, node.target, args, kwargs, node.name, node.type)
        copied.meta = copy.copy(node.meta)
        return copied

    def graph_copy(self, g: Graph, val_map: dict[Node, Node], return_output_node: bool = False) -> Any:
        """Add copies of all nodes of ``g`` but its output, and return what that holds.

        ``val_map`` may say which nodes stand for nodes of ``g``; those are not copied. It is filled with the copies.
        """
        for node in g.nodes:
            if node in val_map:
                continue
            if node.op == "output":
                value = map_arg(node.args[0], val_map.__getitem__)
                return (value, node) if return_output_node else value
            val_map[node] = self.node_copy(node, val_map.__getitem__)
        return None

    def __deepcopy__(self, memo: dict | None = None) -> Graph:
        memo = memo or {}
        copied = Graph(tracer_cls=self._tracer_cls)
        result = copied.graph_copy(self, memo, return_output_node=True)
        copied._codegen = copy.deepcopy(self._codegen)
        if result is not None:
            value, old = result
            copied.output(value, type_expr=old.type).meta = copy.copy(old.meta)
        return copied

    # --- changing the graph

    def inserting_before(self, n: Node | None = None) -> _InsertPoint:
        """Let new nodes go before ``n`` (the beginning), for good or inside a ``with``."""
        if n is None:
            return self.inserting_after(self._root)
        assert n.graph == self, "Node to insert before is not in graph."
        return _InsertPoint(self, n.prepend)

    def inserting_after(self, n: Node | None = None) -> _InsertPoint:
        """Let new nodes go after ``n`` (the end), for good or inside a ``with``."""
        if n is None:
            return self.inserting_before(self._root)
        assert n.graph == self, "Node to insert after is not in graph."
        return _InsertPoint(self, n.append)

    def erase_node(self, to_erase: Node) -> None:
        """Take a node without users out of the graph."""
        if to_erase.users:
            raise RuntimeError(
                f"Tried to erase Node {to_erase} but it still had {len(to_erase.users)} users in the graph: "
                f"{to_erase.users}!"
            )
        if to_erase.graph != self:
            raise RuntimeError(f"Attempting to remove {to_erase} from wrong graph!")
        if to_erase._erased:
            warnings.warn(f"erase_node({to_erase}) on an already erased node", stacklevel=2)
            return
        for hook in getattr(self.owning_module, "_erase_node_hooks", None) or ():
            hook(to_erase)
        self._found.pop(to_erase)
        to_erase._remove_from_list()
        to_erase._erased = True
        self._len -= 1
        to_erase._update_args_kwargs(map_arg(to_erase.args, lambda n: None), map_arg(to_erase.kwargs, lambda n: None))

    def eliminate_dead_code(self, is_impure_node: Callable[[Node], bool] | None = None) -> bool:
        """Erase the nodes that nobody uses and that do nothing else. Returns whether there were any."""
        self.lint()
        impure = is_impure_node or Node.is_impure
        changed = False
        for node in reversed(self.nodes):
            if not node.users and not impure(node):
                self.erase_node(node)
                changed = True
        for graph_module in self._graphs_inside():
            changed = graph_module.graph.eliminate_dead_code(is_impure_node) or changed
        return changed

    def _graphs_inside(self) -> Iterator[Any]:
        """The GraphModules that the graph refers to as values."""
        from .graph_module import GraphModule

        for name in dict.fromkeys(node.target for node in self.find_nodes(op="get_attr")):
            child = getattr(self.owning_module, str(name), None) if self.owning_module is not None else None
            if isinstance(child, GraphModule):
                yield child

    def lint(self) -> None:
        """RuntimeError if the graph cannot be right: values of other graphs, used too early, or missing attributes."""
        names: set[str] = set()
        seen: set[Node] = set()
        for node in self.nodes:
            if node.op not in _legal_ops:
                raise RuntimeError(f"Node {node} had unknown opcode {node.op}!")
            if node.graph is not self:
                raise RuntimeError(f"Node '{node}' does not belong to this Graph!")
            for arg in node.all_input_nodes:
                self._check_argument(arg, node, seen)
            seen.add(node)
            if node.name in names:
                raise RuntimeError(f"Node redefined name {node.name}!")
            names.add(node.name)
            if self.owning_module:
                _check_target(node, self.owning_module)

    def _check_argument(self, arg: Node, node: Node, seen: set[Node]) -> None:
        start = f"Argument '{arg}' of Node '{node}' "
        if arg.graph is not self:
            raise RuntimeError(
                f"{start}does not belong to this Graph, but was used as an argument! Nodes copied from another graph "
                f"need arguments of this one: give node_copy() an arg_transform.\n{self}"
            )
        if arg not in seen:
            raise RuntimeError(
                f"{start}was used before it has been defined! Nodes must come after their inputs.\n{self}"
            )

    # --- code and text

    def on_generate_code(self, make_transformer: Callable) -> Any:
        """Let ``make_transformer(None or the one before)`` give a function that changes the lines of generated code.

        Use the result as a context to undo it at its end.
        """
        graph, before = self, self._codegen._body_transformer
        self._codegen._body_transformer = make_transformer(before)

        class Undo:
            def __enter__(self) -> None:
                pass

            def __exit__(self, *exc: object) -> None:
                graph._codegen._body_transformer = before

        return Undo()

    def set_codegen(self, codegen: CodeGen) -> None:
        """Let ``codegen`` write the code of this graph."""
        self._codegen = codegen

    def process_inputs(self, *args: Any) -> Any:
        """Arguments of the function as the graph's inputs."""
        return self._codegen.process_inputs(*args)

    def process_outputs(self, out: Any) -> Any:
        """The graph's outputs as the function returns them."""
        return self._codegen.process_outputs(out)

    def python_code(
        self, root_module: str, *, verbose: bool = False, include_stride: bool = False, include_device: bool = False,
        colored: bool = False, expanded_def: bool = False, record_func: bool = False,
        additional_meta: list[str] | None = None,
    ) -> PythonCode:  # fmt: skip
        """The graph as the source of a function ``forward``; ``root_module`` is what it calls the module."""
        namespace = _Namespace()
        shown = {node: node._repr_fn for node in self.nodes}
        for node in shown:
            node._repr_fn = lambda n: namespace.create_name(n.name, n)
        try:
            return self._codegen._gen_python_code(
                self.nodes, root_module, namespace, verbose=verbose, include_stride=include_stride,
                include_device=include_device, colored=colored, expanded_def=expanded_def, record_func=record_func,
                additional_meta=additional_meta,
            )  # fmt: skip
        finally:
            for node, repr_fn in shown.items():
                node._repr_fn = repr_fn

    def __str__(self) -> str:
        lines = [node.format_node() for node in self.nodes]
        return "\n    ".join(["graph():", *(line for line in lines if line)])

    def print_tabular(self) -> None:
        """Print the nodes as a table."""
        rows = [[n.op, n.name, n.target, n.args, n.kwargs] for n in self.nodes]
        print(tabulated(["opcode", "name", "target", "args", "kwargs"], rows))


def _is_held(module: Any, qualified_name: str) -> bool:
    """Whether a dotted name is that of a module, parameter or buffer."""
    from flowtorch.nn.module import Module
    from flowtorch.nn.parameter import Parameter

    path, _, name = qualified_name.rpartition(".")
    try:
        holder = module.get_submodule(path)
    except AttributeError:
        warnings.warn(f"Failed to fetch module {path}!", stacklevel=3)
        return False
    held = getattr(holder, name, None)
    return isinstance(held, (Module, Parameter)) or (hasattr(holder, name) and name in holder._buffers)


def _check_target(node: Node, module: Any) -> None:
    from flowtorch.nn.module import Module

    callable_wanted = node.op == "call_function"
    if not (callable(node.target) if callable_wanted else isinstance(node.target, str)):
        raise ValueError(
            f"Node {node} target {node.target} has type {type(node.target).__name__} but a "
            f"{'Callable' if callable_wanted else 'str'} is expected"
        )
    if node.op not in ("get_attr", "call_module"):
        return
    atoms = str(node.target).split(".")
    for i, atom in enumerate(atoms):
        found = getattr(module, atom, None)
        start = f"Node {node} target {node.target}"
        if found is None:
            raise RuntimeError(f"{start} references nonexistent attribute {atom} of {'.'.join(atoms[:i])}")
        if node.op == "call_module" and not isinstance(found, Module):
            raise RuntimeError(f"{start} {atom} of {'.'.join(atoms[:i])} does not reference an nn.Module")
        module = found
