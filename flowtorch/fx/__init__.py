"""``torch.fx``: programs as graphs, to be looked at, changed, and turned into Python code again.

``symbolic_trace`` runs a module or function on proxies and writes down what happens.

>>> import flowtorch as torch
>>> traced = torch.fx.symbolic_trace(lambda x: torch.relu(x) + 1)
>>> print(traced.code.strip())
def forward(self, x):
    relu = torch.relu(x);  x = None
    add = relu + 1;  relu = None
    return add
"""

from __future__ import annotations

import importlib
from typing import Any

from flowtorch.fx import immutable_collections as immutable_collections
from flowtorch.fx._symbolic_trace import PH as PH
from flowtorch.fx._symbolic_trace import ProxyableClassMeta, Tracer, symbolic_trace, wrap
from flowtorch.fx.graph import CodeGen, Graph
from flowtorch.fx.graph_module import GraphModule
from flowtorch.fx.interpreter import Interpreter, Transformer
from flowtorch.fx.node import Node, has_side_effect, map_arg
from flowtorch.fx.proxy import Proxy
from flowtorch.fx.subgraph_rewriter import replace_pattern

__all__ = [
    "CodeGen",
    "Graph",
    "GraphModule",
    "Interpreter",
    "Node",
    "Proxy",
    "ProxyableClassMeta",
    "Tracer",
    "Transformer",
    "has_side_effect",
    "map_arg",
    "replace_pattern",
    "symbolic_trace",
    "wrap",
]

_MODULES = ("annotate", "config", "experimental", "operator_schemas", "passes", "tensor_type", "traceback")


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return importlib.import_module(f"flowtorch.fx.{name}")
    from flowtorch.shim import absent

    return absent.attribute(__name__, name)
