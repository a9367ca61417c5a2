"""Triton kernels written by users, launched on flowtorch tensors, and a view of the kernels that a call runs."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from flowtorch.tensor import Tensor


class LaunchableKernel:
    """A ``@triton.jit`` function, autotuned or not, that is launched as ``kernel[grid](*arguments)`` with tensors.

    Triton does what it does elsewhere: types and specialises arguments, tunes, and keeps what it has compiled. Here
    arguments are looked at before, for under the interpreter nothing else would.
    """

    def __init__(self, kernel: Any) -> None:
        function = kernel
        while not hasattr(function, "arg_names") or hasattr(function, "configs") or hasattr(function, "values"):
            if not hasattr(function, "fn"):
                raise TypeError(f"expected a function decorated by triton.jit, not {type(kernel).__name__}")
            function = function.fn
        self.kernel, self.function = kernel, function

    def __getitem__(self, grid: Any) -> Callable:
        return lambda *args, **kwargs: self.launch(grid, args, kwargs)

    def launch(self, grid: Any, args: tuple, kwargs: dict[str, Any]) -> None:
        """Run the kernel over ``grid``, a tuple or a function of the meta-parameters."""
        from flowtorch.array.cuda import kernels

        kernels()  # Triton launches through flowtorch from here on
        parameters = inspect.signature(self.function.fn).parameters
        given = dict(zip(parameters, args, strict=False)) | kwargs
        for name in given:
            if isinstance(given[name], Tensor) and given[name]._type.device.type != "cuda":
                raise ValueError(f"Pointer argument '{name}' cannot be accessed from Triton (cpu tensor?)")
        chosen = self.chosen_by_triton()
        missing = [n for n, p in parameters.items() if n not in given and n not in chosen and p.default is p.empty]
        if missing:
            raise TypeError(f"{self.function.fn.__name__}() missing arguments: {', '.join(missing)}")
        for watcher in watchers:
            watcher(self.function)
        self.kernel[grid](*args, **kwargs)

    def chosen_by_triton(self) -> set[str]:
        """The parameters that ``triton.autotune`` and ``triton.heuristics`` supply."""
        found: set[str] = set()
        kernel = self.kernel
        while kernel is not self.function:
            found |= {name for config in getattr(kernel, "configs", ()) for name in config.kwargs}
            found |= set(getattr(kernel, "values", ()))
            kernel = kernel.fn
        return found


watchers: list[Callable] = []
"""Told of each function that is launched."""


def launched(function: Callable, *args: Any, **kwargs: Any) -> list:
    """The kernels that ``function(*args, **kwargs)`` launches, in order, each once; users' own as their functions."""
    from flowtorch.array import cuda

    cuda.kernels()
    module = cuda.kernel_module("launch")
    original = module._launcher
    seen: list = []

    def watching(kernel: Any) -> None:
        if kernel not in seen:
            seen.append(kernel)

    def recording(kernel: Any, grid: tuple, arguments: tuple) -> None:
        watching(kernel)
        original(kernel, grid, arguments)

    module.install(recording)
    watchers.append(watching)
    try:
        function(*args, **kwargs)
    finally:
        module.install(original)
        watchers.remove(watching)
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
        parts += map(_text, launched(function, *args, **kwargs))
    return "\n".join(part for part in parts if part)


def rendered(function: Any, dtype: str = "float32") -> dict[str, str]:
    """The kernels made from the expression of a pointwise op, for operands of ``dtype``: its numpy, C and Triton code.

    ValueError for an op that has no expression. The C code is what would be compiled; the Triton code stands for one
    element, inside a kernel that knows the layout.

    >>> from flowtorch.user_kernels import rendered
    >>> print(rendered(torch.square)["Triton"])
    t0 = x0 * x0
    y0 = t0
    """
    from flowtorch.codegen import c_renderer, numpy_renderer, triton_renderer
    from flowtorch.native.render import program

    op = getattr(function, "op", None)
    if op is None or op.expr is None:
        raise ValueError(f"{getattr(function, '__name__', function)} is not a pointwise op with an expression")
    steps = program(op, dtype)
    lines, results = triton_renderer.render(steps)
    stores = [f"y{k} = {name}" for k, name in enumerate(results)]
    triton = "\n".join([*lines, *stores])
    return {"numpy": numpy_renderer.render(steps), "C": c_renderer.render(steps), "Triton": triton}


def _text(kernel: Any) -> str:
    if hasattr(kernel, "source"):
        return f"# Triton: {kernel.signature} {kernel.constants}\n{kernel.source}"
    return _source(f"Triton: {kernel.fn.__name__}", kernel.fn)


def _source(title: str, function: Any) -> str:
    try:
        return f"# {title}\n{inspect.getsource(inspect.unwrap(function))}"
    except (OSError, TypeError):
        return ""
