"""Tensors on device "cuda" under Triton's interpreter: every op there gives what it gives on the CPU, gradients too.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_tensors.py
"""

import functools

import numpy as np
import pytest

import flowtorch
from flowtorch.codegen.numpy_renderer import numpy_dtype
from flowtorch.ops import dispatch, families
from flowtorch.ops.op import REGISTRY

OPS = [
    op for op in REGISTRY.values()
    if op.family.name == "pointwise" and op.expr is not None and op.name != "complex"  # two copies, not a rendering
]  # fmt: skip
DTYPES = ["bool", "uint8", "int64", "float16", "bfloat16", "float32", "float64"]
# What the op's own kernel computes and no rendering does
NOT_RENDERED = {("pow", "bool")}
PARAMETERS = {"threshold": {"threshold": 0.1, "value": 2.0}}


@pytest.fixture
def launches(monkeypatch):
    """The names of the kernels that ran."""
    from flowtorch.array import cuda

    cuda.kernels()
    launch = cuda.kernel_module("launch")
    seen, original = [], launch._launcher

    def recording(kernel, grid, arguments):
        seen.append(kernel.function.__name__)
        original(kernel, grid, arguments)

    monkeypatch.setattr(launch, "_launcher", recording)
    return seen


def numbers(*shape, dtype="float32", seed=0, low=None):
    rng = np.random.default_rng(seed)
    kind = numpy_dtype(dtype)
    if dtype == "bool":
        return flowtorch.tensor(rng.random(shape) > 0.5)
    if kind.kind in "iu":
        return flowtorch.tensor(rng.integers(1, 9, shape).astype(kind))
    array = rng.standard_normal(shape) * 1.5
    if low is not None:
        array = np.abs(array) + low
    return flowtorch.tensor(array).to(getattr(flowtorch, dtype))


def on_device(tensors):
    return [None if t is None else t.detach().to("cuda").requires_grad_(t.requires_grad) for t in tensors]


def assert_close(result, expected, message="", scale=1.0):
    assert result.device.type == "cuda" and expected.device.type == "cpu", message
    assert result.dtype is expected.dtype and result.shape == expected.shape, message
    left, right = result._array, expected._array
    if left.dtype.kind in "biu":
        np.testing.assert_array_equal(left, right, err_msg=message)
    else:
        rtol = scale * {2: 2**-7 if result.dtype is flowtorch.bfloat16 else 2**-10, 4: 4e-6, 8: 1e-12}[left.itemsize]
        np.testing.assert_allclose(left.astype(float), right.astype(float), rtol=rtol, atol=rtol, err_msg=message)


# ---------------------------------------------------------------- every pointwise op


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", OPS, ids=lambda op: op.name)
def test_pointwise(op, dtype, launches):
    tensors = [
        numbers(3, 5, dtype="bool" if name == "condition" else dtype, seed=position)
        for position, name in enumerate(op.tensors)
    ]
    if op.name == "binary_entropy":
        tensors = [t.to(flowtorch.float32).abs().sigmoid().to(t.dtype) for t in tensors]
    params = PARAMETERS.get(op.name, {name: 2 for name in op.params if name not in op.defaults})
    run = functools.partial(dispatch.interpret, op)
    refused = (op.name, dtype) in NOT_RENDERED
    try:
        expected = run(tuple(tensors), dict(params))
    except (NotImplementedError, RuntimeError, TypeError, ValueError) as error:
        with pytest.raises((type(error), NotImplementedError)):
            run(tuple(on_device(tensors)), dict(params))
        return
    if refused:
        with pytest.raises(NotImplementedError, match=rf"'{op.name}' on device 'cuda'"):
            run(tuple(on_device(tensors)), dict(params))
        return
    result = run(tuple(on_device(tensors)), dict(params))
    assert len(launches) == 1
    scale = 100 if op.name == "digamma" else 2
    assert_close(result, expected, op.name, scale)


@pytest.mark.parametrize("op", [op for op in OPS if op.differentiable], ids=lambda op: op.name)
def test_pointwise_gradients(op):
    """Derivatives are Python on tensors, so they run on the device that the forward ran on."""
    low = 1.1 if op.name in ("acosh", "pow", "log", "log2", "log10", "rsqrt", "sqrt", "xlogy") else None
    tensors = [
        numbers(3, 1 + 4 * (position == 0), dtype="bool" if name == "condition" else "float64", seed=position, low=low)
        for position, name in enumerate(op.tensors)
    ]
    if op.name in ("asin", "acos", "atanh", "binary_entropy", "_logit"):
        tensors = [t.sigmoid() for t in tensors]
    for t in tensors:
        t.requires_grad_(t.dtype is flowtorch.float64)
    params = PARAMETERS.get(op.name, {name: 2 for name in op.params if name not in op.defaults})
    copies = on_device(tensors)
    expected = dispatch.interpret(op, tuple(tensors), dict(params))
    result = dispatch.interpret(op, tuple(copies), dict(params))
    (expected * expected).sum().backward()
    (result * result).sum().backward()
    for copy, t in zip(copies, tensors, strict=True):
        assert (copy.grad is None) == (t.grad is None)
        if t.grad is not None:
            assert_close(copy.grad, t.grad, op.name, 1000)


# ---------------------------------------------------------------- reductions, softmax, products, copies

FUNCTIONS = {
    "sum": lambda x: x.sum(),
    "sum dim": lambda x: x.sum(1),
    "sum keepdim": lambda x: x.sum((0, 2), keepdim=True),
    "sum dtype": lambda x: x.sum(0, dtype=flowtorch.float64),
    "mean": lambda x: x.mean(-1),
    "prod": lambda x: x.detach().sum((0, 1)).prod(),
    "amax": lambda x: x.amax((0, 1)),
    "amin": lambda x: x.amin(2, keepdim=True),
    "all": lambda x: (x > -1).all(1),
    "any": lambda x: (x > 1).any(),
    "var": lambda x: x.var(1),
    "std": lambda x: x.std((0, 2), correction=0, keepdim=True),
    "logsumexp": lambda x: x.logsumexp(1),
    "softmax": lambda x: x.softmax(-1),
    "softmax first": lambda x: x.softmax(0),
    "log_softmax": lambda x: x.log_softmax(1),
    "matmul": lambda x: x @ x.transpose(1, 2),
    "matmul vector": lambda x: x @ x[0, 0],
    "vector matmul": lambda x: x[0, 0] @ x.transpose(1, 2),
    "dot": lambda x: x[0, 0] @ x[1, 1],
    "linear": lambda x: flowtorch.nn.functional.linear(x, x[0], x[1, :, 0]),
    "clone": lambda x: x.transpose(0, 1).clone(),
    "contiguous": lambda x: x.transpose(0, 1).contiguous(),
    "where": lambda x: flowtorch.where(x > 0, x, 2 * x),
    "scalars": lambda x: 1 - x / 2 + 3 * x,
    "views": lambda x: x[1:, ::2].permute(2, 0, 1).unsqueeze(1).expand(-1, 3, -1, -1) * 2,
    "broadcast": lambda x: x * x[:1] + x[:, :, :1],
    "mixed dtypes": lambda x: x * (x > 0) + x.to(flowtorch.float64),
}


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16", "float16"])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_forward_and_backward(name, dtype, launches):
    function = FUNCTIONS[name]
    x = numbers(4, 5, 6, dtype=dtype).requires_grad_()
    (copy,) = on_device([x])
    expected = function(x)
    result = function(copy)
    assert launches
    assert_close(result, expected, scale=4)
    if expected.requires_grad:
        weight = numbers(*expected.shape, dtype=str(expected.dtype).partition(".")[2], seed=1)
        expected.backward(weight)
        result.backward(weight.to("cuda"))
        # gradients that several terms add up to are rounded between them
        assert_close(copy.grad, x.grad, scale=16)


@pytest.mark.parametrize("name", ["softmax", "log_softmax", "matmul", "mean", "var", "logsumexp", "broadcast"])
def test_second_derivatives(name):
    grads = []
    for device in ("cpu", "cuda"):
        x = numbers(4, 5, 6, dtype="float64").to(device).requires_grad_()
        (first,) = flowtorch.autograd.grad((FUNCTIONS[name](x) ** 2).sum(), x, create_graph=True)
        (first**2).sum().backward()
        grads.append(x.grad)
    assert_close(grads[1], grads[0], scale=1000)


def test_a_network_trains_on_the_device():
    losses = {}
    for device in ("cpu", "cuda"):
        x, target = numbers(16, 6, seed=1).to(device), numbers(16, 3, seed=2).to(device)
        shapes = ((8, 6), (8,), (3, 8), (3,))
        weights = [(numbers(*shape, seed=3 + k) * 0.5).to(device) for k, shape in enumerate(shapes)]
        losses[device] = []
        for _ in range(5):
            weights = [w.detach().requires_grad_() for w in weights]
            hidden = flowtorch.nn.functional.linear(x, weights[0], weights[1]).tanh()
            output = flowtorch.nn.functional.linear(hidden, weights[2], weights[3]).log_softmax(-1)
            loss = -(output * target.softmax(-1)).sum(-1).mean()
            loss.backward()
            losses[device].append(loss.item())
            weights = [w - 0.5 * w.grad for w in weights]
    np.testing.assert_allclose(losses["cuda"], losses["cpu"], rtol=1e-5)
    assert losses["cuda"][-1] < losses["cuda"][0]


# ---------------------------------------------------------------- errors


def test_an_op_without_a_kernel_says_so_by_name():
    x = numbers(4, 4).to("cuda")

    @families.op(name="_reversed_rows", tensors=("input",), method=False)
    def reversed_rows(input):
        return input[::-1].copy()

    try:
        with pytest.raises(NotImplementedError, match="'_reversed_rows' on device 'cuda'"):
            REGISTRY["_reversed_rows"].public(x)
    finally:
        del REGISTRY["_reversed_rows"]


def test_in_place_and_out():
    results = []
    for device in ("cpu", "cuda"):
        x = numbers(4, 4).to(device)
        y = x.clone()
        y.add_(x).mul_(2).clamp_(min=0).exp_()
        y[1:, ::2] *= 3
        z = flowtorch.empty(4, 4, device=device)
        flowtorch.sub(y, x, out=z)
        assert z.device.type == device
        results.append((y, z))
    for expected, result in zip(*results, strict=True):
        assert_close(result, expected)


def test_devices_do_not_mix():
    x = numbers(4, 4)
    with pytest.raises(RuntimeError, match="same device"):
        x.to("cuda") + x
    assert (x.to("cuda") + x.sum()).device.type == "cuda"  # a 0-d CPU tensor counts as a number


@pytest.mark.parametrize("decimals", [-1, 1, 3])
def test_rounding_to_decimals(decimals):
    x = numbers(4, 4) * 100
    assert_close(x.to("cuda").round(decimals=decimals), x.round(decimals=decimals))


def test_moving_between_devices_keeps_values_and_gradients():
    x = numbers(3, 4).requires_grad_()
    y = x.to("cuda")
    assert y.device == flowtorch.device("cuda", 0) and y.to("cpu").device.type == "cpu"
    (y * 2).to("cpu").sum().backward()
    np.testing.assert_array_equal(x.grad._array, np.full((3, 4), 2, np.float32))


def test_packed_sequences_keep_their_lengths_on_the_host():
    utils = flowtorch.nn.utils.rnn
    flowtorch.set_default_device("cuda")
    try:
        packed = utils.pack_padded_sequence(flowtorch.arange(6.0).reshape(3, 2), [3, 1])
        padded, lengths = utils.pad_packed_sequence(packed)
    finally:
        flowtorch.set_default_device(None)
    assert packed.data.device.type == padded.device.type == "cuda"
    assert packed.batch_sizes.device.type == lengths.device.type == "cpu"
    assert padded.tolist() == [[0, 1], [2, 0], [4, 0]] and lengths.tolist() == [3, 1]
