"""What stays alive: nothing after backward, no cycles, no deep recursion; and threads beside each other."""

import gc
import sys
import threading
import weakref

import pytest

import flowtorch as torch

nn = torch.nn


def small_model():
    return nn.Sequential(
        nn.Conv1d(2, 3, 3), nn.BatchNorm1d(3), nn.GELU(), nn.Flatten(), nn.Linear(18, 4), nn.LayerNorm(4)
    )


PROGRAMS = {
    "model": lambda: small_model()(torch.rand(5, 2, 8)).square().mean(),
    "attention": lambda: nn.TransformerEncoderLayer(4, 2, 8, dropout=0.0)(torch.rand(3, 2, 4)).sum(),
    "recurrent": lambda: nn.LSTM(3, 4)(torch.rand(5, 2, 3))[0].sum(),
    "indexing": lambda: _indexing(torch.rand(4, 4, requires_grad=True)),
    "in place": lambda: _in_place(torch.rand(4, 4, requires_grad=True)),
    "softmax and its like": lambda: (torch.rand(3, 4, requires_grad=True) * 2).softmax(1).log().exp().tanh().sum(),
    "several results": lambda: sum(t.sum() for t in torch.linalg.svd(torch.rand(3, 3, requires_grad=True) * 1)),
    "user function": lambda: _Cube.apply(torch.rand(3, requires_grad=True) * 1).sum(),
    "hooks": lambda: _hooked(torch.rand(3, requires_grad=True)),
    "checkpoint": lambda: torch.utils.checkpoint.checkpoint(
        lambda x: (x * x).exp(), torch.rand(3, requires_grad=True), use_reentrant=False
    ).sum(),
    "second order": lambda: torch.autograd.grad(
        (t := torch.rand(3, requires_grad=True)).pow(3).sum(), t, create_graph=True
    )[0].sum(),
}


class _Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        out = x * x * x
        ctx.save_for_backward(x, out)
        return out

    @staticmethod
    def backward(ctx, g):
        x, _ = ctx.saved_tensors
        return 3 * x * x * g


def _indexing(x):
    y = x * 1
    return (y[1:, ::2] + y[torch.tensor([0, 1, 2]), :2] + y[0, 0]).sum() + torch.cat([y, y]).max(0).values.sum()


def _in_place(x):
    y = x * 3
    y[0].mul_(2)
    y.view(16)[3:5] = 1
    y += x
    return y.sigmoid_().sum()


def _hooked(x):
    y = x * 2
    y.register_hook(lambda g: g * 2)
    y.retain_grad()
    y.grad_fn.register_hook(lambda gi, go: None)
    return (y * y).sum()


def nodes(loss):
    found, stack = [], [loss.grad_fn]
    while stack:
        n = stack.pop()
        if n is not None and all(n is not m for m in found):
            found.append(n)
            stack.extend(m for m, _ in n.next_functions)
    return found


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_graph_is_alive_after_backward(name):
    gc.collect()
    gc.disable()  # reference counts alone must do
    try:
        loss = PROGRAMS[name]()
        refs = [weakref.ref(n) for n in nodes(loss) if type(n).__name__ != "AccumulateGrad"]
        assert refs
        loss.backward()
        del loss
        assert not [r() for r in refs if r() is not None]
    finally:
        gc.enable()


@pytest.mark.parametrize("name", PROGRAMS)
def test_no_cycles(name):
    PROGRAMS[name]().backward()  # what is compiled and cached on first use
    gc.collect()
    flags = gc.get_debug()
    gc.disable()
    try:
        gc.set_debug(gc.DEBUG_SAVEALL)
        PROGRAMS[name]().backward()
        PROGRAMS[name]()  # a graph that is dropped without backward
        gc.collect()
        found = [o for o in gc.garbage if isinstance(o, torch.Tensor) or "flowtorch" in type(o).__module__]
    finally:
        gc.set_debug(flags)
        gc.garbage.clear()
        gc.enable()
    # Modules refer to themselves through hooks' handles in no program here.
    assert not found, [type(o) for o in found][:10]


def test_what_a_node_keeps_goes_as_soon_as_it_has_run():
    x = torch.rand(3, requires_grad=True)
    kept = torch.rand(3)
    ref = weakref.ref(kept)
    y = (x * kept).sum()
    del kept
    assert ref() is not None
    y.backward()
    assert ref() is None and y.grad_fn is not None


def test_an_error_does_not_pin_the_graph_once_handled():
    def failing():
        x = torch.rand(3, requires_grad=True)
        y = x.exp()
        refs.append(weakref.ref(y.grad_fn))
        y.add_(1)
        y.sum().backward()

    refs = []
    with torch.set_provenance(True), pytest.raises(RuntimeError):
        failing()
    gc.collect()
    assert refs[0]() is None


def test_a_kept_traceback_does_not_keep_gradients():
    class Failing(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        def backward(ctx, g):
            raise ValueError("here")

    class Both(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, y):
            return x + y

        @staticmethod
        def backward(ctx, g):
            waiting = g * 3
            refs.append(weakref.ref(waiting._array))
            return waiting, g * 2

    refs = []
    x = torch.rand(3, requires_grad=True)
    older = x.exp()  # its gradient waits while the newer one fails
    loss = Both.apply(older, Failing.apply(x)).sum()
    with pytest.raises(ValueError, match="here") as caught:
        loss.backward()
    assert caught.value.__traceback__ is not None
    assert refs[0]() is None


@pytest.mark.parametrize("provenance", [False, True])
def test_a_million_nodes_without_recursion(provenance):
    count = 1_000_000 if not provenance else 100_000
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(300)
    gc.disable()  # it would look at all nodes again and again
    try:
        with torch.set_provenance(provenance):
            x = torch.ones((), requires_grad=True)
            y = x
            for _ in range(count):
                y = -y
            ref = weakref.ref(y.grad_fn)
            (g,) = torch.autograd.grad(y, x)
            assert g.item() == 1.0
            del y
            assert ref() is None
            z = x
            for _ in range(count // 10):
                z = z * 1.0
            del z  # dropped without backward
    finally:
        gc.enable()
        sys.setrecursionlimit(limit)


# ---------------------------------------------------------------- threads


def both(*functions):
    """Run functions at once, each in its thread; their errors are raised here."""
    errors = []
    start = threading.Barrier(len(functions))

    def run(f):
        try:
            start.wait()
            f()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(f,)) for f in functions]
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)  # switch as often as possible
    try:
        for t in threads:
            t.start()
        for t in threads:
            t.join()
    finally:
        sys.setswitchinterval(interval)
    if errors:
        raise errors[0]


def test_independent_graphs_in_two_threads():
    results = {}

    def work(k):
        x = torch.full((5,), float(k), dtype=torch.float64, requires_grad=True)
        for _ in range(200):
            y = (x * x).exp().sum() + (x.view(5, 1) @ x.view(1, 5)).sum()
            (g,) = torch.autograd.grad(y, x)
            results.setdefault(k, []).append(g)

    both(lambda: work(0.5), lambda: work(1.5))
    for k, grads in results.items():
        expected = 2 * k * torch.tensor(k * k, dtype=torch.float64).exp() + 10 * k
        assert all(torch.allclose(g, expected.expand(5)) for g in grads)


def test_two_backward_passes_over_a_shared_leaf_add_up():
    x = torch.zeros(64, dtype=torch.float64, requires_grad=True)
    rounds = 300

    def work(scale):
        for _ in range(rounds):
            (x * scale + x).sum().backward()

    both(lambda: work(1.0), lambda: work(2.0), lambda: work(3.0))
    assert torch.equal(x.grad, torch.full((64,), rounds * (1.0 + 2.0 + 3.0 + 3.0), dtype=torch.float64))


def test_shared_graph_with_retain_graph():
    x = torch.ones(8, dtype=torch.float64, requires_grad=True)
    shared = (x * 3).exp()
    shared.sum().backward(retain_graph=True)
    (expected,) = torch.autograd.grad(shared.sum(), x, retain_graph=True)
    found = []

    def work():
        for _ in range(100):
            found.append(torch.autograd.grad((shared * 2).sum(), x, retain_graph=True)[0])

    both(work, work)
    assert all(torch.equal(g, 2 * expected) for g in found)


def test_modes_are_per_thread():
    seen = {}
    inside = threading.Event()
    done = threading.Event()

    def quiet():
        with torch.no_grad(), torch.inference_mode():
            inside.set()
            done.wait(10)
            seen["quiet"] = torch.is_grad_enabled()

    def loud():
        inside.wait(10)
        seen["loud"] = torch.is_grad_enabled(), (torch.ones(1, requires_grad=True) * 2).requires_grad
        done.set()

    both(quiet, loud)
    assert seen == {"quiet": False, "loud": (True, True)}


def test_provenance_and_transforms_beside_each_other():
    def mapped():
        for _ in range(50):
            out = torch.vmap(torch.func.grad(lambda r: (r * r).sum()))(torch.ones(3, 2))
            assert torch.equal(out, torch.full((3, 2), 2.0))

    def remembered():
        for _ in range(50):
            with torch.set_provenance(True):
                y = torch.ones(2, requires_grad=True) * 2
            assert torch.autograd.provenance.where(y).expression == "torch.ones(2, requires_grad=True) * 2"

    both(mapped, remembered)
