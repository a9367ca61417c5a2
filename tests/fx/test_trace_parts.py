"""A tracer that writes ``trace`` itself, with the parts that PyTorch's own one is made of."""

import functools
import importlib

import pytest
import torch

import flowtorch


def tracer_of(lib):
    parts = importlib.import_module(f"{lib.__name__}.fx._symbolic_trace")

    class Tracer(lib.fx.Tracer):
        def is_leaf_module(self, module, name):
            return isinstance(module, lib.nn.Linear)

        def trace(self, root, concrete_args=None):
            self.root, function = root, type(root).forward
            self.submodule_paths = {module: name for name, module in root.named_modules()}
            self.graph = lib.fx.Graph(tracer_cls=type(self))
            self.tensor_attrs = {v: k for k, v in vars(root).items() if isinstance(v, (lib.Tensor, parts.ScriptObject))}
            function, args = self.create_args_for_root(function, True, concrete_args)
            cache = {}

            @functools.wraps(parts._orig_module_getattr)
            def read(module, name):
                return self.getattr(name, parts._orig_module_getattr(module, name), cache)

            def call(module, *args, **kwargs):
                return self.call_module(module, functools.partial(parts._orig_module_call, module), args, kwargs)

            with parts._Patcher() as patcher:
                patcher.patch_method(lib.nn.Module, "__getattr__", read, deduplicate=False)
                patcher.patch_method(lib.nn.Module, "__call__", call, deduplicate=False)
                parts._patch_wrapped_functions(patcher)
                parts._autowrap_check(patcher, function.__globals__, self._autowrap_function_ids)
                self.create_node("output", "output", (self.create_arg(function(*args)),), {})
            self.submodule_paths = None
            return self.graph

    return Tracer()


def model_of(lib):
    class Model(lib.nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = lib.nn.Sequential(lib.nn.Linear(2, 3), lib.nn.ReLU())
            self.scale = lib.nn.Parameter(lib.ones(3))
            self.shift = lib.ones(3)

        def forward(self, x):
            return lib.cat([self.inner(x) * self.scale, lib.relu(x + 1)], -1) + lib.cat([self.shift, self.shift[:2]])

    return Model()


def traced(lib):
    model = model_of(lib)
    graph = tracer_of(lib).trace(model)
    module = lib.fx.GraphModule(model, graph)
    x = lib.ones(1, 2)
    assert module(x).tolist() == model(x).tolist()
    return [(n.op, str(getattr(n.target, "__name__", n.target)), str(n.args)) for n in graph.nodes]


def test_a_tracer_made_of_the_parts():
    assert traced(flowtorch) == traced(torch)


def test_nothing_stays_exchanged():
    def state():
        return flowtorch.nn.Module.__call__, flowtorch.nn.Module.__getattr__, list(flowtorch.overrides.symbolic)

    before = state()
    traced(flowtorch)
    assert state() == before


def test_there_are_no_script_objects():
    from flowtorch.fx._symbolic_trace import ScriptObject

    with pytest.raises(RuntimeError, match="not compiled"):
        ScriptObject()
