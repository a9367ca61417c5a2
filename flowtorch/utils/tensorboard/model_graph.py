"""A model as the graph that TensorBoard draws: it is run once, and every primitive becomes a node in its module."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from tensorboard.compat.proto.attr_value_pb2 import AttrValue
from tensorboard.compat.proto.config_pb2 import RunMetadata
from tensorboard.compat.proto.graph_pb2 import GraphDef
from tensorboard.compat.proto.node_def_pb2 import NodeDef
from tensorboard.compat.proto.step_stats_pb2 import DeviceStepStats, StepStats
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto
from tensorboard.compat.proto.versions_pb2 import VersionDef

from flowtorch.autograd import no_grad
from flowtorch.tensor import Tensor
from flowtorch.utils import _pytree as pytree
from flowtorch.utils._python_dispatch import TorchDispatchMode


class _Recorder(TorchDispatchMode):
    """Makes a node of every primitive, named after the module that runs it."""

    def __init__(self, root: str) -> None:
        super().__init__()
        self.scopes = [root]
        self.nodes: list[NodeDef] = []
        self.names: dict[int, str] = {}
        self.kept: list[Any] = []  # tensors named, which must not give their identity to others

    def add(self, name: str, op: str, inputs: list[str], value: Any = None, attributes: str = "") -> None:
        """Add a node, and note that it makes ``value``."""
        attr = {"attr": AttrValue(s=attributes.encode())}
        if isinstance(value, Tensor):
            shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in value.shape])
            attr["_output_shapes"] = AttrValue(list=AttrValue.ListValue(shape=[shape]))
            self.names[id(value)] = name
            self.kept.append(value)
        self.nodes.append(NodeDef(name=name, op=op, input=inputs, attr=attr))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        result = func(*args, **(kwargs or {}))
        leaves = pytree.tree_leaves((args, kwargs or {}))
        inputs = [self.names[id(t)] for t in leaves if isinstance(t, Tensor) and id(t) in self.names]
        constants = ", ".join(str(v) for v in leaves if v is not None and not isinstance(v, Tensor))
        kind = "::".join(str(func).split(".")[:2])
        for value in pytree.tree_leaves(result):
            if isinstance(value, Tensor):
                self.add(f"{self.scopes[-1]}/{len(self.nodes)}", kind, inputs, value, "{" + constants + "}")
        return result


@contextlib.contextmanager
def _scoped(model: Any, recorder: _Recorder) -> Iterator[None]:
    """Inside, the recorder knows which module runs."""
    handles = []

    def entered(path: str) -> Any:
        return lambda module, args: recorder.scopes.append(path)

    def left(module: Any, args: Any, result: Any) -> None:
        recorder.scopes.pop()

    for name, module in model.named_modules():
        if name:
            path = _path(model, name)
            handles.append(module.register_forward_pre_hook(entered(path)))
            handles.append(module.register_forward_hook(left))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _path(model: Any, name: str) -> str:
    """``Net/Sequential[body]/Linear[0]`` for the module ``body.0``."""
    parts, module = [type(model).__name__], model
    for step in name.split(".") if name else ():
        module = module.get_submodule(step)
        parts.append(f"{type(module).__name__}[{step}]")
    return "/".join(parts)


def graph(model: Any, inputs: Any, verbose: bool = False) -> tuple[GraphDef, RunMetadata]:
    """The graph of ``model(*inputs)`` in evaluation mode."""
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    recorder = _Recorder(type(model).__name__)
    for i, value in enumerate(v for v in pytree.tree_leaves(given) if isinstance(v, Tensor)):
        recorder.add(f"input/input.{i + 1}" if i else "input/input", "IO Node", [], value)
    for name, value in (*model.named_parameters(), *model.named_buffers()):
        path, _, own = name.rpartition(".")
        recorder.add(f"{_path(model, path)}/{own}", "prim::GetAttr", [], value, "{ name : " + repr(own) + "}")
    training = {module: module.training for module in model.modules()}
    model.eval()
    try:
        with no_grad(), _scoped(model, recorder), recorder:
            result = model(*given)
    finally:
        for module, was in training.items():
            module.training = was
    for i, value in enumerate(v for v in pytree.tree_leaves(result) if isinstance(v, Tensor)):
        recorder.add(f"output/output.{i + 1}", "IO Node", [recorder.names.get(id(value), "")], value)
    found = GraphDef(node=recorder.nodes, versions=VersionDef(producer=22))
    if verbose:
        print(found)
    device = DeviceStepStats(device="/device:CPU:0")
    return found, RunMetadata(step_stats=StepStats(dev_stats=[device]))
