"""Function modes, dispatch modes, __torch_function__ and __torch_dispatch__ of subclasses: who sees which call."""

import inspect
import re
import threading
from pathlib import Path
from typing import ClassVar

import pytest
import torch

import flowtorch
import flowtorch.nn.functional
from flowtorch import interception, overrides, refusals
from flowtorch.overrides import TorchFunctionMode
from flowtorch.testing.samples import find
from flowtorch.utils._python_dispatch import TorchDispatchMode
from flowtorch.utils._pytree import tree_leaves, tree_map


def logging_modes(T):
    """(function mode, dispatch mode) of a library, each writing names into a list."""
    from importlib import import_module

    function_mode = import_module(f"{T.__name__}.overrides")
    dispatch_mode = import_module(f"{T.__name__}.utils._python_dispatch")

    class Calls(function_mode.TorchFunctionMode):
        def __init__(self, lines):
            super().__init__()
            self.lines = lines

        def __torch_function__(self, func, types, args=(), kwargs=None):
            name = getattr(func, "__name__", str(func))
            if name != "__get__":
                self.lines.append(name)
            return func(*args, **(kwargs or {}))

    class Ops(dispatch_mode.TorchDispatchMode):
        def __init__(self, lines):
            super().__init__()
            self.lines = lines

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            self.lines.append(str(func))
            return func(*args, **(kwargs or {}))

    return Calls, Ops


PROGRAMS = {
    "pointwise": lambda T, x: (x + x, x + 1, x * 2.0, x / x, x**2, x.exp(), x == x, x > 0.5, T.clamp(x, 0, 1)),
    "reductions": lambda T, x: (x.sum(), x.sum(1), x.mean(0), x.amax(1), x.argmax(), x.cumsum(0)),
    "products": lambda T, x: (T.mm(x, x), T.mv(x, x[0]), T.dot(x[0], x[1]), T.bmm(x[None], x[None])),
    "views": lambda T, x: (x.view(9), x.t(), x.transpose(0, 1), x.permute(1, 0), x.unsqueeze(0), x.select(0, 1)),
    "softmax": lambda T, x: (T.softmax(x, 1), T.log_softmax(x, 1), T.sigmoid(x), T.tanh(x), T.relu(x)),
    "in place": lambda T, x: (x.clone().add_(1), x.clone().mul_(x), x.clone().exp_(), x.clone().copy_(x)),
    "joins": lambda T, x: (
        T.cat([x, x]),
        T.stack([x, x]),
        x.gather(0, T.zeros(1, 3, dtype=T.int64)),
        T.where(x > 0, x, x),
    ),
    "makers": lambda T, x: (T.zeros(2), T.ones(2), T.empty(2), T.full((2,), 1.0), T.eye(2), T.ones_like(x), x.detach()),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_dispatch_modes_see_the_overloads_that_torch_shows(name):
    seen = {}
    for T in (torch, flowtorch):
        x = T.arange(9.0).reshape(3, 3) / 8
        seen[T] = lines = []
        with logging_modes(T)[1](lines):
            PROGRAMS[name](T, x)
    ours, theirs = ([n.replace("alias", "detach") for n in seen[T]] for T in (flowtorch, torch))
    assert ours == theirs


@pytest.mark.parametrize("name", [n for n in PROGRAMS if n != "views"])
def test_function_modes_see_the_public_calls(name):
    seen = {}
    for T in (torch, flowtorch):
        x = T.arange(9.0).reshape(3, 3) / 8
        seen[T] = lines = []
        with logging_modes(T)[0](lines):
            PROGRAMS[name](T, x)
    alias = {
        "__add__": "add",
        "__mul__": "mul",
        "__truediv__": "div",
        "true_divide": "div",
        "__pow__": "pow",
        "eq": "__eq__",
        "gt": "__gt__",
        "__getitem__": "getitem",
        "matmul": "mm",
        "_is_view": "",
    }
    flat = {T: [alias.get(n, n) for n in lines if n != "getitem"] for T, lines in seen.items()}
    assert [n.strip("_") for n in flat[flowtorch]] == [n.strip("_") for n in flat[torch]]


def test_composites_are_seen_once_under_their_own_name():
    F = flowtorch.nn.functional
    x = flowtorch.rand(3, 4)
    lines = []
    with logging_modes(flowtorch)[0](lines):
        F.mse_loss(x, x)
        x.std(0)
        flowtorch.einsum("ij,kj->ik", x, x)
        F.cosine_similarity(x, x)
    assert lines == ["mse_loss", "std", "einsum", "cosine_similarity"]


def test_nothing_is_left_when_modes_end():
    before = {f: f.__code__ for f in interception._exchanged}
    with logging_modes(flowtorch)[0]([]), logging_modes(flowtorch)[1]([]):
        changed = sum(f.__code__ is not code for f, code in before.items())
        assert interception._holders >= 2
    if interception._holders == 0:
        assert all(f.__code__ is own for f, (own, _) in interception._exchanged.items())
        assert not before or changed
    assert not overrides.state.modes and not overrides.state.below


def test_signatures_are_kept_while_intercepting():
    plain = inspect.signature(flowtorch.nn.functional.mse_loss)
    with logging_modes(flowtorch)[0]([]):
        assert inspect.signature(flowtorch.nn.functional.mse_loss) == plain


def test_a_mode_may_replace_results():
    class Zeros(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            out = func(*args, **(kwargs or {}))
            return flowtorch.zeros_like(out) if func is flowtorch.ops.aten.exp.default else out

    x = flowtorch.rand(3, requires_grad=True)
    with Zeros():
        y = x.exp() + x
    assert flowtorch.equal(y, x)
    y.sum().backward()
    assert flowtorch.equal(x.grad, flowtorch.ones(3))  # exp's derivative is its (replaced) result


def test_results_are_recorded_and_views_stay_views():
    class Pass(TorchDispatchMode):
        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            return func(*args, **(kwargs or {}))

    def program(x):
        y = x * 2
        y.view(6)[1:3].mul_(5)
        y[0, 0] = 7
        a, b = y.split(1)
        return (a * b + y.t().sum(1)[:1]).exp().mean()

    leaves = [flowtorch.linspace(0, 1, 6).reshape(2, 3).requires_grad_() for _ in range(2)]
    plain = program(leaves[0])
    plain.backward()
    with Pass():
        seen = program(leaves[1])
        seen.backward()
    assert flowtorch.equal(plain, seen) and flowtorch.equal(leaves[0].grad, leaves[1].grad)


def test_backward_is_seen_below_and_hidden_above():
    x = flowtorch.rand(3, 3, requires_grad=True)
    calls, ops = [], []
    Calls, Ops = logging_modes(flowtorch)
    loss = (x @ x).exp().sum()
    with Calls(calls), Ops(ops):
        loss.backward()
    assert not [c for c in calls if c in ("mul", "matmul", "expand")]
    assert ops.count("aten.mm.default") == 2 and "aten.mul.Tensor" in ops


def test_user_functions_in_backward_are_seen_by_function_modes():
    class Double(flowtorch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            return g.mul(2)

    calls = []
    x = flowtorch.rand(2, requires_grad=True)
    with logging_modes(flowtorch)[0](calls):
        y = Double.apply(x).exp().sum()
        del calls[:]
        flowtorch.autograd.backward(y)
    assert calls.count("mul") == 1
    assert flowtorch.allclose(x.grad, 2 * (2 * x).exp())


def test_every_value_in_a_training_step_comes_from_somewhere():
    nn = flowtorch.nn

    class Flow(TorchDispatchMode):
        def __init__(self, known):
            self.known = {id(t._array): t._array for t in known}
            self.unknown = []

        def owners(self, a):
            while a is not None and hasattr(a, "base"):
                yield id(a)
                a = a.base

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):
            for t in tree_leaves((args, kwargs)):
                if (
                    isinstance(t, flowtorch.Tensor)
                    and t.dim()
                    and not any(o in self.known for o in self.owners(t._array))
                ):
                    self.unknown.append(f"{func} {tuple(t.shape)}")
            out = func(*args, **(kwargs or {}))
            for t in tree_leaves(out):
                if isinstance(t, flowtorch.Tensor):
                    self.known[id(t._array)] = t._array
            return out

    x = flowtorch.rand(2, 2, 8, 8)
    model = nn.Sequential(
        nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
    )
    with Flow([x, *model.parameters(), *model.buffers()]) as flow:
        y = model(x)
        ((y - y.mean(0)) ** 2).mean().backward()
        grads = [p.grad for p in model.parameters()]
    assert not flow.unknown
    assert all(any(o in flow.known for o in flow.owners(g._array)) for g in grads)


def test_dispatch_modes_nest_and_see_batched_calls_below_vmap():
    outer, inner = [], []
    Ops = logging_modes(flowtorch)[1]
    x = flowtorch.rand(4, 3)
    with Ops(outer), Ops(inner):
        flowtorch.vmap(lambda v: v.exp() * 2)(x)
    assert outer == inner == ["aten.exp.default", "aten.mul.Tensor"]


def test_modes_belong_to_their_thread():
    lines = []
    with logging_modes(flowtorch)[1](lines), logging_modes(flowtorch)[0](lines):
        thread = threading.Thread(target=lambda: flowtorch.ones(3).exp())
        thread.start()
        thread.join()
    assert lines == []


# ---------------------------------------------------------------- subclasses


def test_a_subclass_sees_composites_and_is_kept_through_ops():
    seen = []

    class Logged(flowtorch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            seen.append(overrides.resolve_name(func))
            return super().__torch_function__(func, types, args, kwargs or {})

    F = flowtorch.nn.functional
    x = flowtorch.rand(3, 4).as_subclass(Logged)
    results = [
        F.mse_loss(x, flowtorch.zeros(3, 4)),
        x.std(0),
        F.gelu(x + 1),
        x[0],
        x.reshape(-1),
        flowtorch.cat([x, x]),
        flowtorch.stack([flowtorch.rand(3, 4), x]),
        flowtorch.zeros_like(x),
        x.detach(),
        *x.split(2),
    ]
    assert all(type(r) is Logged for r in results)
    assert seen[:4] == ["torch.nn.functional.mse_loss", "torch.std", "torch.add", "torch.nn.functional.gelu"]


def test_a_duck_takes_composites_once_intercepted():
    class Duck:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return overrides.resolve_name(func), len(args)

    assert flowtorch.add(Duck(), 1) == ("torch.add", 2)
    with overrides.BaseTorchFunctionMode():
        pass
    interception.hold()
    try:
        assert flowtorch.nn.functional.mse_loss(Duck(), Duck()) == ("torch.nn.functional.mse_loss", 2)
    finally:
        interception.drop()


class Boxed(flowtorch.Tensor):
    """A wrapper with no memory of its own, as quantised and sharded tensors are made."""

    seen: ClassVar[list] = []

    @staticmethod
    def __new__(cls, inner):
        return flowtorch.Tensor._make_wrapper_subclass(cls, inner.size(), dtype=inner.dtype)

    def __init__(self, inner):
        self.inner = inner

    def __repr__(self):
        return f"Boxed({self.inner})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        cls.seen.append(str(func))
        open_ = lambda t: t.inner if isinstance(t, Boxed) else t  # noqa: E731
        out = func(*tree_map(open_, args), **tree_map(open_, kwargs or {}))
        return tree_map(lambda t: Boxed(t) if isinstance(t, flowtorch.Tensor) else t, out)


def test_torch_dispatch_of_a_wrapper_subclass():
    Boxed.seen = []
    inner = flowtorch.rand(3)
    x = Boxed(inner).requires_grad_()
    y = (x.exp() * x).sum()
    assert type(y) is Boxed and flowtorch.equal(y.inner, (inner.exp() * inner).sum())
    y.backward()
    assert type(x.grad) is Boxed
    assert flowtorch.allclose(x.grad.inner, inner.exp() * inner + inner.exp())
    assert Boxed.seen[:3] == ["aten.exp.default", "aten.mul.Tensor", "aten.sum.default"]


# ---------------------------------------------------------------- the tables


def test_overridable_functions_are_those_of_torch():
    theirs = {
        torch.overrides.resolve_name(f)
        for space, fs in torch.overrides.get_overridable_functions().items()
        if space in (torch, torch.nn.functional, torch.linalg, torch.fft, torch.special)
        for f in fs
    }
    ours = {overrides.resolve_name(f) for fs in overrides.get_overridable_functions().values() for f in fs}
    provided = {n for n in theirs if n and find(flowtorch, n.removeprefix("torch.")) is not None}
    aliases = {
        n
        for n in provided
        if find(flowtorch, n.removeprefix("torch."))
        in {f for fs in overrides.get_overridable_functions().values() for f in fs}
    }
    refusing = {f"torch.{n}" for n in (*refusals.INSTEAD, *refusals.TORCHSCRIPT)}  # they raise whatever they are given
    missing = provided - ours - aliases - refusing
    assert len(missing) < 0.12 * len(provided), sorted(missing)
    assert len(ours) > 700


def test_testing_overrides_have_the_signatures():
    table = overrides.get_testing_overrides()
    assert table[flowtorch.add](1, 2) == -1
    assert list(inspect.signature(table[flowtorch.add]).parameters)[:2] == ["input", "other"]
    assert flowtorch.zeros not in table and flowtorch.zeros in overrides.get_ignored_functions()


def test_names():
    assert overrides.resolve_name(flowtorch.add) == "torch.add"
    assert overrides.resolve_name(flowtorch.nn.functional.linear) == "torch.nn.functional.linear"
    assert overrides.resolve_name(flowtorch.ops.aten.mm.default) == "aten.mm.default"
    assert repr(flowtorch.ops.aten.add.Tensor) == repr(torch.ops.aten.add.Tensor)
    assert flowtorch.ops.aten.add_.Tensor.name() == torch.ops.aten.add_.Tensor.name()
    assert overrides.is_tensor_method_or_property(flowtorch.Tensor.add)
    assert overrides.is_tensor_like(flowtorch.ones(1)) and not overrides.is_tensor_like(6)


def test_wrap_torch_function():
    @overrides.wrap_torch_function(lambda a: (a,))
    def double(a):
        return a + a

    class Duck:
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            return func

    assert flowtorch.equal(double(flowtorch.ones(2)), flowtorch.full((2,), 2.0))
    assert double(Duck()) is double


def test_redispatch_skips_one_level():
    lines = []

    class Logged(flowtorch.Tensor):
        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            lines.append(func.__name__)
            return overrides.redispatch_function(func, types, args, kwargs)

    flowtorch.nn.functional.mse_loss(flowtorch.rand(3).as_subclass(Logged), flowtorch.rand(3))
    assert lines[0] == "mse_loss" and len(lines) > 1


def test_the_page_on_interposition_runs():
    text = (Path(__file__).parents[2] / "docs" / "interposition.md").read_text()
    scope = {}
    for block in re.findall(r"```python\n(.*?)```", text, re.DOTALL):
        exec(compile(block, "interposition.md", "exec"), scope)
    assert issubclass(scope["Log"], TorchDispatchMode) and issubclass(scope["Calls"], TorchFunctionMode)
