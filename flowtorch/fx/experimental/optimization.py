"""Faster modules for inference: batch norms folded into the convolutions and linear layers before them."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import flowtorch as torch
from flowtorch.nn.batchnorm import BatchNorm1d, BatchNorm2d, BatchNorm3d
from flowtorch.nn.conv import Conv1d, Conv2d, Conv3d
from flowtorch.nn.dropout import Dropout
from flowtorch.nn.linear import Linear
from flowtorch.nn.module import Module
from flowtorch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval

from .. import _symbolic_trace
from .._attributes import _get_attr
from ..graph_module import GraphModule
from ..node import Node

__all__ = ["extract_subgraph", "fuse", "matches_module_pattern", "remove_dropout", "replace_node_module"]

_FUSIONS = (
    ((Conv1d, BatchNorm1d), fuse_conv_bn_eval),
    ((Conv2d, BatchNorm2d), fuse_conv_bn_eval),
    ((Conv3d, BatchNorm3d), fuse_conv_bn_eval),
    ((Linear, BatchNorm1d), fuse_linear_bn_eval),
)


def matches_module_pattern(pattern: Iterable[type], node: Node, modules: dict[str, Any]) -> bool:
    """Whether ``node`` calls a module of the second type on the result of one of the first."""
    before = node.args[0] if node.args else None
    kinds = tuple(pattern)
    calls = [n for n in (before, node) if isinstance(n, Node) and n.op == "call_module"]
    return len(calls) == 2 and all(type(modules[n.target]) is k for n, k in zip(calls, kinds, strict=True))


def replace_node_module(node: Node, modules: dict[str, Any], new_module: Module) -> None:
    """Let the module that ``node`` calls be another."""
    path, _, name = node.target.rpartition(".")
    modules[node.target] = new_module
    setattr(modules[path], name, new_module)


def fuse(model: Module, inplace: bool = False, no_trace: bool = False) -> Module:
    """The model, traced, with each batch norm that follows a convolution or linear layer folded into it.

    For evaluation only. ``no_trace`` takes a GraphModule as it is.
    """
    model = model if inplace else copy.deepcopy(model)
    if no_trace:
        if not isinstance(model, GraphModule):
            raise AssertionError("with no_trace=True the model must be a GraphModule")
        traced = model
    else:
        traced = _symbolic_trace.symbolic_trace(model)
    modules = dict(traced.named_modules())
    for pattern, fold in _FUSIONS:
        for node in list(traced.graph.nodes):
            if matches_module_pattern(pattern, node, modules) and len(node.args[0].users) == 1:
                layer, norm = modules[node.args[0].target], modules[node.target]
                if norm.track_running_stats:
                    replace_node_module(node.args[0], modules, fold(layer, norm))
                    node.replace_all_uses_with(node.args[0])
                    traced.graph.erase_node(node)
    return GraphModule(traced, traced.graph)


def remove_dropout(model: Module) -> Module:
    """The model, traced, without its dropout layers."""
    traced = _symbolic_trace.symbolic_trace(model)
    for node in list(traced.graph.find_nodes(op="call_module")):
        if isinstance(_get_attr(traced, node.target), Dropout):
            node.replace_all_uses_with(node.args[0])
            traced.graph.erase_node(node)
    return GraphModule(traced, traced.graph)


def extract_subgraph(orig_module: Module, nodes: list[Node], inputs: list[Node], outputs: list[Node]) -> GraphModule:
    """A module of these nodes, with the values of ``inputs`` as its parameters."""
    graph = torch.fx.Graph()
    known = {node: graph.placeholder(node.name) for node in inputs}
    for node in nodes:
        known[node] = graph.node_copy(node, known.__getitem__)
    graph.output([known[node] for node in outputs])
    graph.lint()
    return GraphModule(orig_module, graph)
