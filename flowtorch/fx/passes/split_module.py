"""Splitting a graph into submodules, one for each of the parts that a function assigns nodes to."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable
from typing import Any

from ..graph import Graph
from ..graph_module import GraphModule
from ..node import Node, map_arg

__all__ = ["split_module"]


class _Part:
    """The nodes of one submodule: what comes in, what goes out."""

    def __init__(self, name: str) -> None:
        self.name = f"submod_{name}"
        self.nodes: list[Node] = []
        self.inputs: dict[Node, None] = {}
        self.outputs: dict[Node, None] = {}
        self.before: dict[_Part, None] = {}

    def module(self, root: Any, keep_names: bool, names: dict[str, str] | None) -> GraphModule:
        """The submodule; what it calls lies in it without further nesting, under dotted names with underscores."""
        graph = Graph()
        known: dict[Node, Node] = {}
        held: dict[str, Any] = {}
        for node in self.inputs:
            default = node.args if node.op == "placeholder" else ()
            known[node] = graph.create_node("placeholder", node.name, default, type_expr=node.type)
            known[node].meta = copy.copy(node.meta)
        for node in self.nodes:
            target = node.target
            if node.op == "call_module":
                target = node.target.replace(".", "_")
                held[target] = operator.attrgetter(node.target)(root)
                if names is not None:
                    names[f"{self.name}.{target}"] = node.target
            args, kwargs = (map_arg(part, known.__getitem__) for part in (node.args, node.kwargs))
            name = node.name if keep_names else None
            known[node] = graph.create_node(node.op, target, args, kwargs, name=name, type_expr=node.type)
            known[node].meta = copy.copy(node.meta)
        results = [known[node] for node in self.outputs]
        graph.output(results[0] if len(results) == 1 else tuple(results))
        return GraphModule(held, graph, self.name)


def split_module(
    m: GraphModule, root_m: Any, split_callback: Callable[[Node], Any], qualname_map: dict[str, str] | None = None,
    keep_original_order: bool | None = False, keep_original_node_name: bool | None = False,
    keep_original_input_name: bool = True, *, partition_affix: str | None = None,
) -> GraphModule:  # fmt: skip
    """A module that calls a submodule ``submod_i`` for each part ``i`` that ``split_callback(node)`` returns.

    ``qualname_map`` is filled with the old name of what each submodule holds.
    """
    parts: dict[str, _Part] = {}
    home: dict[Node, _Part] = {}
    for node in m.graph.nodes:
        if node.op in ("placeholder", "get_attr", "output"):
            continue
        name = str(split_callback(node))
        if partition_affix is not None:
            name = f"{partition_affix}_{name}"
        home[node] = parts.setdefault(name, _Part(name))
        home[node].nodes.append(node)
    _connect(m.graph, home)
    order = list(parts.values()) if keep_original_order else _ordered(list(parts.values()))
    return _assembled(m, root_m, order, bool(keep_original_node_name), qualname_map)


def _connect(graph: Graph, home: dict[Node, _Part]) -> None:
    """Note which values go from part to part."""
    for node in graph.nodes:
        part = home.get(node)
        for source in node.all_input_nodes:
            other = home.get(source)
            if part is other:
                continue
            if part is not None:
                part.inputs.setdefault(source)
            if other is not None:
                other.outputs.setdefault(source)
                if part is not None:
                    part.before.setdefault(other)


def _ordered(parts: list[_Part]) -> list[_Part]:
    """The parts, each after those that it needs."""
    done: list[_Part] = []
    while len(done) < len(parts):
        ready = [p for p in parts if p not in done and all(b in done for b in p.before)]
        if not ready:
            raise RuntimeError("cycle exists between partitions!")
        done.extend(ready[:1])
    return done


def _assembled(
    m: GraphModule, root: Any, parts: list[_Part], keep_names: bool, names: dict[str, str] | None
) -> GraphModule:
    graph = Graph()
    held: dict[str, Any] = {}
    known: dict[Node, Node] = {}
    for node in m.graph.nodes:
        if node.op in ("placeholder", "get_attr"):
            known[node] = graph.node_copy(node)
        if node.op == "get_attr":
            held[node.target] = operator.attrgetter(node.target)(root)
    for part in parts:
        held[part.name] = part.module(root, keep_names, names)
        call = graph.call_module(part.name, tuple(known[node] for node in part.inputs))
        for i, node in enumerate(part.outputs):
            known[node] = call if len(part.outputs) == 1 else graph.call_function(operator.getitem, (call, i))
            known[node].meta = copy.copy(node.meta)
    old = m.graph.output_node()
    graph.output(map_arg(old.args[0], known.__getitem__), old.type)
    return GraphModule(held, graph)
