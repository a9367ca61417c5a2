"""Sets of nodes that become one: whether they may, and doing it."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from ...graph import Graph
from ...graph_module import GraphModule
from ...node import Node

__all__ = ["fuse_by_partitions", "topo_sort", "validate_partition"]


def topo_sort(nodes: Iterable[Node]) -> list[Node]:
    """The nodes in an order in which each comes after its inputs."""
    nodes = list(nodes)
    waiting = {node: sum(i in set(nodes) for i in node.all_input_nodes) for node in nodes}
    ready = [node for node in nodes if waiting[node] == 0]
    done: list[Node] = []
    while ready:
        node = ready.pop(0)
        done.append(node)
        for user in node.users:
            if user in waiting:
                waiting[user] -= 1
                if waiting[user] == 0:
                    ready.append(user)
    assert len(done) == len(nodes), "topological sorted nodes doesn't have same length as input nodes"
    return done


def validate_partition(partition: Iterable[Node]) -> bool:
    """Whether the nodes can become one: no value may leave them and come back."""
    inside = set(partition)
    seen: set[Node] = set()
    waiting = [user for node in inside for user in node.users if user not in inside]
    while waiting:
        node = waiting.pop()
        if node in inside:
            return False
        if node not in seen:
            seen.add(node)
            waiting.extend(node.users)
    return True


def fuse_by_partitions(gm: GraphModule, partitions: Iterable[Any], prefix: str = "fused_") -> GraphModule:
    """Move each set of nodes into a submodule of its own, and call that instead. Changes ``gm``."""
    for number, partition in enumerate(partitions):
        nodes = sorted(partition)
        assert validate_partition(nodes), "Invalid partition, found dependency cycles"
        _move(gm, nodes, f"{prefix}{number}")
    _in_order(gm.graph)
    gm.graph.lint()
    return gm


def _move(gm: GraphModule, nodes: list[Node], name: str) -> None:
    inside = set(nodes)
    inner = Graph()
    known: dict[Node, Node] = {}
    for node in nodes:
        for source in node.all_input_nodes:
            if source not in inside and source not in known:
                if source.op == "get_attr":
                    known[source] = inner.node_copy(source)
                    continue
                known[source] = inner.placeholder(source.name, type_expr=source.type)
                known[source].meta = copy.copy(source.meta)
    inputs = [source for source, own in known.items() if own.op == "placeholder"]
    for node in nodes:
        known[node] = inner.node_copy(node, known.__getitem__)
    results = [node for node in nodes if any(user not in inside for user in node.users)]
    returned = [known[node] for node in results]
    inner.output(returned[0] if len(returned) == 1 else tuple(returned))
    gm.add_submodule(name, GraphModule(gm, inner, class_name=name))
    with gm.graph.inserting_after(nodes[-1]):
        call = gm.graph.call_module(name, tuple(inputs))
    _hand_out(gm.graph, call, results, inside)
    for node in reversed(nodes):
        gm.graph.erase_node(node)


def _hand_out(graph: Graph, call: Node, results: list[Node], inside: set[Node]) -> None:
    """Let the users of the old nodes use what the call returns."""
    import operator

    place = call
    for i, node in enumerate(results):
        value = call
        if len(results) > 1:
            with graph.inserting_after(place):
                value = place = graph.call_function(operator.getitem, (call, i))
        value.meta = copy.copy(node.meta)
        node.replace_all_uses_with(value, delete_user_cb=lambda user: user not in inside)


def _in_order(graph: Graph) -> None:
    """Move nodes so that each comes after its inputs, and otherwise stays where it is."""
    done: set[Node] = set()
    place = graph._root
    for node in list(graph.nodes):
        waiting = [(node, iter(node.all_input_nodes))]
        while waiting:
            current, sources = waiting[-1]
            source = next((s for s in sources if s not in done), None)
            if source is not None:
                waiting.append((source, iter(source.all_input_nodes)))
                continue
            waiting.pop()
            if current not in done:
                done.add(current)
                place.append(current)
                place = current
