"""Operations of one's own in a few lines: from a scalar expression and a derivative, and a check that holds them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np

from flowtorch.codegen import numpy_renderer
from flowtorch.codegen.op_kernel import OpKernel
from flowtorch.dtypes import get_default_dtype
from flowtorch.ops.families import pointwise
from flowtorch.ops.op import REGISTRY


def expression_op(signature: str, expression: str, *derivatives: Callable | None, promote: str = "float",
                  doc: str = "") -> Callable:  # fmt: skip
    """A pointwise operation: ``expression_op("squareplus(x, *, b=4.0)", "0.5 * (x + sqrt(x * x + b))", derivative)``.

    The tensors are the parameters without default. There is one derivative per tensor, a function of ``g`` and of those
    names that it wants (tensors, parameters, ``out``), written with public functions, so it has derivatives itself.
    From the expression come the numpy kernel and the kernel on a GPU; broadcasting, promotion, gradients, batching
    under ``vmap`` and shapes on device "meta" are those of every pointwise operation.
    """
    found = re.fullmatch(r"\s*([A-Za-z_]\w*)\s*\((.*)\)\s*", signature, re.DOTALL)
    if found is None:
        raise ValueError(f"expected a signature such as 'name(x, *, b=4.0)', got {signature!r}")
    name, parameters = found.groups()
    if name in REGISTRY:
        raise ValueError(f"there is an operation '{name}' already")
    namespace: dict[str, Any] = {"_compute": lambda *values: None}
    exec(f"def {name}({parameters}):\n    return _compute({name!r}, locals())\n", namespace)
    body = namespace[name]
    body.__doc__ = doc or f"``{expression}``, element by element."
    kernels: dict[str, OpKernel] = {}

    def compute(_: str, given: dict[str, Any]) -> Any:
        op = REGISTRY[name]
        arrays = [given[tensor] for tensor in op.tensors]
        kind = np.result_type(*arrays).name
        kernel = kernels.get(kind)
        if kernel is None:
            kernel = kernels[kind] = OpKernel(op, kind, numpy_renderer.build, get_default_dtype().name)
        return kernel(*arrays, **{key: value for key, value in given.items() if key not in op.tensors})

    namespace["_compute"] = compute
    options: dict[str, Any] = {"method": False, "inplace": False, "promote": promote}
    return pointwise(body, expr=expression, vjp=derivatives or None, **options)


def check_op(function: Callable, *inputs: Any, device: str | None = None, rtol: float = 1e-5) -> None:
    """Hold an operation against itself: AssertionError where two ways to compute it differ.

    Its gradients of both orders against differences, ``vmap`` against a loop, strided memory against dense, "meta"
    shapes against real ones, and ``device`` (by default "cuda" where there is one) against the CPU.
    """
    import flowtorch as torch
    from flowtorch.autograd import gradcheck, gradgradcheck
    from flowtorch.testing import assert_close

    expected = function(*inputs)
    doubles = tuple(x.detach().double().requires_grad_() if _floating(x) else x for x in inputs)
    assert gradcheck(function, doubles) and gradgradcheck(function, doubles)
    stacked = tuple(torch.stack([x, x + 0]) if _is_tensor(x) else x for x in inputs)
    dims = tuple(0 if _is_tensor(x) else None for x in inputs)
    assert_close(torch.vmap(function, dims)(*stacked), torch.stack([expected, expected]), rtol=rtol, atol=rtol)
    strided = tuple(torch.stack([x, x], -1)[..., 0] if _is_tensor(x) else x for x in inputs)
    assert_close(function(*strided), expected, rtol=rtol, atol=rtol)
    shape = function(*[x.to("meta") if _is_tensor(x) else x for x in inputs])
    assert (shape.shape, shape.dtype) == (expected.shape, expected.dtype), (shape.shape, expected.shape)
    device = device or ("cuda" if torch.cuda.is_available() else None)
    if device is not None:
        there = function(*[x.to(device) if _is_tensor(x) else x for x in inputs])
        assert there.device.type == device
        assert_close(there.cpu(), expected, rtol=rtol, atol=rtol)


def _is_tensor(x: Any) -> bool:
    from flowtorch.tensor import Tensor

    return isinstance(x, Tensor)


def _floating(x: Any) -> bool:
    return _is_tensor(x) and x.dtype.is_floating_point
