"""Optimisers and functions of lists of tensors on the device: few launches, and the results of the CPU.

Run: FLOWTORCH_CUDA=interpret TRITON_INTERPRET=1 python -m pytest tests/gpu_kernels/test_interpret_multi_tensor.py
"""

import math

import numpy as np
import pytest

import flowtorch as ft
from flowtorch.user_kernels import launched

SHAPES = ((3, 4), (5,), (2, 3, 4), (), (0, 2), (70_000,))
OPTIMIZERS = {
    "Adam": {}, "Adam amsgrad": {"amsgrad": True, "weight_decay": 0.1}, "Adam fused": {"fused": True},
    "AdamW capturable": {"capturable": True}, "SGD": {"lr": 0.1}, "RMSprop": {"centered": True, "momentum": 0.5},
    "SGD momentum": {"lr": 0.1, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}, "Adagrad": {},
    "Adagrad fused": {"fused": True}, "Adadelta": {}, "Adamax": {}, "NAdam": {}, "RAdam": {}, "Rprop": {},
    "RAdam capturable": {"capturable": True},
}  # fmt: skip


def stepped(name, options, device, dtype, steps, held=None):
    """Parameters after some steps from the same values, rounded to `dtype` and held in that or another dtype."""
    rng = np.random.default_rng(0)
    values = [ft.tensor(rng.standard_normal(shape)).to(dtype).to(held or dtype) for shape in SHAPES]
    params = [value.to(device, copy=True).requires_grad_() for value in values]
    optimizer = getattr(ft.optim, name.split()[0])(params, **options)
    launches = []
    for k in range(steps):
        for i, (p, value) in enumerate(zip(params, values, strict=True)):
            p.grad = (value * 0.5 + (-1) ** k * 0.125 * (i + 1)).to(dtype).to(p.device, p.dtype)
        launches = launched(optimizer.step) if device == "cuda" else optimizer.step()
    return params, launches


@pytest.mark.parametrize("dtype", [ft.float32, ft.float64, ft.bfloat16], ids=str)
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_step_is_one_launch_and_gives_what_the_cpu_gives(name, dtype):
    host = {key: value for key, value in OPTIMIZERS[name].items() if key != "capturable"}
    # half precision is computed in float32 and rounded once in a step
    low = dtype is ft.bfloat16
    expected, _ = stepped(name, host, "cpu", dtype, 1 if low else 3, held=ft.float32 if low else None)
    found, launches = stepped(name, OPTIMIZERS[name], "cuda", dtype, 1 if low else 3)
    counting = "fused" in name or "capturable" in name  # the counts of steps are on the device, too
    assert len(launches) == 1 + counting, [kernel.function.__name__ for kernel in launches]
    tolerance = {ft.float32: 2e-6, ft.float64: 1e-12, ft.bfloat16: 2**-8}[dtype]
    for left, right in zip(found, expected, strict=True):
        assert left.device.type == "cuda" and left.dtype is dtype
        np.testing.assert_allclose(left.detach().cpu().double(), right.detach().double(), tolerance, tolerance)


def test_rows_that_lie_in_another_order_and_views_are_stepped_too():
    results = []
    for device in ("cpu", "cuda"):
        base = ft.arange(24.0, device=device).reshape(4, 6)
        rows = [base[:, ::2], ft.ones(2, 3, 4, 5, device=device).to(memory_format=ft.channels_last)]
        for row in rows:
            row.grad = ft.ones_like(row)
        ft.optim.SGD([row.requires_grad_() for row in rows], lr=0.5).step()
        results.append([base.cpu().tolist(), rows[1].cpu().tolist()])
    assert results[0] == results[1]


def test_a_learning_rate_on_the_device_is_read_there():
    rate = ft.tensor(0.5, device="cuda")
    x = ft.ones(3, device="cuda", requires_grad=True)
    optimizer = ft.optim.Adam([x], lr=rate, capturable=True)
    for value in (0.5, 0.25):
        rate.fill_(value)
        x.grad = ft.ones_like(x)
        optimizer.step()
    # counts on the device make 1 - beta ** step a difference of float32 numbers, in PyTorch as well
    np.testing.assert_allclose(x.detach().cpu(), 0.25, rtol=1e-4)


UNARY = ("abs", "exp", "neg", "sqrt", "reciprocal", "sigmoid", "tanh", "round", "lgamma")


def lists(device, dtype=ft.float32, count=3):
    rng = np.random.default_rng(3)
    return [[ft.tensor(rng.random(shape) + 0.5).to(dtype).to(device) for shape in SHAPES] for _ in range(count)]


CALLS = {name: lambda a, b, c, name=name: getattr(ft, f"_foreach_{name}")(a) for name in UNARY}
CALLS |= {
    "add": lambda a, b, c: ft._foreach_add(a, b, alpha=2),
    "add number": lambda a, b, c: ft._foreach_add(a, 1.5),
    "sub": lambda a, b, c: ft._foreach_sub(a, b),
    "mul": lambda a, b, c: ft._foreach_mul(a, b),
    "mul list": lambda a, b, c: ft._foreach_mul(a, [1.0, 2.0, 2.0, 3.0, 1.0, 1.0]),
    "mul tensor": lambda a, b, c: ft._foreach_mul(a, a[0].new_tensor(2.0)),
    "div": lambda a, b, c: ft._foreach_div(a, b),
    "pow": lambda a, b, c: ft._foreach_pow(a, 2),
    "clamp_max": lambda a, b, c: ft._foreach_clamp_max(a, 0.75),
    "maximum": lambda a, b, c: ft._foreach_maximum(a, b),
    "minimum number": lambda a, b, c: ft._foreach_minimum(a, 0.75),
    "addcmul": lambda a, b, c: ft._foreach_addcmul(a, b, c, value=0.5),
    "addcdiv_": lambda a, b, c: ft._foreach_addcdiv_(a, b, c, value=-0.5),
    "lerp": lambda a, b, c: ft._foreach_lerp(a, b, 0.3),
    "lerp tensors": lambda a, b, c: ft._foreach_lerp(a, b, c),
    "sqrt_": lambda a, b, c: ft._foreach_sqrt_(a),
    "mul_": lambda a, b, c: ft._foreach_mul_(a, 3.0),
    "norm": lambda a, b, c: ft._foreach_norm(a),
    "norm 1": lambda a, b, c: ft._foreach_norm(a, 1),
}
LAUNCHES = {"mul list": 3, "norm": 2, "norm 1": 2}


@pytest.mark.parametrize("dtype", [ft.float32, ft.bfloat16], ids=str)
@pytest.mark.parametrize("name", CALLS)
def test_functions_of_lists(name, dtype):
    expected = CALLS[name](*lists("cpu", dtype))
    given, found = lists("cuda", dtype), []
    versions = [t._version for t in given[0]]
    kernels = launched(lambda: found.extend(CALLS[name](*given)))
    kernels = [kernel for kernel in kernels if not kernel.function.__name__.startswith("fill")]
    assert len(kernels) <= LAUNCHES.get(name, 1)
    if name.endswith("_"):
        assert all(t is g and t._version > v for t, g, v in zip(found, given[0], versions, strict=True))
    tolerance = 4e-6 if dtype is ft.float32 else 1e-2
    for left, right in zip(found, expected, strict=True):
        assert left.device.type == "cuda" and left.dtype is right.dtype and left.shape == right.shape
        np.testing.assert_allclose(left.cpu().double(), right.double(), tolerance, tolerance)


def test_lists_that_record_gradients_or_mix_dtypes_go_tensor_by_tensor():
    a = [ft.ones(3, device="cuda", requires_grad=True), ft.ones(2, device="cuda")]
    sum(t.sum() for t in ft._foreach_mul(a, 3.0)).backward()
    assert a[0].grad.tolist() == [3.0] * 3
    mixed = ft._foreach_add([ft.ones(2, device="cuda")], [ft.ones(2, dtype=ft.float64, device="cuda")])
    assert mixed[0].dtype is ft.float64


def test_infinite_norms_keep_nan_and_clipping_takes_few_launches():
    x = [ft.tensor([1.0, -7.0], device="cuda"), ft.tensor([math.nan, 1.0], device="cuda")]
    assert ft._foreach_norm(x, math.inf)[0].item() == 7 and math.isnan(ft._foreach_norm(x, math.inf)[1].item())
    params = [ft.ones(n, device="cuda", requires_grad=True) for n in (3, 4, 5, 6)]
    for p in params:
        p.grad = ft.full_like(p, 2.0)
    kernels = launched(ft.nn.utils.clip_grad_norm_, params, 1.0)
    assert len([k for k in kernels if "multi" in k.function.__name__ or "norms" in k.function.__name__]) == 3
    assert abs(sum(p.grad.square().sum().item() for p in params) - 1) < 1e-4


def test_while_a_stream_is_captured_host_arrays_travel_as_arguments_of_kernels(monkeypatch):
    from flowtorch.array import cuda

    monkeypatch.setattr(cuda.capture, "active", True)
    for array in (np.arange(200, dtype=np.int32), np.array(2.5), np.ones((3, 5), bool), np.zeros((0, 2))):
        copied: list = []
        kernels = launched(lambda array=array, copied=copied: copied.append(cuda.to_device(array)))
        assert copied[0].dtype == array.dtype and copied[0].shape == array.shape
        np.testing.assert_array_equal(copied[0], array)
        assert not array.size or kernels[0].function.__name__.startswith("words")
