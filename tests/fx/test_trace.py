"""Traces are PyTorch's: the same code, the same printed graph, the same names; and they compute what was traced."""

import copy
import pickle

import numpy as np
import pytest
import torch
from programs import PROGRAMS

import flowtorch


def leaves(library, value):
    return [v for v in library.utils._pytree.tree_leaves(value) if isinstance(v, library.Tensor)]


def inputs(library, shapes):
    rng = np.random.default_rng(0)
    return [library.tensor(rng.standard_normal(shape).astype("float32")) for shape in shapes]


@pytest.mark.parametrize("name", PROGRAMS)
def test_text_is_pytorchs(name):
    ours, theirs = (lib.fx.symbolic_trace(PROGRAMS[name](lib)[0]) for lib in (flowtorch, torch))
    assert ours.code == theirs.code
    assert str(ours.graph) == str(theirs.graph)
    for a, b in zip(ours.graph.nodes, theirs.graph.nodes, strict=True):
        assert (a.name, a.op, str(a.args), str(a.kwargs)) == (b.name, b.op, str(b.args), str(b.kwargs))
        assert [u.name for u in a.users] == [u.name for u in b.users]
        assert list(map(str, a.meta.get("nn_module_stack", ()))) == list(map(str, b.meta.get("nn_module_stack", ())))


@pytest.mark.parametrize("name", PROGRAMS)
def test_traced_code_computes_the_same(name):
    root, shapes = PROGRAMS[name](flowtorch)
    traced = flowtorch.fx.symbolic_trace(root)
    traced.graph.lint()
    again = [traced, copy.deepcopy(traced), flowtorch.fx.Transformer(traced).transform()]
    if isinstance(root, flowtorch.nn.Module):
        again.append(pickle.loads(pickle.dumps(traced)))
    run = flowtorch.fx.Interpreter(traced).run(*inputs(flowtorch, shapes))
    wanted = leaves(flowtorch, root(*inputs(flowtorch, shapes)))
    assert wanted
    for result in (run, *(g(*inputs(flowtorch, shapes)) for g in again)):
        for got, want in zip(leaves(flowtorch, result), wanted, strict=True):
            flowtorch.testing.assert_close(got, want)
    assert copy.deepcopy(traced).code == traced.code


CALLS = [
    lambda t, x: t.flatten(x, start_dim=1),
    lambda t, x: t.cat([x, x], 1),
    lambda t, x: t.ones(3) + x,
    lambda t, x: t.ones(3) - x,
    lambda t, x: t.ones(3).add(x),
    lambda t, x: t.add(t.ones(3), x),
    lambda t, x: t.ones(3).expand(x),
    lambda t, x: t.ones(3).view(x, 1),
    lambda t, x: t.ones(3)[x],
    lambda t, x: t.zeros(x),
    lambda t, x: t.zeros((x, 3)),
    lambda t, x: t.full((2,), x),
    lambda t, x: t.arange(x),
    lambda t, x: t.add(input=x, other=2),
    lambda t, x: t.rand(2, dtype=x.dtype),
    lambda t, x: t.sum(x, dim=1),
    lambda t, x: t.topk(x, 3).values,
    lambda t, x: t.nn.functional.interpolate(x, scale_factor=2),
    lambda t, x: t.nn.functional.conv2d(x, x, padding=1),
    lambda t, x: t.nn.functional.avg_pool2d(x, 2),
    lambda t, x: t.nn.functional.logsigmoid(x),
    lambda t, x: t.nn.functional.pad(x, (1, 1)),
    lambda t, x: t.nn.functional.normalize(x),
    lambda t, x: t.nn.functional.embedding(x, x),
    lambda t, x: t.linalg.norm(x),
    lambda t, x: t.fft.fft(x),
    lambda t, x: t.norm(x),
    lambda t, x: t.meshgrid(x, x, indexing="ij"),
    lambda t, x: x.unflatten(0, (2, 3)),
    lambda t, x: x.shape[0] + x.size(1),
    lambda t, x: x.T,
    lambda t, x: t._assert(x.dim() == 3, "three"),
    lambda t, x: x.to("cpu", dtype=t.float64),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_calls_are_noted_as_pytorch_notes_them(number):
    lines = []
    for library in (flowtorch, torch):
        graph = library.fx.Graph()
        CALLS[number](library, library.fx.Proxy(graph.placeholder("x")))
        lines.append([node.format_node() for node in graph.nodes])
    assert lines[0] == lines[1]


def refuse(library, program, **options):
    with pytest.raises(library.fx.proxy.TraceError) as caught:
        library.fx.symbolic_trace(program, **options)
    return str(caught.value)


def branch(x):
    return x if x.sum() > 0 else -x


def loop(x):
    return [row + 1 for row in x]


def length(x):
    return len(x)


@pytest.mark.parametrize("program", [branch, loop])
def test_what_depends_on_data_is_refused(program):
    assert refuse(flowtorch, program)[:42] == refuse(torch, program)[:42]


def test_len_is_refused():
    with pytest.raises(RuntimeError, match="'len' is not supported in symbolic tracing"):
        flowtorch.fx.symbolic_trace(length)


def flagged(x, flag, opts, nothing=None):
    return x + 1 if flag else opts["a"] * x


@pytest.mark.parametrize("concrete", [{"flag": True}, {"flag": False}, {"nothing": None, "flag": True}])
def test_concrete_args(concrete):
    ours, theirs = (lib.fx.symbolic_trace(flagged, concrete_args=concrete) for lib in (flowtorch, torch))
    assert ours.code == theirs.code


def test_concrete_args_that_are_nested():
    def trace(lib):
        concrete = {"x": {"a": lib.fx.PH, "b": 2}, "y": [lib.fx.PH]}
        return lib.fx.symbolic_trace(lambda x, y: x["a"] + y[0] * x["b"], concrete_args=concrete)

    ours, theirs = trace(flowtorch), trace(torch)
    assert ours.code == theirs.code
    one = flowtorch.ones(2)
    assert ours({"a": one, "b": 2}, [one]).tolist() == [3.0, 3.0]
    with pytest.raises(AssertionError, match="specialized"):
        ours({"a": one, "b": 3}, [one])


def test_nothing_stays_exchanged_after_a_trace():
    from flowtorch import interception, overrides

    codes = flowtorch.cat.__wrapped__.__code__ if hasattr(flowtorch.cat, "__wrapped__") else flowtorch.cat.__code__
    call = flowtorch.nn.Module.__call__
    holders, listeners = interception._holders, len(overrides.symbolic)
    flowtorch.fx.symbolic_trace(PROGRAMS["net"](flowtorch)[0])
    with pytest.raises(ValueError, match="symbolically traced"):
        flowtorch.fx.symbolic_trace(branch)
    after = flowtorch.cat.__wrapped__.__code__ if hasattr(flowtorch.cat, "__wrapped__") else flowtorch.cat.__code__
    assert flowtorch.nn.Module.__call__ is call
    assert (interception._holders, len(overrides.symbolic)) == (holders, listeners)
    assert after is codes


def test_functions_show_their_signatures_while_proxies_are_about():
    import inspect

    before = [inspect.signature(f) for f in (flowtorch.cat, flowtorch.nn.functional.softmax, flowtorch.relu)]
    flowtorch.fx.Proxy(flowtorch.fx.Graph().placeholder("x"))
    after = [inspect.signature(f) for f in (flowtorch.cat, flowtorch.nn.functional.softmax, flowtorch.relu)]
    assert after == before
    assert flowtorch.cat([flowtorch.ones(1), flowtorch.zeros(1)], dim=0).tolist() == [1.0, 0.0]
