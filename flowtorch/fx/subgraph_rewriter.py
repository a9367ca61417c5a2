"""Exchanging every place that matches a pattern for something else."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

from flowtorch.nn.module import Module

from ._symbolic_trace import symbolic_trace
from .graph import Graph
from .graph_module import GraphModule, _get_attr
from .node import Node

__all__ = ["Match", "ReplacedPatterns", "replace_pattern", "replace_pattern_with_filters"]


class Match(NamedTuple):
    """One place that was exchanged: the pattern's last node, and the graph's nodes for those of the pattern."""

    anchor: Node
    nodes_map: dict[Node, Node]


@dataclass
class ReplacedPatterns:
    """One place that was exchanged, and the new nodes there."""

    anchor: Node
    nodes_map: dict[Node, Node]
    replacements: list[Node]


def replace_pattern(gm: GraphModule, pattern: Any, replacement: Any) -> list[Match]:
    """Exchange whatever in ``gm`` does what ``pattern`` does for what ``replacement`` does.

    Both are functions or GraphModules with the same parameters. Returns the places; ``gm`` is changed and recompiled.
    """
    return [Match(m.anchor, m.nodes_map) for m in replace_pattern_with_filters(gm, pattern, replacement)]


def replace_pattern_with_filters(
    gm: GraphModule, pattern: Any, replacement: Any = None, match_filters: list[Callable] | None = None,
    ignore_literals: bool = False, replacement_callback: Callable | None = None, node_name_match: str = "",
) -> list[ReplacedPatterns]:  # fmt: skip
    """As ``replace_pattern``, at the places that all ``match_filters(match, graph, pattern graph)`` accept.

    ``replacement_callback`` gives the replacement of each; with ``ignore_literals`` constants need not be equal.
    """
    from .passes.utils.matcher_utils import SubgraphMatcher

    graph, sought = gm.graph, _graph_of(pattern)
    assert replacement is not None or replacement_callback is not None, (
        "Must provide either a replacement GraphModule or a replacement callback"
    )
    common = None if replacement is None else _graph_of(replacement)
    matches = SubgraphMatcher(sought, ignore_literals=ignore_literals).match(graph, node_name_match=node_name_match)
    replaced: dict[Node, Node] = {}
    done = []
    for match in matches:
        if all(accepts(match, graph, sought) for accepts in match_filters or ()):
            new = common if replacement_callback is None else replacement_callback(match, graph, sought)
            done.append(_exchange(graph, match, new, sought, replaced))
    gm.recompile()
    if isinstance(replacement, Module):
        _take_attributes(gm, replacement)
    return done


def _graph_of(part: Any) -> Graph:
    if isinstance(part, Graph):
        return part
    return part.graph if isinstance(part, GraphModule) else symbolic_trace(part).graph


def _exchange(graph: Graph, match: Any, new: Any, pattern: Graph, replaced: dict[Node, Node]) -> ReplacedPatterns:
    """Put ``new`` in the place of one match; ``replaced`` knows what became of nodes of earlier ones."""
    inputs = [node for node in new.nodes if node.op == "placeholder"]
    given = match.placeholder_nodes = [
        replaced.get(n, n) if isinstance(n, Node) else n for n in match.placeholder_nodes
    ]
    assert len(inputs) == len(given), f"Placeholder count mismatch: {len(given)} vs {len(inputs)}"
    for key, node in match.nodes_map.items():
        if isinstance(node, Node) and node in replaced:
            match.nodes_map[key] = replaced[node]
    known = dict(zip(inputs, given, strict=True))
    with graph.inserting_before(_place(graph, match.returning_nodes)):
        results = graph.graph_copy(new, known)
    results = (results,) if isinstance(results, Node) else results
    old = match.returning_nodes
    assert len(old) == len(results), f"Returning nodes count mismatch: {len(old)} vs {len(results)}"
    added = [node for own, node in known.items() if own.op != "placeholder"]
    for before, after in zip(old, results, strict=True):
        before.replace_all_uses_with(after)
        replaced[before] = after
    for node in reversed(pattern.nodes):
        if node.op not in ("placeholder", "output"):
            graph.erase_node(match.nodes_map[node])
    return ReplacedPatterns(match.anchors[0], match.nodes_map, added)


def _place(graph: Graph, returned: list[Node]) -> Node:
    """Where the new nodes go: before the first user of what is returned, or right after it if nobody uses it."""
    users = {user for node in returned for user in node.users}
    if users:
        return min(users)
    return max(returned).next


def _take_attributes(gm: GraphModule, replacement: Module) -> None:
    """Give ``gm`` copies of what the new nodes refer to, and drop what nobody refers to any more."""
    gm.delete_all_unused_submodules()
    if isinstance(replacement, GraphModule):
        replacement.graph.lint()
    for node in gm.graph.nodes:
        if node.op not in ("call_module", "get_attr") or _held(gm, str(node.target)) is not None:
            continue
        value = _held(replacement, str(node.target))
        if value is None:
            raise RuntimeError(
                f'Attempted to create a "{node.op}" node during subgraph rewriting with target {node.target}, but the '
                "referenced attribute does not exist in the replacement GraphModule"
            )
        if isinstance(value, Module):
            gm.add_submodule(str(node.target), copy.deepcopy(value))
        else:
            setattr(gm, str(node.target), copy.deepcopy(value))
    gm.graph.lint()


def _held(module: Any, target: str) -> Any:
    try:
        return _get_attr(module, target)
    except AttributeError:
        return None
