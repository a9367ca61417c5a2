"""Triton kernels written by users, launched on flowtorch tensors, and a view of the kernels that a call runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flowtorch.tensor import Tensor


class LaunchableKernel:
    """A ``@triton.jit`` function that is launched as ``kernel[grid](*arguments)`` with tensors for its pointers.

    Integers are passed as 32 bits where they fit, floats as float32 (a 0-d float64 array as float64). Of an autotuned
    kernel the first configuration is taken; its own meta-parameters can be given by keyword.
    """

    def __init__(self, kernel: Any) -> None:
        self.options: dict[str, Any] = {}
        while not hasattr(kernel, "arg_names") or hasattr(kernel, "configs") or hasattr(kernel, "values"):
            if hasattr(kernel, "configs") and kernel.configs:
                config = kernel.configs[0]
                self.options |= {**config.kwargs, "num_warps": config.num_warps, "num_stages": config.num_stages}
            if not hasattr(kernel, "fn"):
                raise TypeError(f"expected a function decorated by triton.jit, not {type(kernel).__name__}")
            kernel = kernel.fn
        self.kernel = kernel

    def __getitem__(self, grid: Any) -> Callable:
        return lambda *args, **kwargs: self.launch(grid, args, kwargs)

    def launch(self, grid: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """Run the kernel over ``grid``, a tuple or a function of the meta-parameters."""
        from flowtorch.array.cuda import kernels
        from flowtorch.codegen.triton_map import run

        kernels()
        given = {**self.options, **kwargs}
        warps, stages = given.pop("num_warps", 4), given.pop("num_stages", 3)
        values = dict(zip(self.kernel.arg_names, args, strict=False)) | given
        parameters = inspect.signature(self.kernel.fn).parameters.values()
        fixed = {p.name for p in parameters if "constexpr" in str(p.annotation)}
        for p in parameters:
            if p.name not in values and p.default is not inspect.Parameter.empty:
                values[p.name] = p.default
        missing = [name for name in self.kernel.arg_names if name not in values]
        if missing:
            raise TypeError(f"{self.kernel.fn.__name__}() missing arguments: {', '.join(missing)}")
        constants = {name: values[name] for name in self.kernel.arg_names if name in fixed}
        shape = grid(values) if callable(grid) else grid
        arguments = [_argument(name, values[name]) for name in self.kernel.arg_names if name not in fixed]
        run(self.kernel, tuple(map(int, shape)), *arguments, warps=warps, stages=stages, **constants)


def _argument(name: str, value: Any) -> Any:
    if not isinstance(value, Tensor):
        return int(value) if isinstance(value, bool) else value
    if value._type.device.type != "cuda":
        raise ValueError(f"Pointer argument '{name}' cannot be accessed from Triton (cpu tensor?)")
    return value._array


def launched(function: Callable, *args: Any, **kwargs: Any) -> list:
    """The kernels that ``function(*args, **kwargs)`` launches, in order, each once; their ``.source`` is readable."""
    from flowtorch.array import cuda

    cuda.kernels()
    module = cuda.kernel_module("launch")
    original, seen = module._launcher, []

    def recording(kernel: Any, grid: tuple, arguments: tuple) -> None:
        if kernel not in seen:
            seen.append(kernel)
        original(kernel, grid, arguments)

    module.install(recording)
    try:
        function(*args, **kwargs)
    finally:
        module.install(original)
    return seen


def sources(function: Any, *args: Any, **kwargs: Any) -> str:
    """The code behind a function as text: on numpy, its derivative, and the Triton kernels it launches for ``args``.

    The kernels are shown where the arguments hold a tensor on device "cuda".
    """
    from flowtorch.ops.op import COMPOSITES, REGISTRY

    record = getattr(function, "op", None) or REGISTRY.get(getattr(function, "__name__", ""))
    parts = []
    if record is None:
        composite = COMPOSITES.get(getattr(function, "__name__", ""))
        parts.append(_source("made of other functions", composite.function if composite else function))
    else:
        if record.expr is not None:
            parts.append(f"# {record.name}: the scalar expression\n{record.expr}\n")
        parts.append(_source(f"{record.name}: numpy", record.body))
        derivatives = [record.joint[0]] if record.joint else [v[0] for v in record.vjps if v]
        parts += dict.fromkeys(_source(f"{record.name}: derivative", f) for f in derivatives)
    if any(isinstance(a, Tensor) and a.device.type == "cuda" for a in args):
        for kernel in launched(function, *args, **kwargs):
            parts.append(f"# Triton: {kernel.signature} {kernel.constants}\n{kernel.source}")
    return "\n".join(part for part in parts if part)


def _source(title: str, function: Any) -> str:
    try:
        return f"# {title}\n{inspect.getsource(inspect.unwrap(function))}"
    except (OSError, TypeError):
        return ""
