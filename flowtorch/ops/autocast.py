"""What autocast does to each op: run in the low precision, run in float32, or promote to the widest input.

The names are those of public functions. What stands in no list runs in the types that it is given.
"""
from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from flowtorch import overrides

if TYPE_CHECKING:
    from flowtorch.ops.op import Composite

_CONVOLUTIONS = ("conv1d", "conv2d", "conv3d", "conv_tbc", "conv_transpose1d", "conv_transpose2d",
                 "conv_transpose3d")
_PRODUCTS = ("addbmm", "addmm", "baddbmm", "bmm", "linear", "matmul", "mm", "prelu",
             "scaled_dot_product_attention", "vecdot")
_LOSSES = ("binary_cross_entropy_with_logits", "cosine_embedding_loss", "hinge_embedding_loss", "huber_loss",
           "kl_div", "l1_loss", "margin_ranking_loss", "mse_loss", "multi_margin_loss",
           "multilabel_margin_loss", "nll_loss", "poisson_nll_loss", "soft_margin_loss",
           "triplet_margin_loss")

LOW_PRECISION = {
    "cuda": frozenset((*_CONVOLUTIONS, *_PRODUCTS, "addmv", "addr", "chain_matmul", "gru_cell",
                       "lstm_cell", "multi_dot", "mv", "rnn_relu_cell", "rnn_tanh_cell")),
    "cpu": frozenset((*_CONVOLUTIONS, *_PRODUCTS, "chain_matmul", "multi_dot")),
}

FLOAT32 = {
    "cuda": frozenset((*_LOSSES, "acos", "asin", "cdist", "cosh", "cosine_similarity", "cumprod", "cumsum",
                       "dist", "erfinv", "exp", "expm1", "group_norm", "interpolate", "layer_norm", "log",
                       "log10", "log1p", "log2", "log_softmax", "logsumexp", "matrix_norm", "norm", "pdist",
                       "pow", "prod", "reciprocal", "renorm", "rms_norm", "rsqrt", "sinh", "smooth_l1_loss",
                       "softmax", "softplus", "sum", "tan", "vector_norm")),
    "cpu": frozenset((*_LOSSES, "adaptive_avg_pool3d", "adaptive_max_pool3d",
                      "adaptive_max_pool3d_with_indices", "avg_pool3d",
                      "binary_cross_entropy", "cdist", "cholesky", "cholesky_ex", "cholesky_inverse",
                      "cholesky_solve", "cond", "cross_entropy", "ctc_loss", "eig", "eigh", "eigvals",
                      "eigvalsh", "fake_quantize_per_tensor_affine", "fft", "fft2", "fftn",
                      "fractional_max_pool2d", "fractional_max_pool3d", "geqrf", "grid_sample", "hfft",
                      "householder_product", "ifft", "ifft2", "ifftn", "ihfft", "inv", "inv_ex", "inverse",
                      "irfft", "irfft2", "irfftn", "lstsq", "lu_solve", "matrix_rank", "max_pool3d",
                      "max_unpool2d", "max_unpool3d", "nanquantile", "orgqr", "ormqr", "pinverse", "polar",
                      "prod", "qr", "quantile", "reflection_pad1d", "reflection_pad2d", "replication_pad1d",
                      "replication_pad2d", "replication_pad3d", "rfft", "rfft2", "rfftn", "smooth_l1_loss",
                      "solve", "stft", "svd", "svdvals", "tensorinv", "tensorsolve", "trace",
                      "triangular_solve", "view_as_complex")),
}

PROMOTE = {
    "cuda": frozenset(("addcdiv", "addcmul", "atan2", "bilinear", "cross", "dot", "grid_sample", "index_put",
                       "scatter_add", "tensordot", "vdot")),
    "cpu": frozenset(("cat", "index_copy", "stack")),
}

# Their parts would be cast, where PyTorch's are not.
AS_GIVEN = {"cuda": frozenset[str](), "cpu": frozenset(("bilinear", "convolution", "grouped_mm"))}

BANNED = {
    "cuda": {"binary_cross_entropy":
             "torch.nn.functional.binary_cross_entropy and torch.nn.BCELoss are unsafe to autocast.\n"
             "Many models use a sigmoid layer right before the binary cross entropy layer.\nIn this case, "
             "combine the "
             "two layers using torch.nn.functional.binary_cross_entropy_with_logits or "
             "torch.nn.BCEWithLogitsLoss, "
             "which are safe to autocast."},
    "cpu": {},
}

LISTED = frozenset().union(*(names for lists in (LOW_PRECISION, FLOAT32, PROMOTE, AS_GIVEN, BANNED)
                             for names in lists.values()))

_active, _state = overrides.active, overrides.state


def watch(record: Composite) -> Callable:
    """The function of a composite in the lists: under autocast it gets its arguments cast, as an op does."""
    f, name = record.function, record.name

    def call(*args: Any, **kwargs: Any) -> Any:
        if not _active or _state.autocast is None:
            return f(*args, **kwargs)
        cast = _state.autocast
        values = cast(name, (*args, *kwargs.values()))
        if values is None:
            return f(*args, **kwargs)
        _state.autocast = None                  # what it calls computes in the types that it gets
        try:
            return f(*values[:len(args)], **dict(zip(kwargs, values[len(args):], strict=True)))
        finally:
            _state.autocast = cast

    call.__name__, call.__qualname__, call.__module__ = f.__name__, f.__qualname__, f.__module__
    call.__doc__, call.__wrapped__ = f.__doc__, f           # type: ignore[attr-defined]
    return call
