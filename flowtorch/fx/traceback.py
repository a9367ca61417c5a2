"""What nodes remember of where they come from: stack traces, annotations, and the nodes that passes made them from."""

from __future__ import annotations

import copy
import functools
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum
from typing import Any

__all__ = [
    "NodeSource",
    "NodeSourceAction",
    "annotate",
    "annotate_fn",
    "format_stack",
    "get_current_meta",
    "get_current_replay_node",
    "get_graph_provenance_json",
    "has_preserved_node_meta",
    "preserve_node_meta",
    "reset_grad_fn_seq_nr",
    "set_current_meta",
    "set_current_replay_node",
    "set_grad_fn_seq_nr",
    "set_stack_trace",
]

current_meta: dict[str, Any] = {}
current_replay_node: Any = None
should_preserve_node_meta = False
# What new nodes take over from the node that is being run.
_COPIED = ("nn_module_stack", "torch_fn", "source_fn_stack", "original_aten", "recompute", "from_node",
           "quantization_tag", "custom", "partitioner_tag")  # fmt: skip


class NodeSourceAction(Enum):
    """What a pass did with the node that another comes from."""

    CREATE = "create"
    REPLACE = "replace"


class NodeSource:
    """The node that another was made from, in which pass, and that one's own sources."""

    class NodeInfo:
        """A node by name, target and graph."""

        def __init__(self, name: str, target: str, graph_id: int) -> None:
            self.name, self.target, self.graph_id = name, target, graph_id

    def __init__(self, node: Any, pass_name: str = "", action: Any = None) -> None:
        self.pass_name = pass_name
        self.action = list(action) if isinstance(action, list) else [] if action is None else [action]
        self.node_info = NodeSource.NodeInfo(node.name, str(node.target), id(node.graph)) if node else None
        self.from_node: list[NodeSource] = copy.deepcopy(node.meta.get("from_node", [])) if node else []

    @property
    def name(self) -> str:
        """The node's name."""
        return self.node_info.name if self.node_info else ""

    @property
    def target(self) -> str:
        """The node's target."""
        return self.node_info.target if self.node_info else ""

    @property
    def graph_id(self) -> int:
        """The identity of the node's graph."""
        return self.node_info.graph_id if self.node_info else -1

    def to_dict(self) -> dict[str, Any]:
        """All of this as plain values."""
        return {
            "name": self.name,
            "target": self.target,
            "graph_id": self.graph_id,
            "pass_name": self.pass_name,
            "action": "+".join(a.name.lower() for a in self.action),
            "from_node": [source.to_dict() for source in self.from_node],
        }

    def print_readable(self, indent: int = 0) -> str:
        """A line for this node and one for each of its sources, indented."""
        if indent > 9:
            return ""
        known = self.to_dict()
        line = ", ".join(f"{key}={known[key]}" for key in ("name", "pass_name", "action", "graph_id"))
        return f"{' ' * indent * 4}({line})\n" + "".join(s.print_readable(indent + 1) for s in self.from_node)

    __repr__ = print_readable

    def __eq__(self, other: object) -> bool:
        return isinstance(other, NodeSource) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(self.print_readable())


@contextmanager
def preserve_node_meta(enable: bool = True) -> Iterator[None]:
    """Inside, new nodes take over the metadata of the node that is being run."""
    global should_preserve_node_meta, current_meta
    before = should_preserve_node_meta, current_meta.copy()
    should_preserve_node_meta = enable
    try:
        yield
    finally:
        should_preserve_node_meta, current_meta = before


def has_preserved_node_meta() -> bool:
    """Whether new nodes take over metadata."""
    return should_preserve_node_meta


@contextmanager
def annotate(annotation_dict: dict[str, Any]) -> Iterator[None]:
    """Inside, what becomes a node gets these entries in ``meta["custom"]``."""
    before = current_meta.get("custom")
    current_meta["custom"] = {**(before or {}), **annotation_dict}
    try:
        yield
    finally:
        if before is None:
            current_meta.pop("custom", None)
        else:
            current_meta["custom"] = before


def annotate_fn(annotation_dict: dict[str, Any]) -> Callable:
    """Decorator: run the function inside ``annotate``."""

    def decorate(function: Callable) -> Callable:
        @functools.wraps(function)
        def annotated(*args: Any, **kwargs: Any) -> Any:
            with annotate(annotation_dict):
                return function(*args, **kwargs)

        return annotated

    return decorate


def set_stack_trace(stack: list[str]) -> None:
    """Set the stack trace that new nodes get."""
    if should_preserve_node_meta:
        if stack:
            current_meta["stack_trace"] = "".join(stack)
        else:
            current_meta.pop("stack_trace", None)


def set_grad_fn_seq_nr(seq_nr: int) -> None:
    """Note that the gradient of the op with this number is being computed."""
    if should_preserve_node_meta:
        current_meta["grad_fn_seq_nr"] = [*current_meta.get("grad_fn_seq_nr", []), seq_nr]
        current_meta["in_grad_fn"] = current_meta.get("in_grad_fn", 0) + 1


def reset_grad_fn_seq_nr() -> None:
    """Forget the last number of ``set_grad_fn_seq_nr``."""
    if should_preserve_node_meta:
        level = current_meta["in_grad_fn"]
        current_meta["in_grad_fn"], current_meta["grad_fn_seq_nr"] = level - 1, current_meta["grad_fn_seq_nr"][:-1]
        if level == 1:
            del current_meta["in_grad_fn"], current_meta["grad_fn_seq_nr"]


def format_stack() -> list[str]:
    """The stack trace that new nodes get, or this moment's."""
    if should_preserve_node_meta:
        return [current_meta.get("stack_trace", "")]
    return traceback.format_list(traceback.extract_stack()[:-1])


@contextmanager
def set_current_meta(node: Any, pass_name: str = "") -> Iterator[None]:
    """Inside, ``node`` is the one that is being run."""
    global current_meta
    if not (should_preserve_node_meta and node.meta):
        yield
        return
    before = current_meta
    current_meta = node.meta.copy()
    current_meta["from_node"] = [NodeSource(node, pass_name, NodeSourceAction.CREATE)]
    try:
        yield
    finally:
        current_meta = before


def get_current_meta() -> dict[str, Any]:
    """The metadata of the node that is being run."""
    return current_meta


@contextmanager
def set_current_replay_node(node: Any) -> Iterator[None]:
    """Inside, ``node`` is the one that is computed again."""
    global current_replay_node
    before, current_replay_node = current_replay_node, node
    try:
        yield
    finally:
        current_replay_node = before


def get_current_replay_node() -> Any:
    """The node that is computed again."""
    return current_replay_node


def get_graph_provenance_json(graph: Any) -> dict[str, Any]:
    """Node -> the sources of the nodes of a graph, as plain values."""
    return {
        node.name: [source.to_dict() for source in node.meta["from_node"]]
        for node in graph.nodes
        if "from_node" in node.meta
    }


def copy_meta_to(node: Any) -> None:
    """Give a new node what it takes over from the one that is being run."""
    if current_meta.get("stack_trace"):
        node.stack_trace = current_meta["stack_trace"]
    for field in _COPIED:
        if field in current_meta:
            node.meta[field] = copy.copy(current_meta[field])


def user_stack() -> str:
    """The stack from the outermost ``forward`` on, without the library's own frames."""
    frames = traceback.extract_stack(sys._getframe(1))
    first = next((i for i, frame in enumerate(frames) if frame.name == "forward"), len(frames))
    library = __file__.rpartition("fx")[0]
    kept = [frame for frame in frames[first:] if not frame.filename.startswith(library)]
    return "".join(traceback.StackSummary.from_list(kept).format()).strip()
