"""addcmul, addcdiv, lerp, clamp and add_ with alpha in C mean what the Python functions mean."""

import numpy as np
import pytest

import flowtorch
from flowtorch.native import calls

pytestmark = pytest.mark.skipif(calls.module is None, reason="the extension was not built before this process")
CALLS = {
    "addcmul": lambda a, b, c: (flowtorch.addcmul(a, b, c), flowtorch.addcmul(a, b, c, value=0.3)),
    "addcdiv": lambda a, b, c: (flowtorch.addcdiv(a, b, c), a.addcdiv(b, c, value=0.3)),
    "lerp": lambda a, b, c: (flowtorch.lerp(a, b, 0.3), a.lerp(b, 0.75), a.lerp(b, c), a.lerp(b, -1)),
    "clamp": lambda a, b, c: (a.clamp(-0.5, 0.5), a.clamp(min=0), a.clamp(max=0.25), a.clamp(b, c), a.clamp(b, 0.5)),
    "addcmul_": lambda a, b, c: (a.clone().addcmul_(b, c), a.clone().addcmul_(b, c, value=0.5)),
    "addcdiv_": lambda a, b, c: (a.clone().addcdiv_(b, c, value=0.5),),
    "lerp_": lambda a, b, c: (a.clone().lerp_(b, 0.1),),
    "clamp_": lambda a, b, c: (a.clone().clamp_(-0.5, 0.5), a.clone().clamp_(min=b)),
    "add_": lambda a, b, c: (a.clone().add_(b, alpha=0.3), a.clone().add_(b, alpha=2), a.clone().sub_(b, alpha=0.3)),
    "itself": lambda a, b, c: ((x := a.clone()).add_(x, alpha=0.5), (y := a.clone()).addcmul_(y, y)),
    "part": lambda a, b, c: ((x := a.clone(), x[1:].add_(x[:-1].clone(), alpha=0.5), x)[-1],),
    "broadcast": lambda a, b, c: (flowtorch.addcmul(a, b[0], c, value=0.5), a.clone().add_(b[0], alpha=0.5)),
    "mixed": lambda a, b, c: (flowtorch.addcmul(a, b.double(), c), a.clone().add_(b.half(), alpha=0.5)),
    "transposed": lambda a, b, c: (a.t().addcmul(b.t(), c.t(), value=0.5), a.t().clone().add_(b.t(), alpha=3)),
}  # fmt: skip


def both_ways(function):
    results = []
    for listener in ([], ["somebody"]):
        flowtorch.overrides.active.extend(listener)
        try:
            results.append(function())
        finally:
            del flowtorch.overrides.active[len(flowtorch.overrides.active) - len(listener):]
    return results


def operands(dtype):
    flowtorch.manual_seed(0)
    a, b, c = (flowtorch.randn(4, 4, dtype=dtype) for _ in range(3))
    a[0, 0], b[1, 1], c[2, 2], a[3] = float("nan"), float("inf"), 0.0, -0.0
    return a, b, c


@pytest.mark.parametrize("dtype", [flowtorch.float32, flowtorch.float64])
@pytest.mark.parametrize("name", CALLS)
def test_same_values(name, dtype):
    fast, complete = both_ways(lambda: CALLS[name](*operands(dtype)))
    for a, b in zip(fast, complete, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
        assert (a.dtype, a.stride(), a._version) == (b.dtype, b.stride(), b._version)


@pytest.mark.parametrize("name", ["addcmul", "addcdiv", "lerp", "clamp", "addcmul_", "clamp_", "add_"])
def test_recorded(name):
    def gradients():
        a, b, c = (x.nan_to_num(0.5, 0.5, -0.5).add_(2).requires_grad_() for x in operands(flowtorch.float64))
        loss = sum(x.sum() for x in CALLS[name](a, b, c))
        return flowtorch.autograd.grad(loss, (a, b, c), allow_unused=True)

    for a, b in zip(*both_ways(gradients), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            np.testing.assert_array_equal(a.numpy(), b.numpy())


def test_errors_stay():
    a = flowtorch.ones(2, 2)
    for call, error in (
        (lambda: a.add_(a, alpha="x"), (TypeError, RuntimeError)),
        (lambda: a.clamp(), RuntimeError),
        (lambda: a.addcmul_(flowtorch.ones(3), a), RuntimeError),
        (lambda: flowtorch.ones(2, 2, requires_grad=True).add_(a, alpha=2), RuntimeError),
        (lambda: a.add_(a, beta=2), TypeError),
        (lambda: a.view(4)[1:].add_(a.view(4)[:-1], alpha=2), RuntimeError),
    ):
        with pytest.raises(error):
            call()
