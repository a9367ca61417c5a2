"""The ops' kernels on device "cuda", found by the op record's name or rendered from its scalar expression.

Imported when a kernel is first asked for. Device kernels take low-precision arrays as they are: what the kernel loads
is widened there, and rounded when it is stored. A kernel names its op; no op's definition knows of it.
"""

from __future__ import annotations

import functools
import importlib
from collections.abc import Callable

from flowtorch import dtypes
from flowtorch.array.tensortype import TensorType
from flowtorch.codegen.op_kernel import OpKernel
from flowtorch.codegen.triton_kernel import kernel_of
from flowtorch.ops.cuda.base import COMPLEX, KERNELS
from flowtorch.ops.op import Op

_FAMILIES = (
    "reductions", "products", "copies", "scans", "indexing", "randoms", "norms", "losses", "attentions", "convolutions",
    "pools", "composed", "searches", "library", "specials", "segments", "systems",
)  # fmt: skip


@functools.cache
def load() -> dict[str, Callable]:
    """All kernels that are not rendered from expressions, by the name of their op."""
    for name in _FAMILIES:
        importlib.import_module(f"{__name__}.{name}")
    return KERNELS


def kernels(op: Op, type: TensorType) -> tuple[Callable, Callable] | None:
    """(kernel of the tensors alone, kernel with parameters) of ``op`` for operands of ``type``, or None."""
    kernel = load().get(op.name)
    if kernel is None and type.dtype.is_complex:
        kernel = COMPLEX.get(op.name)
    if kernel is None and op.expr is not None:
        try:
            name = op.name.strip("_")
            default = dtypes.get_default_dtype().name
            kernel = OpKernel(op, type.dtype.name, lambda program: kernel_of(program, name), default)
        except NotImplementedError:  # no rendering: the caller names the op and what to do
            return None
    return None if kernel is None else (kernel, kernel)
