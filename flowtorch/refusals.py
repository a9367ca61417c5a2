"""Functions that cannot work here. Each raises NotImplementedError, and says what it is and what to use.

SyncBatchNorm's parts run on GPUs alone, and PyTorch's raise on host memory as well; cuDNN, MIOpen, oneDNN and FBGEMM
are libraries that flowtorch does not call; TorchScript is compiled by nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

_CONVOLUTION = "torch.convolution"
# What to call instead, by function.
INSTEAD = {
    "batch_norm_stats": "torch.var_mean",
    "batch_norm_elemt": "torch.batch_norm",
    "batch_norm_gather_stats": "torch.batch_norm_update_stats",
    "batch_norm_gather_stats_with_counts": "torch.batch_norm_update_stats",
    "batch_norm_backward_elemt": "the gradient of torch.batch_norm",
    "batch_norm_backward_reduce": "the gradient of torch.batch_norm",
    "cudnn_affine_grid_generator": "torch.nn.functional.affine_grid",
    "cudnn_batch_norm": "torch.batch_norm",
    "cudnn_convolution": _CONVOLUTION,
    "cudnn_convolution_add_relu": _CONVOLUTION,
    "cudnn_convolution_relu": _CONVOLUTION,
    "cudnn_convolution_transpose": _CONVOLUTION,
    "cudnn_grid_sampler": "torch.nn.functional.grid_sample",
    "miopen_batch_norm": "torch.batch_norm",
    "miopen_convolution": _CONVOLUTION,
    "miopen_convolution_add_relu": _CONVOLUTION,
    "miopen_convolution_relu": _CONVOLUTION,
    "miopen_convolution_transpose": _CONVOLUTION,
    "miopen_ctc_loss": "torch.ctc_loss",
    "miopen_depthwise_convolution": _CONVOLUTION,
    "miopen_rnn": "torch.nn.LSTM, torch.nn.GRU or torch.nn.RNN",
    "mkldnn_adaptive_avg_pool2d": "torch.nn.functional.adaptive_avg_pool2d",
    "mkldnn_linear_backward_weights": "the gradient of torch.nn.functional.linear",
    "mkldnn_max_pool2d": "torch.max_pool2d",
    "mkldnn_max_pool3d": "torch.max_pool3d",
    "mkldnn_rnn_layer": "torch.nn.LSTM, torch.nn.GRU or torch.nn.RNN",
    "fbgemm_linear_fp16_weight": "torch.nn.functional.linear on Tensor.half()",
    "fbgemm_linear_fp16_weight_fp32_activation": "torch.nn.functional.linear",
    "fbgemm_linear_int8_weight": "torch.nn.functional.linear on Tensor.dequantize()",
    "fbgemm_linear_int8_weight_fp32_activation": "torch.nn.functional.linear on Tensor.dequantize()",
    "fbgemm_linear_quantize_weight": "torch.quantize_per_tensor",
    "fbgemm_pack_gemm_matrix_fp16": "Tensor.half()",
    "fbgemm_pack_quantized_matrix": "torch.quantize_per_tensor",
    "quantized_batch_norm": "torch.batch_norm on Tensor.dequantize()",
    "quantized_gru": "torch.nn.GRU",
    "quantized_gru_cell": "torch.nn.GRUCell",
    "quantized_lstm": "torch.nn.LSTM",
    "quantized_lstm_cell": "torch.nn.LSTMCell",
    "quantized_rnn_relu_cell": "torch.nn.RNNCell",
    "quantized_rnn_tanh_cell": "torch.nn.RNNCell",
}
TORCHSCRIPT = frozenset((
    "import_ir_module", "import_ir_module_from_buffer", "merge_type_from_type_comment", "parse_ir", "parse_schema",
    "parse_type_comment", "unify_type_list",
))  # fmt: skip


def _refusing(name: str) -> Callable:
    if name in TORCHSCRIPT:
        text = (
            f"torch.{name}: flowtorch compiles nothing, so that there is no TorchScript to read. Call the function or "
            "module itself, or load its state_dict with torch.load"
        )
    else:
        text = (
            f"Could not run 'aten::{name}' with arguments from the 'CPU' backend: flowtorch does not provide it. "
            f"Use {INSTEAD[name]}."
        )

    def function(*args: Any, **kwargs: Any) -> NoReturn:
        raise NotImplementedError(text)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``torch.{name}``, which cannot work here: raises NotImplementedError."
    return function


def cudnn_is_acceptable(input: Any) -> bool:
    """Whether cuDNN takes a tensor: it takes none."""
    return False


def mkldnn_convolution(
    input: Any, weight: Any, bias: Any, padding: Any, stride: Any, dilation: Any, groups: int
) -> Any:
    """``torch.convolution`` with its arguments in oneDNN's order."""
    from flowtorch.functional_native import convolution

    return convolution(input, weight, bias, stride, padding, dilation, False, (0,), groups)


def __getattr__(name: str) -> Any:
    if name in INSTEAD or name in TORCHSCRIPT:
        globals()[name] = function = _refusing(name)
        return function
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}", name=name)
