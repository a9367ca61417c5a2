"""Primitives under PyTorch's names of overloads: ``torch.ops.aten.add.Tensor``, as dispatch modes are shown them.

A primitive that PyTorch does not have is shown in the namespace ``flowtorch``: ``flowtorch.lstm_layer.default``.
"""

from __future__ import annotations

from typing import Any

from flowtorch import ops_namespace
from flowtorch.ops.dispatch import as_call
from flowtorch.ops.op import REGISTRY, Op
from flowtorch.ops_namespace import OpOverload, OpOverloadPacket
from flowtorch.tensor import Tensor

# our name -> PyTorch's, where they differ
_NAMES = {
    "true_divide": "div",
    "softmax": "_softmax",
    "log_softmax": "_log_softmax",
    "gelu_tanh": "gelu",
    "huber": "huber_loss",
    "binary_entropy": "binary_cross_entropy",
    "_where": "where",
    "_polygamma": "polygamma",
    "_logit": "logit",
    "_bernoulli": "bernoulli",
    "_multinomial": "multinomial",
    "_normal": "normal",
    "_binomial": "binomial",
    "_gamma": "_standard_gamma",
    "_gamma_grad": "_standard_gamma_grad",
    "_dirichlet": "_sample_dirichlet",
    "_dirichlet_gradient": "_dirichlet_grad",
    "_prod_all": "prod",
    "_max_dim": "max",
    "_min_dim": "min",
    "_var": "var",
    "_std": "std",
    "_logsumexp": "logsumexp",
    "_masked_fill": "masked_fill",
    "_masked_scatter": "masked_scatter",
    "_nonzero": "nonzero",
    "_scatter": "scatter",
    "_index_put": "index_put",
    "_median_all": "median",
    "_median_dim": "median",
    "_nanmedian_all": "nanmedian",
    "_nanmedian_dim": "nanmedian",
    "_unique": "_unique2",
    "_unique_consecutive": "unique_consecutive",
    "_searchsorted": "searchsorted",
    "_isin": "isin",
    "_histc": "histc",
    "_softmax_backward": "_softmax_backward_data",
    "_log_softmax_backward": "_log_softmax_backward_data",
    "_nll_loss": "nll_loss_forward",
    "_nll_loss_backward": "nll_loss_backward",
    "_mse_loss": "mse_loss",
    "_vector_norm": "linalg_vector_norm",
    "_adaptive_avg_pool": "_adaptive_avg_pool2d",
    "_inv": "linalg_inv_ex",
    "_det": "_linalg_det",
    "_slogdet": "_linalg_slogdet",
    "_solve": "_linalg_solve_ex",
    "_solve_triangular": "linalg_solve_triangular",
    "_ldl_factor": "linalg_ldl_factor_ex",
    "_ldl_solve": "linalg_ldl_solve",
    "_cholesky": "linalg_cholesky_ex",
    "_cholesky_inverse": "cholesky_inverse",
    "_cholesky_solve": "cholesky_solve",
    "_lu_factor": "linalg_lu_factor_ex",
    "_qr": "linalg_qr",
    "_eigh": "_linalg_eigh",
    "_eig": "linalg_eig",
    "_svd": "_linalg_svd",
    "_geqrf": "geqrf",
    "_pinv": "linalg_pinv",
    "_lstsq": "linalg_lstsq",
    "_matrix_exp": "linalg_matrix_exp",
    "_cdist": "_cdist_forward",
    "_stack": "stack",
    "_cat": "cat",
}
_SPECIAL = frozenset(
    [
        "i0e",
        "i1",
        "i1e",
        "ndtr",
        "ndtri",
        "log_ndtr",
        "erfcx",
        "entr",
        "bessel_j0",
        "bessel_j1",
        "bessel_y0",
        "bessel_y1",
        "modified_bessel_i0",
        "modified_bessel_i1",
        "modified_bessel_k0",
        "modified_bessel_k1",
        "scaled_modified_bessel_k0",
        "scaled_modified_bessel_k1",
        "airy_ai",
        "spherical_bessel_j0",
        "xlog1py",
        "zeta",
        "chebyshev_polynomial_t",
        "shifted_chebyshev_polynomial_t",
        "chebyshev_polynomial_u",
        "shifted_chebyshev_polynomial_u",
        "chebyshev_polynomial_v",
        "shifted_chebyshev_polynomial_v",
        "chebyshev_polynomial_w",
        "shifted_chebyshev_polynomial_w",
        "hermite_polynomial_h",
        "hermite_polynomial_he",
        "laguerre_polynomial_l",
        "legendre_polynomial_p",
    ]
)
# Primitives that PyTorch does not have.
_OURS = frozenset(
    [
        "index_backward",
        "getitem_backward",
        "getitem",
        "lstm_layer",
        "gru_layer",
        "rnn_layer",
        "cross_map_lrn",
        "cross_map_lrn_backward",
        "convolution_input",
        "convolution_weight",
        "attention",
        "segment_sum",
        "segment_rows",
        "resample",
        "resample_adjoint",
        "resample_bytes",
        "linear_cross_entropy",
        "matmul",
    ]
)
_TENSOR_ALWAYS = frozenset(("add", "sub", "mul", "div", "floor_divide"))
_TENSOR_OR_SCALAR = frozenset(
    [
        "eq",
        "ne",
        "lt",
        "le",
        "gt",
        "ge",
        "remainder",
        "fmod",
        "copysign",
        "bitwise_and",
        "bitwise_or",
        "bitwise_xor",
        "div",
        "lerp",
    ]
)
_FIXED = {
    "transpose": "int",
    "unbind": "int",
    "slice": "Tensor",
    "index": "Tensor",
    "index_put": "default",
    "scatter_reduce": "two",
    "where": "self",
    "frexp": "Tensor",
    "select": "int",
    "scatter": "src",
    "var": "correction",
    "std": "correction",
    "split": "Tensor",
    "arange": "start_step",
    "empty": "memory_format",
    "bernoulli_": "float",
    "searchsorted": "Tensor",
    "isin": "Tensor_Tensor",
}
_BY_DIM = {
    "sum": "dim_IntList",
    "mean": "dim",
    "all": "dim",
    "any": "dim",
    "count_nonzero": "dim_IntList",
    "max": "dim",
    "min": "dim",
    "median": "dim",
    "nanmedian": "dim",
    "prod": "dim_int",
}


def shown(op: Op, values: list, inplace: bool = False) -> tuple[OpOverload, tuple, dict, Any]:
    """(overload, args, kwargs, the function that runs them) that stand for a call of a primitive."""
    if op.name == "getitem":
        found = _basic_index(values[0], values[1])
        if found is not None:
            name, which, args = found
            return overload("aten", name, which), args, {}, REGISTRY[name].public
    args, kwargs = as_call(op, values, {})
    name, namespace = op.name, "aten"
    if name == "matmul":
        ranks = values[0].dim(), values[1].dim()
        name = {(1, 1): "dot", (2, 1): "mv", (2, 2): "mm", (3, 3): "bmm"}.get(ranks, "matmul")
        op = REGISTRY[name]
    elif name in _OURS or (name.startswith("_") and name not in _NAMES and name not in _PRIVATE):
        namespace = "flowtorch"
    name = _NAMES.get(name, f"special_{name}" if name in _SPECIAL else name)
    which = _which(name, op, values)
    if inplace and not name.endswith("_"):
        name += "_"
    function = (op.public_inplace if inplace else None) or op.public
    return overload(namespace, name, which, function), args, kwargs, function


def overload(namespace: str, name: str, which: str, function: Any = None) -> OpOverload:
    """The overload ``which`` of an op: always the same object. ``function`` is for names that nobody else provides."""
    space = getattr(ops_namespace.ops, namespace)
    packet = getattr(space, name, None)
    if packet is None:
        packet = vars(space)[name] = OpOverloadPacket(namespace, name, function)
    return getattr(packet, which)


_PRIVATE = frozenset(("_softmax", "_log_softmax", "_weight_norm"))


def _basic_index(x: Any, items: Any) -> tuple[str, str, tuple] | None:
    """(name, overload, arguments) of ``x[items]`` where PyTorch has one op for it."""
    items = items if isinstance(items, (tuple, list)) else (items,)
    given = [(d, i) for d, i in enumerate(items) if not (isinstance(i, slice) and i == slice(None))]
    if len(given) != 1 or any(i is ... for i in items):
        return None
    dim, item = given[0]
    if item is None:
        return "unsqueeze", "default", (x, dim)
    if isinstance(item, slice):
        return "slice", "Tensor", (x, dim, item.start, item.stop, *(() if item.step is None else (item.step,)))
    return ("select", "int", (x, dim, item)) if isinstance(item, int) and not isinstance(item, bool) else None


def _which(name: str, op: Op, values: list) -> str:
    """The overload's name, from the kinds of the arguments."""
    tensors = [isinstance(values[i], Tensor) for i in op.tensor_index]
    if name in _TENSOR_ALWAYS:
        return "Tensor_mode" if name == "div" and _given(op, values, "rounding_mode") else "Tensor"
    if name in ("pow", "bitwise_left_shift", "bitwise_right_shift", "xlogy"):
        both = {"pow": "Tensor_Tensor", "xlogy": "Tensor"}.get(name, "Tensor")
        scalar = {"pow": "Tensor_Scalar", "xlogy": "Scalar_Other"}.get(name, "Tensor_Scalar")
        first = {"pow": "Scalar", "xlogy": "Scalar_Self"}.get(name, "Scalar_Tensor")
        return both if all(tensors) else scalar if tensors[0] else first
    if name in _TENSOR_OR_SCALAR:
        return "Tensor" if tensors[-1] else "Scalar"
    if name in _FIXED:
        return _FIXED[name]
    if name == "clamp":
        return "Tensor" if any(tensors[1:]) else "default"
    if name == "squeeze" and len(values) > 1 and values[1] is not None:
        return "dims" if isinstance(values[1], (tuple, list)) else "dim"
    if name in _BY_DIM and _given(op, values, "dim"):
        return "dims" if name in ("all", "any") and isinstance(values[op.names.index("dim")], tuple) else _BY_DIM[name]
    return "default"


def _given(op: Op, values: list, name: str) -> bool:
    return name in op.names and values[op.names.index(name)] not in (None, ())

