"""Every pointwise op of the registry, computed by the kernels that its expression renders to.

The rendered kernels take the place of the op's own through the hook that devices use, so promotion, scalars, parameters
and results go the ordinary way. Run: python -m pytest tests/codegen/test_registry.py
"""

import contextlib

import numpy as np
import pytest

import flowtorch
from flowtorch.codegen import native
from flowtorch.codegen.c_renderer import CKernel
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.numpy_renderer import build, numpy_dtype
from flowtorch.codegen.op_kernel import OpKernel
from flowtorch.codegen.symbolic import NotSymbolicError, read
from flowtorch.ops import dispatch
from flowtorch.ops.op import REGISTRY

DTYPES = ["bool", "uint8", "int64", "bfloat16", "float32", "float64", "complex64"]
OPS = [op for op in REGISTRY.values() if op.family.name == "pointwise" and op.expr is not None]
# Functions that C has not, and dtypes that the C renderer leaves to numpy
NOT_IN_C = {"erfinv", "digamma", "complex"}
# What the op's own kernel computes and no rendering does
NOT_RENDERED = {("pow", "bool"), ("nextafter", "bfloat16"), ("logaddexp", "complex64")}
# Parameters that are no numbers of the expression, or whose default says nothing
PARAMETERS = {
    "addcmul": {"value": 3}, "addcdiv": {"value": 0.5}, "add": {"alpha": 2}, "sub": {"alpha": 3},
    "leaky_relu": {"negative_slope": 0.2}, "elu": {"alpha": 0.7, "scale": 1.5, "input_scale": 2.0},
    "hardtanh": {"min_val": -0.5, "max_val": 0.5}, "softplus": {"beta": 2.0, "threshold": 3.0},
    "threshold": {"threshold": 0.1, "value": 2.0}, "hardshrink": {"lambd": 0.7}, "softshrink": {"lambd": 0.3},
    "nan_to_num": {"nan": 1.0, "posinf": 2.0, "neginf": -2.0}, "huber": {"delta": 0.8},
}  # fmt: skip


def operand(op, name, dtype, position):
    rng = np.random.default_rng(position)
    if name == "target" or op == "binary_entropy":
        return flowtorch.tensor(rng.random((4, 9))).to(getattr(flowtorch, dtype))
    if name == "condition" or dtype == "bool":
        return flowtorch.tensor(rng.random((4, 9)) > 0.5)
    kind = numpy_dtype(dtype)
    if kind.kind in "iu":
        return flowtorch.tensor(rng.integers(1, 9, (4, 9)).astype(kind))
    array = rng.standard_normal((4, 9)) * 1.5
    if kind.kind == "c":
        array = array + 1j * rng.standard_normal((4, 9))
    else:
        array.flat[rng.permutation(36)[:6]] = [0.0, -0.0, np.inf, -np.inf, np.nan, 0.5]
    return flowtorch.tensor(array.astype(np.complex64 if kind.kind == "c" else np.float64)).to(
        getattr(flowtorch, dtype)
    )


def calls(op, dtype):
    """Argument lists: the defaults, other parameters, and an absent bound."""
    tensors = [operand(op.name, name, dtype, position) for position, name in enumerate(op.tensors)]
    required = {name: 2 for name in op.params if name not in op.defaults}
    if op.name == "threshold":
        required = PARAMETERS["threshold"]
    # numpy's kernel replaces infinities by float32's extremes whatever the dtype
    if (op.name, dtype) != ("nan_to_num", "bfloat16"):
        yield tensors, required
    if op.name in PARAMETERS and PARAMETERS[op.name] != required:
        yield tensors, PARAMETERS[op.name]
    if op.name == "clamp":
        yield [tensors[0], None, tensors[2]], {}
        yield [tensors[0], tensors[1], None], {}


@contextlib.contextmanager
def rendered(make):
    """The op kernels of the CPU replaced by rendered ones; yields the names of the ops that took part."""
    seen = set()

    def provider(op, type):
        if op.family.name != "pointwise" or op.expr is None:
            return None
        kernel = OpKernel(op, type.dtype.name, make)
        seen.add(op.name)
        return kernel, kernel

    dispatch.kernel_providers["cpu"].append(provider)
    dispatch.forget_plans()
    try:
        yield seen
    finally:
        dispatch.kernel_providers["cpu"].remove(provider)
        dispatch.forget_plans()


def run(op, tensors, params):
    with flowtorch.no_grad():
        return dispatch.interpret(op, tuple(tensors), dict(params))


def compare(op, dtype, make):
    if (op.name, dtype) in NOT_RENDERED:
        with rendered(make), pytest.raises(NotImplementedError):
            run(op, *next(calls(op, dtype)))
        return
    for tensors, params in calls(op, dtype):
        try:
            expected = run(op, tensors, params)
        except (NotImplementedError, RuntimeError, TypeError, ValueError):
            with rendered(make), pytest.raises((NotImplementedError, RuntimeError, TypeError, ValueError)):
                run(op, tensors, params)
            continue
        with rendered(make) as seen:
            result = run(op, tensors, params)
        assert op.name in seen
        assert result.dtype is expected.dtype and result.shape == expected.shape
        assert_close(result._array, expected._array, f"{op.name} {params}")


def assert_close(result, expected, message):
    if result.dtype.kind in "biu":
        np.testing.assert_array_equal(result, expected, err_msg=message)
        return
    wide = np.complex128 if result.dtype.kind == "c" else np.float64
    rtol = {2: 2**-7, 4: 3e-6, 8: 1e-12}[result.dtype.itemsize if result.dtype.kind != "c" else 4]
    np.testing.assert_allclose(result.astype(wide), expected.astype(wide), rtol=rtol, atol=rtol / 2, err_msg=message)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_numpy_rendering_is_the_op(op, dtype):
    compare(op, dtype, build)


@pytest.mark.skipif(native.compiler() is None, reason="no C compiler")
@pytest.mark.parametrize("dtype", ["bfloat16", "float32", "int64"])
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_the_c_rendering_is_the_op(op, dtype):
    if op.name in NOT_IN_C:
        with pytest.raises(NotImplementedError):
            OpKernel(op, "float32", CKernel)
        return
    compare(op, dtype, CKernel)


# Their formulas branch on values, ask for shapes and dtypes, or call ops that are no scalar functions
NOT_SYMBOLIC = {"pow", "xlogy", "sgn", "angle", "digamma"}


@pytest.mark.parametrize("op", [op for op in OPS if op.differentiable and op.name != "complex"], ids=lambda op: op.name)
def test_derivatives_read_as_expressions_give_the_gradients(op):
    """Each formula, called with symbols, is rendered to numpy and compared with what the tape gives."""
    tensors, params = next(calls(op, "float64"))
    if op.name in ("acosh", "log", "log2", "log10", "log1p", "rsqrt", "sqrt"):
        tensors = [t.abs() + 1.1 for t in tensors]
    elif op.name in ("asin", "acos", "atanh", "_logit", "erfinv"):
        tensors = [t.sigmoid() * 0.9 for t in tensors]
    tensors = [t.detach().requires_grad_(t.is_floating_point()) for t in tensors]
    g = flowtorch.tensor(np.random.default_rng(9).standard_normal((4, 9)))
    out = dispatch.interpret(op, tuple(tensors), dict(params))
    out.backward(g)
    values = {"g": g, "out": out.detach()} | dict(zip(op.tensors, tensors, strict=True))
    bindings = {name: params.get(name, op.defaults.get(name)) for name in op.params}
    for tensor, vjp in zip(tensors, op.vjps, strict=True):
        if vjp is None:
            continue
        try:
            tree = read(vjp[0], op.tensors, bindings, category="f")
        except NotSymbolicError:
            assert op.name in NOT_SYMBOLIC
            return
        names = [name for name in values if name in ("g", *tree.names("input"))]
        types = {name: values[name]._array.dtype.name for name in names}
        gradient = build(lower([tree], types, {}, ["float64"]))(*(values[name]._array for name in names))
        assert_close(gradient, tensor.grad._array, op.name)
    assert op.name not in NOT_SYMBOLIC
