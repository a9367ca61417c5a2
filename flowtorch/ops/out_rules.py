"""What ``out=`` may be: which functions refuse another dtype than their result's, and in which words.

Most functions convert into ``out`` where promotion allows it. Those listed here do not; they are listed by the words
of the refusal, which differ between PyTorch's kernels. Loaded when a dtype first differs.
"""
from __future__ import annotations

from flowtorch.dtypes import can_cast, dtype

_CPP = {
    "float16": "c10::Half", "bfloat16": "c10::BFloat16", "float32": "float", "float64": "double",
    "complex32": "c10::complex<c10::Half>", "complex64": "c10::complex<float>", "complex128": "c10::complex<double>",
    "int64": "long int", "int32": "int", "int16": "short int", "int8": "signed char", "uint8": "unsigned char",
    "bool": "bool", "uint16": "short unsigned int", "uint32": "unsigned int", "uint64": "long unsigned int",
}

# {want}, {got}: the dtypes as C++ spells them; {Want}, {Got}: as PyTorch's messages name them.
_RULES = {
    "Expected out tensor to have dtype {want}, but got {got} instead": """
        addmm addmv alias_copy aminmax argmax argmin as_strided_copy baddbmm bmm convert_indices_from_coo_to_csr
        convert_indices_from_csr_to_coo cross detach_copy diag
        diagonal_copy expand_copy frobenius_norm gather index_add index_copy index_reduce inverse isin linalg.cholesky
        linalg.cholesky_ex linalg.cross Tensor.linalg_cross linalg.det linalg.eig linalg.eigh linalg.eigvals
        linalg.eigvalsh linalg.inv linalg.inv_ex linalg.ldl_factor linalg.ldl_factor_ex linalg.ldl_solve
        linalg.lu linalg.lu_factor linalg.lu_factor_ex linalg.lu_solve linalg.matrix_power linalg.qr linalg.slogdet
        linalg.solve
        linalg.solve_ex linalg.svd linalg.svdvals linalg.vector_norm log_softmax logdet lu_solve lu_unpack
        matmul matrix_power max min mm msort norm permute_copy qr renorm scatter scatter_add scatter_reduce select_copy
        slice_copy slice_scatter slogdet softmax sort split_with_sizes_copy squeeze_copy svd t_copy
        take_along_dim topk transpose_copy triangular_solve tril triu unbind_copy unfold_copy unsqueeze_copy
        view_as_complex_copy view_copy""",
    "Found dtype {Got} but expected {Want}": """
        abs absolute bitwise_not ceil clamp clip conj_physical fix floor frac hardshrink neg negative round
        sgn sign trunc""",
    "expected scalar_type {Want} but found {Got}": "cummax cummin logcumsumexp",
    "expected scalar type {Want} but found {Got}": "linalg.solve_triangular native_batch_norm native_group_norm",
    "result dtype {Got} does not match input dtype {Want}": "dot vdot",
    "addmv input tensors must have the same dtype, but got {Got}, {Want}, and {Want}": "mv",
    "self and mat2 must have the same dtype, but got {Got} and {Want}": "addbmm",
    "multi_dot(): expected out tensor to have dtype {want} but got {got}": "linalg.multi_dot chain_matmul",
    "torch.histogram: input tensor and hist tensor should have the same dtype, but got input {want} and hist {got}":
        "histc histogram",
    "tensordot: Expected the output tensor to have dtype {Want}, but got an output tensor with dtype {Got}":
        "inner tensordot",
    "Expected the dtype for input and out to match, but got {Want} for input's dtype and {Got} for out's dtype.":
        "amax amin",
    "quantile() out tensor must be same dtype as the input tensor": "quantile nanquantile",
    "all only supports bool tensor for result, got: {Got}": "all",
    "any only supports bool tensor for result, got: {Got}": "any",
    "torch.frexp() expects mantissa to have dtype {want} but got {got}": "frexp",
    "heaviside is not yet implemented for tensors with different dtypes.": "heaviside",
    "index_select(): self and result must have the same scalar type": "index_select",
    "isneginf does not support non-boolean outputs.": "isneginf",
    "isposinf does not support non-boolean outputs.": "isposinf",
    "signbit does not support non-boolean outputs.": "signbit",
    "output values must be of same type as input": "kthvalue",
    "linalg.matrix_norm expected out tensor dtype {Want} but got: {Got}": "linalg.matrix_norm nuclear_norm",
    "linalg.norm expected out tensor dtype {Want} but got: {Got}": "linalg.norm",
    "linalg.vecdot: Expected out of dtype{Want} but found {Got}": "linalg.vecdot",
    "masked_select(): self and result must have the same scalar type": "masked_select",
    "expected scalar type '{Want}' but got '{Got}' for values output": "mode",
    "nan_to_num: dtype of out: {Got} should be same as input: {Want}": "nan_to_num",
    "Expected self.dtype() == output.dtype() to be true, but got false.": "narrow_copy",
    "nonzero: Expected out tensor to have scalar type {Want} but got scalar type{Got}": "nonzero",
    "nonzero_static: Expected out tensor to have scalar type {Want} but got scalar type{Got}": "nonzero_static",
    "torch.ormqr: Expected input and result to have the same dtype, but input has dtype{Want} and result has dtype "
    "{Got}": "ormqr",
    "take(): self and out expected to have the same dtype, but got self.dtype = {Want} and out.dtype = {Got}": "take",
    "Expected out type to be {Want} but got {Got}": "where",
    "Expected object of scalar type {Want} but got scalar type {Got} for argument 'out'": "complex polar",
}
# PyTorch resizes these to rows whatever the order of the result's elements; the last only if they had elements.
_ROWS = frozenset(["cholesky", "cholesky_solve", "linalg.tensorinv", "lu", "nanquantile", "quantile",
                   "slice_scatter", *(
    f"fft.{name}" for name in ("fft", "fft2", "fftn", "hfft", "hfft2", "hfftn", "ifft2", "ifftn", "ihfft2", "ihfftn",
                               "irfft", "irfft2", "irfftn", "rfft", "rfft2", "rfftn"))])
_ROWS_AGAIN = _ROWS | {"cholesky_inverse", "geqrf", "linalg.eig", "linalg.householder_product", "orgqr", "ormqr"}
_WORDS = {name: words for words, names in _RULES.items() for name in names.split()}


def _key(namespace: str, name: str) -> str:
    return name.lstrip("_") if namespace == "torch" else f"{namespace}.{name}"


def resized_to_rows(namespace: str, name: str, had_elements: bool) -> bool:
    """Whether a resized ``out=`` is contiguous even where the plain result is not."""
    return _key(namespace, name) in (_ROWS_AGAIN if had_elements else _ROWS)


def refusal(namespace: str, name: str, result: dtype, out: dtype) -> str | None:
    """The message for an ``out`` of dtype ``out`` beside a result of dtype ``result``; None where it is accepted."""
    words = _WORDS.get(_key(namespace, name))
    if words is None or (words.startswith("Found") and not can_cast(result, out)):
        return None
    return words.format(want=_CPP.get(result.name, result.name), got=_CPP.get(out.name, out.name),
                        Want=result.label, Got=out.label)
