"""Matrices of which two in four elements are zero: PyTorch multiplies them on GPUs alone, flowtorch nowhere."""

from __future__ import annotations

from typing import Any, NoReturn

from flowtorch.tensor import Tensor


def to_sparse_semi_structured(original_tensor: Tensor, transposed: bool = False, alg_id: int = 0) -> NoReturn:
    """Compress a matrix of which two in four elements are zero: RuntimeError."""
    raise RuntimeError(
        f"Error original_tensor.device= {original_tensor.device} is not supported! Only CUDA tensors are currently "
        "supported by PyTorch, and none by flowtorch: multiply the matrix as it is, or as to_sparse_csr()"
    )


class SparseSemiStructuredTensor:
    """A compressed matrix: there are none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise RuntimeError(f"torch.sparse.{type(self).__name__}: flowtorch has no semi-structured sparse tensors; use "
                           "to_sparse_csr()")  # fmt: skip


class SparseSemiStructuredTensorCUTLASS(SparseSemiStructuredTensor):
    """A matrix compressed for CUTLASS: there are none."""


class SparseSemiStructuredTensorCUSPARSELT(SparseSemiStructuredTensor):
    """A matrix compressed for cuSPARSELt: there are none."""
