"""Finding the places where a graph does what another, smaller one does."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import flowtorch as torch

from ..._attributes import _get_attr
from ...graph import Graph
from ...node import Node
from .fuser_utils import validate_partition

__all__ = ["InternalMatch", "SubgraphMatcher"]


@dataclass
class InternalMatch:
    """One place: which node of the graph stands for which of the pattern."""

    anchors: list[Node]
    nodes_map: dict[Node, Any] = field(default_factory=dict)
    placeholder_nodes: list[Any] = field(default_factory=list)
    returning_nodes: list[Node] = field(default_factory=list)
    name_node_map: dict[str, Node] = field(default_factory=dict)

    def computed(self) -> list[Node]:
        """The nodes of the graph that the pattern computes."""
        return [gn for pn, gn in self.nodes_map.items() if pn.op not in ("placeholder", "output")]


class SubgraphMatcher:
    """Finds a pattern in graphs.

    A match must be self-contained: what is computed inside is used inside, except for what the pattern returns.
    """

    def __init__(
        self, pattern: Graph, match_output: bool = False, match_placeholder: bool = False,
        remove_overlapping_matches: bool = True, ignore_literals: bool = False,
    ) -> None:  # fmt: skip
        if len(pattern.nodes) == 0:
            raise ValueError("SubgraphMatcher cannot be initialized with an empty pattern")
        for node in pattern.nodes:
            alive = node.users or node.op == "output" or node.is_impure()
            assert alive, "SubgraphMatcher cannot be initialized with an pattern with dead code"
        self.pattern, self.match_output, self.match_placeholder = pattern, match_output, match_placeholder
        self.remove_overlapping_matches, self.ignore_literals = remove_overlapping_matches, ignore_literals
        self.pattern_placeholder_nodes = [n for n in pattern.nodes if n.op == "placeholder"]
        output = pattern.output_node()
        self.pattern_returning_nodes = output.all_input_nodes
        last = [n for n in output.all_input_nodes if len(n.users) == 1]
        self.pattern_anchors = [output] if match_output else last

    def match(self, graph: Graph, node_name_match: str = "") -> list[InternalMatch]:
        """All matches in ``graph``; where two overlap, the first."""
        candidates = [(a, [n for n in graph.nodes if self._alike(a, n, node_name_match)]) for a in self.pattern_anchors]
        candidates = [(anchor, nodes) for anchor, nodes in candidates if nodes]
        found = []
        for nodes_map in self._assignments(candidates, {}, node_name_match) if candidates else ():
            match = InternalMatch(self.pattern_anchors, nodes_map)
            if any(pn not in nodes_map for pn in (*self.pattern_placeholder_nodes, *self.pattern_returning_nodes)):
                continue
            match.placeholder_nodes = [nodes_map[pn] for pn in self.pattern_placeholder_nodes]
            match.returning_nodes = [nodes_map[pn] for pn in self.pattern_returning_nodes]
            if self._is_contained(nodes_map) and validate_partition(match.computed()):
                found.append(match)
        return _apart(found) if self.remove_overlapping_matches else found

    def _assignments(self, candidates: list, known: dict[Node, Any], name: str) -> Iterator[dict[Node, Any]]:
        """All ways to find every anchor among its candidates."""
        if not candidates:
            yield known
            return
        (anchor, nodes), *rest = candidates
        for node in nodes:
            grown = dict(known)
            if self._nodes(anchor, node, grown, name):
                yield from self._assignments(rest, grown, name)

    def _alike(self, pn: Node, gn: Node, name: str = "") -> bool:
        """Whether two nodes do the same, their arguments aside."""
        if pn.op == "placeholder" and not self.match_placeholder:
            return True
        if name and name in gn.name:
            return True
        if pn.op != gn.op:
            return False
        if pn.op == "get_attr":
            return _same_kind(pn, gn)
        return pn.op in ("placeholder", "output") or pn.target == gn.target

    def _nodes(self, pn: Node, gn: Node, known: dict[Node, Any], name: str = "") -> bool:
        """Whether ``gn`` computes what ``pn`` does; ``known`` grows by what that takes."""
        if pn in known:
            return known[pn] is gn
        if any(gn is held for held in known.values()) or not self._alike(pn, gn, name):
            return False
        known[pn] = gn
        if pn.op == "placeholder":
            return True
        theirs = _all_arguments(pn, gn)
        return theirs is not None and self._values(*theirs, known)

    def _values(self, pattern: list, graph: list, known: dict[Node, Any]) -> bool:
        if len(pattern) != len(graph):
            return False
        return all(self._value(a, b, known) for a, b in zip(pattern, graph, strict=True))

    def _value(self, a: Any, b: Any, known: dict[Node, Any]) -> bool:
        if isinstance(a, Node) and isinstance(b, Node):
            return self._nodes(a, b, known)
        if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
            return self._values(list(a), list(b), known)
        if isinstance(a, Node) and a.op == "placeholder":  # an input of the pattern may be a constant in the graph
            return bool(known.setdefault(a, b) == b) or self.ignore_literals
        if isinstance(a, Node) or isinstance(b, Node):
            return self.ignore_literals
        return (type(a) is type(b) and bool(a == b)) or self.ignore_literals

    def _is_contained(self, nodes_map: dict[Node, Any]) -> bool:
        inside = {gn: pn for pn, gn in nodes_map.items() if pn.op != "placeholder"}
        return all(
            pn in self.pattern_returning_nodes or all(user in inside for user in gn.users) for gn, pn in inside.items()
        )


def _same_kind(pn: Node, gn: Node) -> bool:
    """Whether two nodes fetch values of one type from their modules."""
    values = []
    for node in (pn, gn):
        assert node.graph.owning_module is not None, "matching get_attr nodes needs graphs that belong to modules"
        values.append(_get_attr(node.graph.owning_module, str(node.target)))
    if type(values[0]) is not type(values[1]):
        return False
    if not isinstance(values[0], torch.Tensor):
        raise RuntimeError(f"Unsupported type {values[0]} when matching attributes")
    return True


def _all_arguments(pn: Node, gn: Node) -> tuple[list, list] | None:
    """The arguments of two calls in one order; None where the calls are not alike."""
    if len(pn.args) != len(gn.args) or list(pn.kwargs) != list(gn.kwargs):
        return None
    return [*pn.args, *pn.kwargs.values()], [*gn.args, *gn.kwargs.values()]


def _apart(matches: list[InternalMatch]) -> list[InternalMatch]:
    """The matches without those that share nodes with an earlier one."""
    kept: list[InternalMatch] = []
    taken: set[Node] = set()
    for match in matches:
        nodes = match.computed()
        if taken.isdisjoint(nodes):
            kept.append(match)
            taken.update(nodes)
    return kept
