"""What the matrix products refuse, in PyTorch's words: one check per op, called with the op's arguments."""
from __future__ import annotations

from typing import Any

from flowtorch.errors import c_name


def _by(shape: Any) -> str:
    return "x".join(map(str, shape))


def _label(t: Any) -> str:
    return t.dtype.label


def _no_bool(kernel: str, *factors: Any) -> None:
    """Refuse bools as PyTorch does: where there is something to multiply."""
    if factors[0].dtype.name == "bool" and all(t.numel() for t in factors):
        raise NotImplementedError(f'"{kernel}" not implemented for \'Bool\'')


def check_mm(a: Any, b: Any, rows: int | None = None) -> None:
    """Two matrices; ``rows`` stands in for the row count where batches were folded or a vector became a row."""
    if a.dtype is not b.dtype:
        raise RuntimeError("expected m1 and m2 to have the same dtype, but got: "
                           f"{c_name(a.dtype)} != {c_name(b.dtype)}")
    left = (a.shape[-2] if rows is None else rows, a.shape[-1])
    if left[1] != b.shape[0]:
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({_by(left)} and {_by(b.shape)})")
    _no_bool("addmm_impl_cpu_", a, b)


def check_mv(a: Any, b: Any, rows: int | None = None) -> None:
    """A matrix and a vector."""
    if a.dtype is not b.dtype:
        raise RuntimeError("addmv input tensors must have the same dtype, but got "
                           f"{_label(b)}, {_label(a)}, and {_label(b)}")
    n = a.shape[-2] if rows is None else rows
    if a.shape[-1] != b.shape[0]:
        raise RuntimeError(f"size mismatch, got input ({n}), mat ({n}x{a.shape[-1]}), vec ({b.shape[0]})")
    _no_bool("addmv_impl_cpu", a, b)


def check_dot(a: Any, b: Any) -> None:
    """Two vectors."""
    if a.dim() != 1 or b.dim() != 1:
        raise RuntimeError(f"1D tensors expected, but got {a.dim()}D and {b.dim()}D tensors")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"dot : expected both vectors to have same dtype, but found {_label(a)} and {_label(b)}")
    if a.shape != b.shape:
        raise RuntimeError(f"inconsistent tensor size, expected tensor [{a.shape[0]}] and src [{b.shape[0]}] to have "
                           "the same "
                           f"number of elements, but got {a.shape[0]} and {b.shape[0]} elements respectively")
    if a.dtype.name == "bool":
        raise NotImplementedError("\"dot\" not implemented for 'Bool'")


def check_bmm(a: Any, b: Any, batch: tuple = (), left: tuple = ()) -> None:
    """Two batches of matrices; ``batch`` and ``left`` give the broadcast batch and the left matrix's shape."""
    if a.shape[-1] != b.shape[-2]:
        n = 1
        for s in batch or a.shape[:-2]:
            n *= s
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{n}, {a.shape[-1]}] but "
                           "got: "
                           f"[{n if batch else b.shape[0]}, {b.shape[-2]}].")
    if a.dtype is not b.dtype:
        raise RuntimeError(f"expected scalar type {_label(a)} but found {_label(b)}")
    _no_bool("bmm", a, b)


def check_matmul(a: Any, b: Any) -> None:
    """matmul of any ranks, reported as the op of fixed rank that PyTorch would run."""
    if a.dim() == 0 or b.dim() == 0:
        raise RuntimeError(f"both arguments to matmul need to be at least 1D, but they are {a.dim()}D and {b.dim()}D")
    if a.dim() == 1 and b.dim() == 1:
        check_dot(a, b)
    elif b.dim() == 1:
        check_mv(a, b, _count(a.shape[:-1]))
    elif b.dim() == 2:
        check_mm(a, b, _count(a.shape[:-1]))
    else:
        batch = _broadcast(a.shape[:-2], b.shape[:-2])
        check_bmm(a, b, batch)


def _count(shape: Any) -> int:
    n = 1
    for s in shape:
        n *= s
    return n


def _broadcast(a: Any, b: Any) -> tuple:
    from flowtorch.errors import broadcast_error

    text = broadcast_error([tuple(a), tuple(b)])
    if text is not None:
        raise RuntimeError(text)
    n = max(len(a), len(b))
    a, b = (1,) * (n - len(a)) + tuple(a), (1,) * (n - len(b)) + tuple(b)
    return tuple(y if x == 1 else x for x, y in zip(a, b, strict=True))


def _linear(input: Any, weight: Any, bias: Any = None) -> None:
    if input.dim() == 0 or weight.dim() == 0:
        raise RuntimeError(f"both arguments to linear need to be at least 1D, but they are {input.dim()}D and "
                           f"{weight.dim()}D")
    if weight.dim() > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {weight.dim()}D")
    if bias is not None and bias.dtype is not weight.dtype and weight.dim() == 2:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_label(bias)} and {_label(weight)}")
    if input.dtype is not weight.dtype:
        if bias is not None:
            _alike_mats(input, weight)
        raise RuntimeError(f"expected m1 and m2 to have the same dtype, but got: {c_name(input.dtype)} != "
                           f"{c_name(weight.dtype)}")
    if input.shape[-1] != weight.shape[-1]:
        if weight.dim() == 1:
            check_matmul(input, weight)
        rows = _count(input.shape[:-1])
        raise RuntimeError(f"mat1 and mat2 shapes cannot be multiplied ({rows}x{input.shape[-1]} and "
                           f"{weight.shape[1]}x{weight.shape[0]})")
    _no_bool("addmm_impl_cpu_", input, weight)
    if bias is not None:
        result = (*input.shape[:-1], *weight.shape[:-1])
        check_expand(bias, result if len(result) <= 2 else (_count(result[:-1]), result[-1]))


def check_expand(t: Any, shape: tuple) -> None:
    """The sentence of ``expand`` if ``t`` does not broadcast to ``shape``."""
    have = tuple(t.shape)
    if len(have) > len(shape):
        raise RuntimeError(f"expand(torch.{_label(t)}Tensor{{{list(have)}}}, size={list(shape)}): the number of sizes "
                           "provided "
                           f"({len(shape)}) must be greater or equal to the number of dimensions in the tensor "
                           f"({len(have)})")
    lead = len(shape) - len(have)
    for d in range(len(have) - 1, -1, -1):
        if have[d] not in (1, shape[lead + d]):
            raise RuntimeError(f"The expanded size of the tensor ({shape[lead + d]}) must match the existing size "
                               f"({have[d]}) "
                               f"at non-singleton dimension {lead + d}.  Target sizes: {list(shape)}.  Tensor sizes: "
                               f"{list(have)}")


def _mm(input: Any, mat2: Any) -> None:
    if input.dim() != 2:
        raise RuntimeError("self must be a matrix")
    if mat2.dim() != 2:
        raise RuntimeError("mat2 must be a matrix")
    check_mm(input, mat2)


def _same_sizes(input: Any, mat2: Any) -> None:
    for t, name in ((input, "batch1"), (mat2, "batch2")):
        if t.dim() != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if input.shape[0] != mat2.shape[0] or input.shape[2] != mat2.shape[1]:
        raise RuntimeError(f"Expected size for first two dimensions of batch2 tensor to be: [{input.shape[0]}, "
                           f"{input.shape[2]}] but got: [{mat2.shape[0]}, {mat2.shape[1]}].")


def _bmm(input: Any, mat2: Any) -> None:
    _same_sizes(input, mat2)
    check_bmm(input, mat2)


def _mv(input: Any, vec: Any) -> None:
    if input.dim() != 2 or vec.dim() != 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {vec.dim()}, {input.dim()}, {vec.dim()}")
    check_mv(input, vec)


def _addmm(input: Any, mat1: Any, mat2: Any, beta: Any = 1, alpha: Any = 1) -> None:
    for t, name in ((mat1, "mat1"), (mat2, "mat2")):
        if t.dim() != 2:
            raise RuntimeError(f"{name} must be a matrix, got {t.dim()}-D tensor")
    if input.dtype is not mat2.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_label(input)} and {_label(mat2)}")
    if mat1.shape[1] == mat2.shape[0]:
        check_expand(input, (mat1.shape[0], mat2.shape[1]))
    _alike_mats(mat1, mat2)
    check_mm(mat1, mat2)


def _alike_mats(mat1: Any, mat2: Any) -> None:
    if mat1.dtype is not mat2.dtype:
        raise RuntimeError(f"mat1 and mat2 must have the same dtype, but got {_label(mat1)} and {_label(mat2)}")


def _addmv(input: Any, mat: Any, vec: Any, beta: Any = 1, alpha: Any = 1) -> None:
    if mat.dim() != 2 or vec.dim() != 1 or input.dim() > 1:
        raise RuntimeError(f"vector + matrix @ vector expected, got {input.dim()}, {mat.dim()}, {vec.dim()}")
    if not input.dtype is mat.dtype is vec.dtype:
        raise RuntimeError("addmv input tensors must have the same dtype, but got "
                           f"{_label(input)}, {_label(mat)}, and {_label(vec)}")
    rows = input.shape[0] if input.dim() and input.shape[0] != 1 else mat.shape[0]
    if mat.shape[1] != vec.shape[0] or mat.shape[0] != rows:
        raise RuntimeError(f"size mismatch, got input ({rows}), mat ({_by(mat.shape)}), vec ({vec.shape[0]})")
    _no_bool("addmv_impl_cpu", mat, vec)


def _addbmm(input: Any, batch1: Any, batch2: Any, beta: Any = 1, alpha: Any = 1) -> None:
    _bmm_shapes(batch1, batch2)
    check_expand(input, (batch1.shape[1], batch2.shape[2]))
    if not input.dtype is batch1.dtype is batch2.dtype:
        raise RuntimeError(f"self and mat2 must have the same dtype, but got {_label(input)} and {_label(batch2)}")
    _no_bool("addmm_impl_cpu_", batch1, batch2)


def _baddbmm(input: Any, batch1: Any, batch2: Any, beta: Any = 1, alpha: Any = 1) -> None:
    _same_sizes(batch1, batch2)
    check_expand(input, (batch1.shape[0], batch1.shape[1], batch2.shape[2]))
    _addbmm_types(input, batch1, batch2)


def _addbmm_types(input: Any, batch1: Any, batch2: Any) -> None:
    if not input.dtype is batch1.dtype is batch2.dtype:
        raise RuntimeError(f"Input dtypes must be the same, got: input {c_name(input.dtype)}, batch1: "
                           f"{c_name(batch1.dtype)}, batch2: {c_name(batch2.dtype)}")
    _no_bool("baddbmm", batch1, batch2)


def _bmm_shapes(batch1: Any, batch2: Any) -> None:
    for t, name in ((batch1, "batch1"), (batch2, "batch2")):
        if t.dim() != 3:
            raise RuntimeError(f"{name} must be a 3D tensor")
    if batch1.shape[0] != batch2.shape[0]:
        raise RuntimeError(f"batch1 and batch2 must have same number of batches, got {batch1.shape[0]} and "
                           f"{batch2.shape[0]}")
    if batch1.shape[2] != batch2.shape[1]:
        raise RuntimeError("Incompatible matrix sizes for bmm "
                           f"({batch1.shape[1]}x{batch1.shape[2]} and {batch2.shape[1]}x{batch2.shape[2]})")


CHECKS: dict[str, Any] = {
    "matmul": check_matmul,
    "linear": _linear,
    "mm": _mm,
    "bmm": _bmm,
    "mv": _mv,
    "dot": check_dot,
    "vdot": check_dot,
    "addmm": _addmm,
    "addmv": _addmv,
    "addbmm": _addbmm,
    "baddbmm": _baddbmm,
}
