"""Triangles and diagonals: tril, triu and their indices, diag, diag_embed, diagflat."""
from __future__ import annotations

from typing import Any

import numpy as np

from flowtorch import dtypes
from flowtorch.ops.arguments import need_bool, need_int, need_number
from flowtorch.ops.factory import finish
from flowtorch.ops.families import normalize_dim, op
from flowtorch.ops.op import REGISTRY, composite
from flowtorch.ops.writing import writing
from flowtorch.tensor import default_type


def _triangle(name: str, lower: bool, doc: str) -> Any:
    def body(input, diagonal=0):
        if input.ndim < 2:
            raise RuntimeError(f"{name}: input tensor must have at least 2 dimensions")
        rows, columns = input.shape[-2:]
        for i in range(rows):
            j = max(i + diagonal + (1 if lower else 0), 0)
            if lower and j < columns:
                input[..., i, j:] = 0
            elif not lower and j > 0:
                input[..., i, :j] = 0

    body.__name__ = name
    body.__doc__ = doc
    return writing(("input",), order="rows", linear=True,
                   vjp=(lambda g, diagonal: REGISTRY[name].public(g, diagonal),))(body)


tril = _triangle("tril", True, """The lower triangle of the last two dimensions, with zeros above ``diagonal`` (0 is
    the main one, 1 the one above it).

    >>> torch.tril(torch.ones(3, 3))
    tensor([[1., 0., 0.],
            [1., 1., 0.],
            [1., 1., 1.]])
    """)
triu = _triangle("triu", False, "The upper triangle of the last two dimensions, zeros below ``diagonal``.")


def _indices(name: str, keep: Any, row: int, col: int, offset: int, dtype: Any, device: Any) -> Any:
    for k, (n, what) in enumerate(((row, "row"), (col, "col"))):
        if need_int(name, what, k + 1, n) < 0:
            raise RuntimeError(f"{what} must be non-negative, got{n}")
    d = dtypes.int64 if dtype is None else dtype
    if d.name not in ("int64", "int32"):
        raise NotImplementedError(f'"{name}" not implemented for \'{d.label}\'')
    found = np.stack(keep(row, col, offset)).astype(d.numpy)
    return finish(found, default_type(d, device), False)


@composite
def tril_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    """The coordinates of the lower triangle of a (row, col) matrix, row by row, as a (2, n) tensor."""
    return _indices(
        "tril_indices", lambda r, c, k: np.nonzero(np.tri(r, c, k, dtype=bool)), row, col, offset, dtype, device
    )


@composite
def triu_indices(row, col, offset=0, *, dtype=None, device=None, layout=None, pin_memory=False):
    """The coordinates of the upper triangle of a (row, col) matrix, row by row, as a (2, n) tensor."""
    return _indices(
        "triu_indices", lambda r, c, k: np.nonzero(~np.tri(r, c, k - 1, dtype=bool)), row, col, offset, dtype, device
    )


@op(tensors=("input",), low="keep", linear=True, out=False,
    vjp=(lambda g, offset, dim1, dim2: g.diagonal(offset, dim1, dim2),))
def diag_embed(input, offset=0, dim1=-2, dim2=-1):
    """Matrices with the last dimension of ``input`` on a diagonal of the planes of ``dim1`` and ``dim2``."""
    n = input.ndim + 1
    d1, d2 = normalize_dim(dim1, n), normalize_dim(dim2, n)
    if d1 == d2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}")
    size = input.shape[-1] + abs(offset)
    shape = list(input.shape[:-1])
    for d in sorted((d1, d2)):
        shape.insert(d, size)
    out = np.zeros(shape, input.dtype)
    REGISTRY["diagonal"].body(out, offset, d1, d2)[...] = input
    return out


@composite(method=True, out=True)
def diag(input, diagonal=0):
    """A vector as the diagonal of a matrix, or the diagonal of a matrix as a vector."""
    if input.dim() not in (1, 2):
        raise RuntimeError(f"diag(): Supports 1D or 2D tensors. Got {input.dim()}D")
    if input.dim() == 1:
        return diag_embed(input, diagonal)
    return input.diagonal(diagonal).clone(memory_format=dtypes.contiguous_format)


@composite(method=True)
def diagflat(input, offset=0):
    """A matrix with the flattened ``input`` on a diagonal."""
    return diag_embed(input.reshape(-1), offset)


@composite(namespace="Tensor", method=True)
def fill_diagonal_(self, fill_value, wrap=False):
    """Write ``fill_value`` on the main diagonal; with ``wrap`` again after each square of a tall matrix."""
    if self.dim() < 2:
        raise RuntimeError("dimensions must larger than 1")
    if self.dim() > 2 and len(set(self.shape)) > 1:
        raise RuntimeError("all dimensions of input must be of equal length")
    need_number("fill_diagonal_", "fill_value", 1, fill_value)
    need_bool("fill_diagonal_", "wrap", 2, wrap)
    rows, columns = self.shape[0], min(self.shape)
    step = sum(self.stride())
    self.as_strided((columns,), (step,)).fill_(fill_value)
    if wrap and self.dim() == 2 and rows > self.shape[1] + 1 and self.numel():
        n, (by_row, by_column) = self.shape[1], self.stride()
        start = (n + 1) * by_row
        while start < rows * by_row:
            left = rows - start // by_row
            view = self.as_strided((min(n, left),), (by_row + by_column,), self.storage_offset() + start)
            view.fill_(fill_value)
            start += (n + 1) * by_row
    return self
