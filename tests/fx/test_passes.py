"""Changing graphs: passes as programs write them, on both libraries, with the same results and the same code."""

import operator

import numpy as np
import pytest
import torch
from programs import PROGRAMS

import flowtorch

BOTH = (flowtorch, torch)


def same(make):
    """The code that both libraries give."""
    ours, theirs = (make(library) for library in BOTH)
    assert ours == theirs
    return ours


def test_operator_replacement():
    def change(lib):
        traced = lib.fx.symbolic_trace(lambda x: lib.relu(x) + lib.nn.functional.relu(x).relu())
        for node in traced.graph.nodes:
            if node.target in (lib.relu, lib.nn.functional.relu):
                with traced.graph.inserting_after(node):
                    new = traced.graph.call_function(lib.nn.functional.gelu, node.args)
                node.replace_all_uses_with(new)
                traced.graph.erase_node(node)
        traced.graph.lint()
        traced.recompile()
        return traced.code

    assert "relu(x)" not in same(change)


def test_feature_extraction():
    """The outputs of chosen layers, everything after them removed."""

    def extract(lib, wanted=("layer1.0.relu", "layer1.1.conv1")):
        root, _ = PROGRAMS["conv"](lib)
        graph = lib.fx.Tracer().trace(root)
        found = {}
        for node in graph.nodes:
            if node.op == "call_module" and node.target in wanted and node.target not in found:
                found[node.target] = node
            elif node.op == "output":
                old = node
        graph.erase_node(old)
        graph.output(found)
        module = lib.fx.GraphModule(root, graph, "Features")
        graph.eliminate_dead_code()
        module.recompile()
        module.delete_all_unused_submodules()
        return module

    same(lambda lib: extract(lib).code)
    module = extract(flowtorch)
    assert not hasattr(module, "fc")
    assert {k: tuple(v.shape) for k, v in module(flowtorch.rand(1, 3, 12, 12)).items()} == {
        "layer1.0.relu": (1, 4, 5, 5),
        "layer1.1.conv1": (1, 4, 5, 5),
    }


def test_replace_pattern():
    def change(lib):
        def f(x, w1, w2):
            m1 = lib.cat([w1, w2]).sum()
            m2 = lib.cat([w1, w2]).sum()
            return x + lib.max(m1) + lib.max(m2)

        traced = lib.fx.symbolic_trace(f)
        matches = lib.fx.replace_pattern(traced, lambda a, b: lib.cat([a, b]).sum(), lambda a, b: lib.stack([a, b]))
        return len(matches), traced.code

    count, code = same(change)
    assert count == 2
    assert "cat(" not in code


def test_quantisation_like_pass():
    """Observers behind every linear layer, then scales taken from them."""

    def change(lib):
        class Observer(lib.nn.Module):
            def __init__(self):
                super().__init__()
                self.seen = 0.0

            def forward(self, x):
                self.seen = max(self.seen, float(x.abs().max()))
                return x

        root, _ = PROGRAMS["net"](lib)
        with lib.no_grad():
            for p in root.parameters():
                p.fill_(0.5)
        traced = lib.fx.symbolic_trace(root)
        for node in list(traced.graph.nodes):
            if node.op == "call_module" and isinstance(traced.get_submodule(node.target), lib.nn.Linear):
                name = node.name + "_observer"
                traced.add_submodule(name, Observer())
                with traced.graph.inserting_after(node):
                    new = traced.graph.call_module(name, (node,))
                node.replace_all_uses_with(new, delete_user_cb=lambda user, new=new: user is not new)
        traced.recompile()
        traced(lib.ones(3, 4))
        return traced.code, [round(m.seen, 4) for m in traced.modules() if type(m).__name__ == "Observer"]

    _, seen = same(change)
    assert all(seen)


def test_symbolic_differentiation():
    """d/dx by the chain rule, new nodes for each node, through proxies."""

    def derive(lib):
        rules = {lib.sin: lambda x: x.cos(), lib.exp: lib.exp, operator.neg: lambda x: -1}
        traced = lib.fx.symbolic_trace(lambda x: lib.exp(lib.sin(x) * lib.sin(x)))
        graph = traced.graph
        output = graph.output_node()
        derivative = {}
        with graph.inserting_before(output):
            for node in list(graph.nodes):
                if node.op == "placeholder":
                    derivative[node] = 1.0
                elif node.target is operator.mul:
                    a, b = (lib.fx.Proxy(n) for n in node.args)
                    b.tracer = a.tracer
                    value = derivative[node.args[0]] * b + a * derivative[node.args[1]]
                    derivative[node] = value
                elif node.op == "call_function":
                    inner = lib.fx.Proxy(node.args[0])
                    before = derivative[node.args[0]]
                    inner.tracer = getattr(before, "tracer", inner.tracer)
                    derivative[node] = rules[node.target](inner) * before
        output.args = (derivative[output.args[0]].node,)
        traced.recompile()
        x = np.linspace(-1, 1, 5, dtype="float32")
        return traced(lib.tensor(x)).numpy()

    x = np.linspace(-1, 1, 5)
    wanted = np.exp(np.sin(x) ** 2) * 2 * np.sin(x) * np.cos(x)
    for library in BOTH:
        assert np.allclose(derive(library), wanted, atol=1e-5)


def test_interpreter_that_profiles():
    def run(lib):
        class Count(lib.fx.Interpreter):
            def __init__(self, module):
                super().__init__(module)
                self.calls = []

            def run_node(self, n):
                result = super().run_node(n)
                self.calls.append((n.op, n.name, tuple(getattr(result, "shape", ()))))
                return result

        root, shapes = PROGRAMS["conv"](lib)
        count = Count(lib.fx.symbolic_trace(root))
        count.run(*[lib.ones(s) for s in shapes])
        return count.calls

    assert len(same(run)) > 10


def test_interpreter_errors_name_the_node():
    traced = flowtorch.fx.symbolic_trace(lambda x: flowtorch.mm(x, x))
    with pytest.raises(RuntimeError, match=r"While executing %mm .* = call_function\[target=torch.mm\]"):
        flowtorch.fx.Interpreter(traced).run(flowtorch.ones(2, 3))


def test_transformer_that_swaps_functions():
    def change(lib):
        class Swap(lib.fx.Transformer):
            def call_function(self, target, args, kwargs):
                return super().call_function(lib.sigmoid if target is lib.sin else target, args, kwargs)

            def call_method(self, target, args, kwargs):
                return super().call_method("relu" if target == "neg" else target, args, kwargs)

        return Swap(lib.fx.symbolic_trace(lambda x: lib.sin(x).neg() + lib.cos(x))).transform().code

    assert "relu()" in same(change)


def test_shape_prop():
    def shapes(lib):
        from importlib import import_module

        root, given = PROGRAMS["conv"](lib)
        traced = lib.fx.symbolic_trace(root)
        prop = import_module(f"{lib.__name__}.fx.passes.shape_prop").ShapeProp(traced)
        prop.propagate(*[lib.ones(s) for s in given])
        found = []
        for n in traced.graph.nodes:
            meta = n.meta["tensor_meta"]
            known = (tuple(meta.shape), str(meta.dtype), meta.requires_grad, meta.stride, str(meta.memory_format))
            found.append((n.name, *known))
        return found, traced.print_readable(print_output=False)

    same(shapes)


def test_graph_by_hand():
    def build(lib):
        graph = lib.fx.Graph()
        x, y = graph.placeholder("x"), graph.placeholder("y", type_expr=int, default_value=2)
        total = graph.call_function(lib.add, (x, y), {"alpha": 2})
        w = graph.get_attr("sub.weight")
        out = graph.call_module("sub", (total,))
        with graph.inserting_before(out):
            out.update_arg(0, graph.call_method("relu", (total,)))
        graph.output((out, w))
        with graph.inserting_before(out):
            graph.call_function(print, ("hello",))
        module = lib.fx.GraphModule({"sub": lib.nn.Linear(2, 2), "sub.weight": lib.nn.Parameter(lib.ones(2, 2))}, graph)
        before = module.code
        changed = graph.eliminate_dead_code()
        module.recompile()
        return before, changed, module.code, [n.name for n in graph.find_nodes(op="call_module")]

    _, changed, code, _ = same(build)
    assert changed
    assert "print" not in code


def test_lint_finds_what_is_wrong():
    for lib in BOTH:
        graph, other = lib.fx.Graph(), lib.fx.Graph()
        x, y = graph.placeholder("x"), other.placeholder("y")
        first = graph.call_function(lib.relu, (x,))
        second = graph.call_function(lib.relu, (first,))
        graph.output(second)
        first.prepend(second)
        with pytest.raises(RuntimeError, match="was used before it has been defined"):
            graph.lint()
        first.append(second)
        graph.lint()
        with pytest.raises(RuntimeError, match="still had 1 users"):
            graph.erase_node(first)
        second.args = (y,)
        with pytest.raises(RuntimeError, match="does not belong to this Graph"):
            graph.lint()


def test_on_generate_code():
    def change(lib):
        traced = lib.fx.symbolic_trace(lambda x: x + 1)
        traced.graph.on_generate_code(lambda before: lambda body: ["print_it = 1\n", *body])
        traced.recompile()
        return traced.code

    assert "print_it" in same(change)


def test_to_folder(tmp_path):
    import importlib
    import sys

    root, shapes = PROGRAMS["net"](flowtorch)
    traced = flowtorch.fx.symbolic_trace(root)
    with pytest.warns(UserWarning, match="pickled files"):
        traced.to_folder(tmp_path / "written_net", "Written")
    sys.path.insert(0, str(tmp_path))
    try:
        module = importlib.import_module("written_net").Written()
    finally:
        sys.path.remove(str(tmp_path))
    module._out_spec = getattr(traced, "_out_spec", None)
    x = flowtorch.ones(*shapes[0])
    flowtorch.testing.assert_close(module(x)["a"], traced(x)["a"])


def test_errors_in_generated_code_show_the_line(capsys):
    traced = flowtorch.fx.symbolic_trace(lambda x: x.no_such_method())
    with pytest.raises(AttributeError):
        traced(flowtorch.ones(1))
    assert "line 5 of the traced Module's generated forward function" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["net", "conv", "attention"])
def test_split_module(name):
    def split(lib):
        from importlib import import_module

        root, shapes = PROGRAMS[name](lib)
        numbers = iter(range(1000))
        names = {}
        cut = import_module(f"{lib.__name__}.fx.passes.split_module").split_module
        parts = cut(lib.fx.symbolic_trace(root), root, lambda node: next(numbers) // 4, names)
        given = [lib.ones(s) for s in shapes]
        for got, want in zip(*(lib.utils._pytree.tree_leaves(m(*given)) for m in (parts, root)), strict=True):
            lib.testing.assert_close(got, want)
        return [parts.code, *(m.code for m in parts.children()), names]

    assert len(same(split)) > 3


def test_batch_norms_are_folded():
    def fold(lib):
        from importlib import import_module

        root, shapes = PROGRAMS["conv"](lib)
        fused = import_module(f"{lib.__name__}.fx.experimental.optimization").fuse(root)
        x = lib.ones(shapes[0])
        lib.testing.assert_close(fused(x), root(x))
        return fused.code

    assert "bn1" not in same(fold)


def test_graphs_print_as_tables(capsys):
    traced = flowtorch.fx.symbolic_trace(lambda x: flowtorch.relu(x) + 1)
    traced.graph.print_tabular()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["opcode", "name", "target", "args", "kwargs"]
    assert set(lines[1]) == {"-", " "}
    assert [line.split()[:2] for line in lines[2:]] == [
        ["placeholder", "x"],
        ["call_function", "relu"],
        ["call_function", "add"],
        ["output", "output"],
    ]
