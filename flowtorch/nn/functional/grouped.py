"""Products of groups of matrices of different sizes."""

from __future__ import annotations

import flowtorch as torch

from ...ops.op import composite

__all__ = ["grouped_mm"]


@composite(namespace="nn.functional")
def grouped_mm(mat_a, mat_b, *, offs=None, bias=None, out_dtype=None):
    """One product per group; ``offs`` (int32) says where the groups end along the dimension that is shared out.

    (M, K) and (G, K, N): the rows of the first are shared out. (G, M, K) and (K, N): the columns of the second. (M, K)
    and (K, N): the inner dimension, result (G, M, N). Two batches (G, M, K) and (G, K, N) need no ``offs``.
    """
    _check(mat_a, mat_b, offs, bias, out_dtype)
    if offs is None:
        return torch.bmm(mat_a, mat_b)
    ends = offs.tolist()
    groups = [slice(start, end) for start, end in zip([0, *ends[:-1]], ends, strict=True)]
    if mat_a.dim() == 2 and mat_b.dim() == 2:
        return torch.stack([mat_a[:, g] @ mat_b[g] for g in groups])
    if mat_a.dim() == 2:
        parts = [mat_a[g] @ b for g, b in zip(groups, mat_b, strict=True)]
        total, dim = mat_a.size(0), 0
        rest = mat_a.new_zeros((total - ends[-1], mat_b.size(2)))
    else:
        parts = [a @ mat_b[:, g] for g, a in zip(groups, mat_a, strict=True)]
        total, dim = mat_b.size(1), 1
        rest = mat_a.new_zeros((mat_a.size(1), total - ends[-1]))
    return torch.cat([*parts, rest] if ends[-1] < total else parts, dim)


def _check_strides(matrix) -> None:
    """PyTorch takes rows or columns without gaps, which begin at multiples of 16 bytes."""
    (rows, columns), (down, right) = matrix.shape[-2:], matrix.stride()[-2:]
    if right == 1 and down >= max(1, columns):
        step = down
    elif down == 1 and right >= max(1, rows):
        step = right
    else:
        raise RuntimeError(
            f"Invalid strides/sizes, got {list(matrix.stride())} for strides and {list(matrix.shape)} for sizes: "
            "grouped_mm() takes matrices whose rows or columns have no gaps; call .contiguous()"
        )
    if step * matrix.dtype.itemsize % 16:
        raise RuntimeError("strides should be multiple of 16 bytes")


def _check(mat_a, mat_b, offs, bias, out_dtype) -> None:
    for name, matrix in (("mat_a", mat_a), ("mat_b", mat_b)):
        if matrix.dtype not in (torch.float32, torch.bfloat16, torch.float16):
            raise RuntimeError(
                f"Expected {name} to be Float32, BFloat16 or Float16 matrix, got {matrix.dtype.label}"
            )
        if matrix.dim() not in (2, 3):
            raise RuntimeError(f"{name} has to be 2 or 3d")
    if mat_a.size(-1) != mat_b.size(-2):
        raise RuntimeError("contraction dimension of mat_a and mat_b must match")
    if mat_a.dim() == 3 and mat_b.dim() == 3 and mat_a.size(0) != mat_b.size(0):
        raise RuntimeError("batched dimension has to match")
    _check_strides(mat_a)
    _check_strides(mat_b)
    if (offs is None) != (mat_a.dim() == 3 and mat_b.dim() == 3):
        raise RuntimeError(
            "Have to provide offsets if there is a 2d matrix, or no offset if both matrices are 3d"
        )
    if offs is not None and offs.dtype != torch.int32:
        raise RuntimeError("Offsets have to be int32")
    batched = mat_a if mat_a.dim() == 3 else mat_b
    if offs is not None and batched.dim() == 3 and offs.size(0) != batched.size(0):
        raise RuntimeError("matrix batch sizes have to match")
    if bias is not None:
        raise RuntimeError("Bias not supported yet")
    if out_dtype is not None and out_dtype != mat_a.dtype:
        raise RuntimeError("Grouped gemm output dtype must match `mat_a` dtype")
