"""The fast calls in C mean what the Python closures mean, and let go of all that they touch."""

import copy
import gc
import inspect
import pickle
import sys
import weakref

import numpy as np
import pytest

import flowtorch
import flowtorch.nn.functional as F
from flowtorch import native
from flowtorch.autograd.graph import saved_tensors_hooks
from flowtorch.native import calls

pytestmark = pytest.mark.skipif(calls.module is None, reason="the extension was not built before this process")


def leaf(*shape):
    return flowtorch.randn(*shape, requires_grad=True)


CALLS = {
    "unary": (lambda a, b: a.exp(), lambda a, b: flowtorch.relu(a), lambda a, b: -a),
    "binary": (lambda a, b: a + b, lambda a, b: a * 2.0, lambda a, b: 1 - a, lambda a, b: a / b, lambda a, b: a + b[0]),
    "compared": (lambda a, b: a > b, lambda a, b: a == 1),
    "views": (lambda a, b: a.view(16), lambda a, b: a.reshape(2, -1), lambda a, b: a.t(), lambda a, b: a.unsqueeze(0),
              lambda a, b: a.permute(1, 0), lambda a, b: a.transpose(0, 1)),
    "indices": (lambda a, b: a[0], lambda a, b: a[1:3], lambda a, b: a[:, 1], lambda a, b: a[None, ..., 0],
                lambda a, b: a[::2]),
    "reductions": (lambda a, b: a.sum(), lambda a, b: a.sum(dim=1), lambda a, b: a.mean(), lambda a, b: a.amax()),
    "general": (lambda a, b: flowtorch.softmax(a, -1), lambda a, b: F.layer_norm(a, (4,))),
    "products": (lambda a, b: a @ b, lambda a, b: F.linear(a, b, b[0]), lambda a, b: F.linear(a, b),
                 lambda a, b: flowtorch.cat((a, b)), lambda a, b: flowtorch.cat([a, b], dim=1)),
    "attributes": (lambda a, b: a.shape, lambda a, b: a.dtype, lambda a, b: a.device),
}  # fmt: skip
EVERY = [pytest.param(f, id=f"{kind}-{i}") for kind, fs in CALLS.items() for i, f in enumerate(fs)]


@pytest.mark.parametrize("call", EVERY)
@pytest.mark.parametrize("recorded", [False, True])
def test_nothing_is_kept(call, recorded):
    """Many calls leave no object behind, and no reference to an operand."""
    a, b = flowtorch.rand(4, 4).requires_grad_(recorded), flowtorch.rand(4, 4)

    def backward_too():
        out = call(a, b)
        if isinstance(out, flowtorch.Tensor) and out.requires_grad:
            flowtorch.autograd.grad(out.sum(), a)

    for _ in range(8):
        backward_too()
    gc.collect()
    before = sys.getrefcount(a), sys.getrefcount(b), sys.getrefcount(a._type), sys.getrefcount(None)
    objects = len(gc.get_objects())
    for _ in range(200):
        backward_too()
    gc.collect()
    after = sys.getrefcount(a), sys.getrefcount(b), sys.getrefcount(a._type), sys.getrefcount(None)
    assert after[:3] == before[:3]
    assert abs(after[3] - before[3]) < 100
    assert len(gc.get_objects()) - objects < 50


@pytest.mark.parametrize("call", EVERY)
def test_same_as_the_closures(call):
    """Value, dtype, strides, node and gradient are those of the path without C."""
    results = []
    for listener in ([], ["somebody"]):
        flowtorch.manual_seed(0)
        a, b = leaf(4, 4), flowtorch.randn(4, 4)
        flowtorch.overrides.active.extend(listener)
        try:
            out = call(a, b)
            if not isinstance(out, flowtorch.Tensor):
                results.append(out)
                continue
            gradient = None
            if out.requires_grad:
                (gradient,) = flowtorch.autograd.grad(out.sum(), a, create_graph=True)
            names = type(out.grad_fn).__name__, out._is_view(), out.is_leaf
            results.append((out.detach().numpy(), out.dtype, out.stride(), names,
                            None if gradient is None else gradient.detach().numpy()))
        finally:
            del flowtorch.overrides.active[len(flowtorch.overrides.active) - len(listener):]
    fast, complete = results
    if not isinstance(fast, tuple) or len(fast) != 5:
        assert fast == complete
        return
    np.testing.assert_array_equal(fast[0], complete[0])
    assert fast[1:4] == complete[1:4]
    if fast[4] is not None:
        np.testing.assert_array_equal(fast[4], complete[4])


def test_a_call_is_presented_as_its_function():
    add = flowtorch.add
    assert type(add) is not type(lambda: None)
    assert add.__name__ == "add" and add.__doc__ and list(inspect.signature(add).parameters)[:2] == ["input", "other"]
    assert pickle.loads(pickle.dumps(add)) is add
    assert copy.deepcopy(add) is add
    assert weakref.ref(add)() is add
    assert flowtorch.Tensor.exp.__get__(leaf(2))().shape == (2,)


def test_errors_are_those_of_the_complete_path():
    a = flowtorch.ones(2, 3)
    for call, error in (
        (lambda: a + flowtorch.ones(2), RuntimeError),
        (lambda: a @ a, RuntimeError),
        (lambda: a.view(7), RuntimeError),
        (lambda: a[5], IndexError),
        (lambda: a.permute(0, 0), RuntimeError),
        (lambda: flowtorch.cat((a, flowtorch.ones(3, 2))), RuntimeError),
        (lambda: flowtorch.exp("x"), TypeError),
        (lambda: a.sum(dim=9), IndexError),
        (lambda: flowtorch.softmax(a, 4), IndexError),
    ):
        with pytest.raises(error):
            call()


def test_plans_are_looked_up_anew():
    a = flowtorch.arange(3)
    assert (a / 2).dtype is flowtorch.float32
    flowtorch.set_default_dtype(flowtorch.float64)
    try:
        assert (a / 2).dtype is flowtorch.float64
        assert flowtorch.sqrt(a).dtype is flowtorch.float64
    finally:
        flowtorch.set_default_dtype(flowtorch.float32)
    assert (a / 2).dtype is flowtorch.float32


def test_writing_in_place_respects_memory_and_versions():
    a = flowtorch.arange(6.0)
    version = a._version
    a.add_(1.0).mul_(a)
    assert a.tolist() == [1, 4, 9, 16, 25, 36] and a._version == version + 2
    x = leaf(3)
    y = x.exp()
    y.mul_(2)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        y.sum().backward()
    with pytest.raises(RuntimeError, match="leaf Variable"):
        leaf(3).add_(1)
    row = flowtorch.arange(3.0)
    table = flowtorch.ones(3, 3)
    assert table.add_(row).tolist() == [[1, 2, 3]] * 3
    assert flowtorch.arange(4.0).add_(flowtorch.arange(4.0)).tolist() == [0, 2, 4, 6]


def test_hooks_on_saved_tensors_see_every_call():
    seen = []
    x = leaf(4, 4)
    with saved_tensors_hooks(lambda t: seen.append(t.shape) or t, lambda t: t):
        ((x * x).exp() @ x).sum().backward()
    assert len(seen) >= 5


def test_a_subclass_is_asked():
    class Loud(flowtorch.Tensor):
        calls = []  # noqa: RUF012

        @classmethod
        def __torch_function__(cls, func, types, args=(), kwargs=None):
            cls.calls.append(func)
            return super().__torch_function__(func, types, args, kwargs)

    x = flowtorch.ones(2, 2).as_subclass(Loud)
    assert type(x + 1) is Loud and type(flowtorch.exp(x)) is Loud and type(x @ x) is Loud and type(x[0]) is Loud
    assert flowtorch.exp in Loud.calls


@pytest.mark.parametrize("make", [
    lambda t: t.t(), lambda t: t[::2], lambda t: t[:, 1:], lambda t: t[0].expand(4, 4), lambda t: t[:0],
    lambda t: t.to(flowtorch.bfloat16), lambda t: t.long(), lambda t: t > 0, lambda t: t.to(flowtorch.complex64),
    lambda t: t.sum(),
])  # fmt: skip
def test_unusual_operands(make):
    """Layouts and dtypes that the short cut leaves to Python, or takes itself, give the same."""
    t = flowtorch.arange(16.0).reshape(4, 4)
    for f in (lambda x: x + x, lambda x: x * 2, lambda x: x.sum(), lambda x: x == x, lambda x: x.unsqueeze(-1)):
        x = make(t)
        fast = f(x)
        flowtorch.overrides.active.append("somebody")
        try:
            complete = f(x)
        finally:
            flowtorch.overrides.active.pop()
        assert fast.dtype is complete.dtype and fast.stride() == complete.stride()
        assert fast.tolist() == complete.tolist()


def test_the_state_is_told():
    assert native.describe().startswith("ready")


@pytest.mark.parametrize("make", [flowtorch.zeros, flowtorch.ones, flowtorch.empty])
def test_new_tensors(make, monkeypatch):
    sizes = [(3,), (2, 3), ((2, 3),), ([4],), (flowtorch.Size([2, 0]),), (np.int64(3), 2), ((),)]
    for size in sizes:
        for dtype in (None, flowtorch.float64, flowtorch.int64, flowtorch.bool, flowtorch.bfloat16):
            t = make(*size, dtype=dtype)
            again = make(size=tuple(size[0]) if isinstance(size[0], (tuple, list)) else size, dtype=dtype)
            assert t.shape == again.shape and t.dtype is again.dtype and t._version == 0 and t.is_leaf
            if make is not flowtorch.empty:
                assert (t == again).all()
    for wrong, error in ((-1, RuntimeError), (1.5, TypeError), ("x", TypeError)):
        with pytest.raises(error):
            make(wrong)
    with pytest.raises(TypeError):
        make(2, dtype="float32")
    with flowtorch.device("meta"):
        assert make(2).is_meta
