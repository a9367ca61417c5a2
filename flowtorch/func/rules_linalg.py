"""Batching rules of linear algebra and Fourier transforms, which take leading dimensions as batches themselves."""

from __future__ import annotations

from typing import Any

from flowtorch.func.batched import Call, rule
from flowtorch.func.rules_pointwise import align, shifted


@rule(
    "_inv",
    "_det",
    "_slogdet",
    "_cholesky",
    "_cholesky_inverse",
    "_lu_factor",
    "_permutation",
    "_qr",
    "_eigh",
    "_eig",
    "_svd",
    "_geqrf",
    "_matrix_exp",
    "_ldl_factor",
    "frexp",
    "_solve_triangular",
    "_cholesky_solve",
    "_ldl_solve",
    "_gamma_grad",
    "_dirichlet_gradient",
)
def leading(call: Call) -> Any:
    """The op on all examples at once, their leading dimensions aligned."""
    values = list(call.values)
    rank = max(call.rank(i) for i in call.op.tensor_index)
    for i in call.op.tensor_index:
        values[i] = align(values[i], rank) if call.flags[i] else values[i]
    return call.run(values)


@rule("_fft_c2c", "_fft_r2c", "_fft_c2r")
def transform(call: Call) -> Any:
    values = list(call.values)
    values[1] = shifted(tuple(values[1]), call.rank(0))
    return call.run(values)
