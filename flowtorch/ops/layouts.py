"""Tensor methods and constructors of sparse layouts; what they need loads when the first is called."""
from __future__ import annotations

from typing import Any

from flowtorch import dtypes
from flowtorch.ops.op import composite

_LAYOUTS = dtypes.LAYOUTS


def _strided_only(name: str, kind: str) -> Any:
    """A method that only sparse tensors have: on any other it says so."""
    def method(self, *args, **kwargs):
        got = "".join(part.capitalize() for part in str(self.layout).rpartition(".")[2].removesuffix("_coo").split("_"))
        raise RuntimeError(f"{name} expected {kind} but got {got}")
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{name}`` of a sparse tensor."
    return composite(method, namespace="Tensor", method=True)


for _name in ("coalesce", "is_coalesced", "indices", "_indices", "_values", "_nnz", "_coalesced_", "sparse_dim",
              "dense_dim"):
    _strided_only(_name, "sparse coordinate tensor layout")
for _name, _kind in (("crow_indices", "row"), ("col_indices", "row"), ("ccol_indices", "column"),
                     ("row_indices", "column")):
    _strided_only(_name, f"sparse {_kind} compressed tensor layout")
_strided_only("values", "sparse tensor layout")


@composite(namespace="Tensor", method=True)
def to_dense(self, dtype=None, *, masked_grad=None):
    """A strided tensor of the same elements."""
    if self.layout is dtypes.strided:
        return self if dtype is None else self.to(dtype)
    if self.layout is _LAYOUTS["sparse_coo"]:
        from flowtorch.sparse import construct

        return construct.to_dense(self, dtype, masked_grad)
    from flowtorch.sparse import compressed

    return compressed.to_dense(self, dtype, masked_grad)


@composite(namespace="Tensor", method=True)
def to_sparse(self, sparse_dim=None, *, layout=None, blocksize=None, dense_dim=None):
    """The elements that are not zero as a sparse tensor: COO, or of the given ``layout``."""
    if isinstance(sparse_dim, dtypes.layout):
        sparse_dim, layout = None, sparse_dim
    if layout is None or layout is _LAYOUTS["sparse_coo"]:
        from flowtorch.sparse import construct

        return construct.to_sparse_coo(self, sparse_dim)
    from flowtorch.sparse import compressed

    return compressed.to_compressed(self, layout, blocksize, dense_dim)


@composite(namespace="Tensor", method=True)
def to_sparse_coo(self):
    """The elements that are not zero as a COO tensor."""
    return to_sparse(self)


def _to_layout(name: str, blocks: bool) -> None:
    def method(self, dense_dim=None):
        return to_sparse(self, layout=_LAYOUTS[name], dense_dim=dense_dim)

    def blocked(self, blocksize, dense_dim=None):
        return to_sparse(self, layout=_LAYOUTS[name], blocksize=blocksize, dense_dim=dense_dim)
    f = blocked if blocks else method
    f.__name__ = f.__qualname__ = f"to_{name}"
    f.__doc__ = f"The elements that are not zero in layout {name}."
    composite(f, namespace="Tensor", method=True)


for _name in ("csr", "csc", "bsr", "bsc"):
    _to_layout(f"sparse_{_name}", _name.startswith("b"))


@composite(namespace="Tensor", method=True)
def sparse_mask(self, mask):
    """The elements of ``self`` at the entries of the sparse tensor ``mask``."""
    if mask.layout is not _LAYOUTS["sparse_coo"]:
        if mask.layout is dtypes.strided:
            raise RuntimeError("sparse_mask(): expected mask to be a sparse tensor")
        from flowtorch.sparse import compressed

        return compressed.mask(self, mask)
    from flowtorch.sparse import entries

    return entries.mask(self, mask)


@composite(namespace="Tensor", method=True)
def sparse_resize_and_clear_(self, size, sparse_dim, dense_dim):
    """Drop the entries and take the given size."""
    from flowtorch.sparse.tensor import empty

    self._take(empty(tuple(size), sparse_dim, self.dtype))
    return self


@composite(namespace="Tensor", method=True)
def sparse_resize_(self, size, sparse_dim, dense_dim):
    """Change the size; entries stay, so dimensions of a tensor with entries can only grow."""
    from flowtorch.sparse import construct

    return construct.resize(self, tuple(size), sparse_dim, dense_dim)


@composite(method=True)
def resize_as_sparse_(input, the_template):
    """Give ``input`` the size of another sparse tensor."""
    return input.sparse_resize_(the_template.shape, the_template.sparse_dim(), the_template.dense_dim())


@composite
def sparse_coo_tensor(indices=None, values=None, size=None, *, dtype=None, device=None, pin_memory=False,
                      requires_grad=False, check_invariants=None, is_coalesced=None):
    """A COO tensor with ``values[k]`` at ``indices[:, k]``."""
    from flowtorch.sparse import construct

    return construct.sparse_coo_tensor(indices, values, size, dtype=dtype, device=device, requires_grad=requires_grad,
                                       check_invariants=check_invariants, is_coalesced=is_coalesced)


def _compressed(name: str) -> None:
    def construct(compressed_indices, plain_indices, values, size, options):
        from flowtorch.sparse import compressed

        return compressed.construct(_LAYOUTS[name], compressed_indices, plain_indices, values, size, **options)

    def by_row(crow_indices, col_indices, values, size=None, *, dtype=None, device=None, pin_memory=False,
               requires_grad=False, check_invariants=None):
        return construct(crow_indices, col_indices, values, size, {
            "dtype": dtype, "device": device, "requires_grad": requires_grad,
            "check_invariants": check_invariants})

    def by_column(ccol_indices, row_indices, values, size=None, *, dtype=None, device=None, pin_memory=False,
                  requires_grad=False, check_invariants=None):
        return construct(ccol_indices, row_indices, values, size, {
            "dtype": dtype, "device": device, "requires_grad": requires_grad,
            "check_invariants": check_invariants})
    make = by_row if name.endswith("r") else by_column
    make.__name__ = make.__qualname__ = f"{name}_tensor"
    make.__doc__ = f"A tensor of layout {name} from its two index tensors and its values."
    composite(make)


for _name in ("csr", "csc", "bsr", "bsc"):
    _compressed(f"sparse_{_name}")


@composite
def sparse_compressed_tensor(compressed_indices, plain_indices, values, size=None, *, dtype=None, layout=None,
                             device=None, pin_memory=False, requires_grad=False, check_invariants=None):
    """A tensor of a compressed layout from its two index tensors and its values."""
    from flowtorch.sparse import compressed

    return compressed.construct(layout, compressed_indices, plain_indices, values, size, dtype=dtype, device=device,
                                requires_grad=requires_grad, check_invariants=check_invariants)


@composite
def spmm(input, mat2):
    """The matrix product ``input @ mat2``, under the name it has for a sparse ``input``."""
    return input.mm(mat2)


@composite
def dsmm(input, mat2):
    """Another name of ``spmm``."""
    return input.mm(mat2)


@composite(method=True)
def sspaddmm(input, mat1, mat2, *, beta=1, alpha=1):
    """``beta * input + alpha * (mat1 @ mat2)`` of sparse ``input`` and ``mat1``, as a sparse tensor."""
    from flowtorch.sparse import products

    return products.add_product(input, mat1, mat2, beta, alpha)


@composite(method=True)
def smm(input, mat):
    """The product of a sparse matrix and a dense one, as a sparse tensor."""
    from flowtorch.sparse import products

    return products.sparse_product(input, mat)


@composite
def hspmm(mat1, mat2):
    """The product of a sparse matrix and a dense one, as a tensor with sparse rows."""
    from flowtorch.sparse.entries import build
    from flowtorch.sparse.handlers import unsupported

    if mat1.layout is not _LAYOUTS["sparse_coo"]:
        raise unsupported("hspmm", [mat1])
    rows = mat1.coalesce()._indices()[0].unique()
    product = mat1.mm(mat2)
    return build(rows.unsqueeze(0), product.index_select(0, rows), tuple(product.shape), True)


def _copied(name: str) -> None:
    """``name_copy``: what the method ``name`` of a tensor of a compressed layout gives, over memory of its own."""
    def copy(input):
        if input.layout is _LAYOUTS["sparse_coo"]:
            raise NotImplementedError(f"Could not run 'aten::{name}_copy' with arguments from the 'SparseCPU' backend: "
                                      f"use {name}().clone()")
        return getattr(input, name)().clone()
    copy.__name__ = copy.__qualname__ = f"{name}_copy"
    copy.__doc__ = f"``{name}`` of a tensor of a compressed sparse layout, copied."
    composite(copy)


for _name in ("values", "indices", "crow_indices", "col_indices", "ccol_indices", "row_indices"):
    _copied(_name)


for _name in ("offsets", "lengths", "to_padded_tensor"):
    _strided_only(_name, "nested tensor of layout torch.jagged")


# ---------------------------------------------------------------- quantised tensors

def _quantized_method(name: str) -> None:
    def method(self):
        from flowtorch.quantized import functions

        return getattr(functions, name)(self)
    method.__name__ = method.__qualname__ = name
    method.__doc__ = f"``{name}`` of a quantised tensor."
    composite(method, namespace="Tensor", method=True)


for _name in ("dequantize", "int_repr", "qscheme", "q_scale", "q_zero_point", "q_per_channel_scales",
              "q_per_channel_zero_points", "q_per_channel_axis"):
    _quantized_method(_name)
