"""An eager, PyTorch-compatible tensor library in Python: ``import flowtorch as torch``."""
from __future__ import annotations

import importlib
from math import e, inf, nan, pi
from typing import Any

from flowtorch import devices, dtypes, namespace, overrides
from flowtorch.autograd.mode import (
    enable_grad,
    inference_mode,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_grad_enabled,
)
from flowtorch.devices import device, get_default_device, set_default_device
from flowtorch.dtypes import (
    can_cast,
    dtype,
    finfo,
    get_default_dtype,
    iinfo,
    layout,
    memory_format,
    promote_types,
    qscheme,
    set_default_dtype,
)
from flowtorch.random import Generator, default_generator
from flowtorch.tensor import Size, Tensor
from flowtorch.version import __version__

newaxis = None

globals().update(dtypes.PUBLIC)
globals().update(dtypes.LAYOUTS)
globals().update(dtypes.QSCHEMES)
contiguous_format, preserve_format = dtypes.contiguous_format, dtypes.preserve_format
legacy_contiguous_format = contiguous_format
channels_last, channels_last_3d = dtypes.channels_last, dtypes.channels_last_3d
bool = dtypes.bool_

# The op families, in the order of their dependencies. Importing one fills the registry.
for _family in (
    "copy",
    "view",
    "factory",
    "indexing",
    "pointwise",
    "comparison",
    "pointwise_ternary",
    "pointwise_unary",
    "random",
    "random_tensor",
    "random_gamma",
    "reduction",
    "linear",
    "products",
    "join",
    "masking",
    "gather",
    "index_select",
    "rearrange",
    "reshape_inplace",
    "sorting",
    "searching",
    "triangle",
    "scan",
    "softmax",
    "activation",
    "pad",
    "recurrent",
    "channel_norm",
    "conv",
    "memory",
    "pooling",
    "adaptive_pooling",
    "loss",
    "fused",
    "normalization",
    "attention",
    "norm",
    "fill",
    "queries",
    "fold",
    "ctc",
    "embedding_bag",
    "segments",
    "interpolate",
    "linear_cross_entropy",
    "ranges",
    "linalg_solve",
    "linalg_factor",
    "linalg_decompose",
    "linalg_functions",
    "fft",
    "special",
    "windows",
    "spectral",
    "differences",
    "lowrank",
    "lobpcg",
    "control",
    "layouts",
    "hashing",
):
    importlib.import_module(f"flowtorch.ops.{_family}")
for _module in (
    "functional_shape",
    "functional_quantile",
    "functional_products",
    "functional_nn",
    "functional_recurrent",
    "functional_sampling",
    "functional_native",
    "functional_quantize",
):
    importlib.import_module(f"flowtorch.{_module}")

from flowtorch import methods as _methods  # noqa: E402
from flowtorch.ops import pointwise as _pointwise  # noqa: E402

_methods.attach()
namespace.publish()
namespace.publish_aliases(_pointwise.ALIASES)
globals().update(namespace.namespaces["torch"])
for _name, _same in {"hsmm": "hspmm", "saddmm": "sspaddmm"}.items():
    globals()[_name] = globals()[_same]
from flowtorch import native as _native  # noqa: E402
from flowtorch.array import allocation as _allocation  # noqa: E402

_native.start()
_allocation.keep_memory()

_LAZY = {
    "nn",
    "optim",
    "random",
    "func",
    "linalg",
    "fft",
    "special",
    "windows",
    "spectral",
    "differences",
    "lowrank",
    "signal",
    "masked",
    "distributions",
    "cuda",
    "amp",
    "backends",
    "testing",
    "utils",
    "storage",
    "serialization",
    "hub",
    "jit",
    "multiprocessing",
    "sparse",
    "version",
    "types",
    "futures",
    "onnx",
    "fx",
    "distributed",
    "return_types",
    "compiler",
    "library",
    "profiler",
    "quasirandom",
    "shim",
    "autograd",
    "overrides",
    "functional",
    "torch_version",
    "export",
    "package",
    "cpu",
    "mps",
    "xpu",
    "mtia",
    "monitor",
    "classes",
    "accelerator",
    "nested",
    "quantization",
    "ao",
    "config",
    "info",
    "printing",
    "__future__",
    "_tensor_str",
    "_C",
    "_utils",
    "_dynamo",
    "_VF",
    "_jit_internal",
    "__config__",
}


# Names that modules outside the registry of ops provide, loaded on first use.
_ELSEWHERE = {
    "save": "serialization", "load": "serialization", "set_printoptions": "printing",
    "is_storage": "storage", "to_dlpack": "utils.dlpack", "vmap": "func", "StorageBase": "storage",
    "OutOfMemoryError": "cuda", "GradScaler": "amp", "AcceleratorError": "accelerator",
    "Future": "futures",
    "fork": "jit", "wait": "jit", "ScriptModule": "jit", "ScriptFunction": "jit", "CompilationUnit": "jit",
    "JITException": "jit",
    "DisableTorchFunction": "overrides", "DisableTorchFunctionSubclass": "overrides",
}
_ELSEWHERE |= dict.fromkeys((
    "_assert", "_assert_async", "_check", "_check_index", "_check_is_size", "_check_not_implemented",
    "_check_tensor_all", "_check_tensor_all_with", "_check_type", "_check_value", "_check_with"), "checks")
_ELSEWHERE |= dict.fromkeys((
    "_is_functional_tensor", "_running_with_deploy", "compiled_with_cxx11_abi", "get_deterministic_debug_mode",
    "get_device_module", "get_float32_matmul_precision", "is_vulkan_available", "is_warn_always_enabled",
    "set_anomaly_enabled", "set_default_tensor_type", "set_deterministic_debug_mode", "set_float32_matmul_precision",
    "set_flush_denormal", "set_warn_always"), "settings")
_ELSEWHERE |= dict.fromkeys((
    "SymBool", "SymFloat", "SymInt", "_sym_sqrt", "sym_float", "sym_fresh_size", "sym_int", "sym_ite", "sym_max",
    "sym_constrain_range", "sym_constrain_range_for_size", "sym_min", "sym_not", "sym_sqrt", "sym_sum"), "symbolic")
_ELSEWHERE |= dict.fromkeys((
    "autocast_decrement_nesting", "autocast_increment_nesting", "clear_autocast_cache", "get_autocast_cpu_dtype",
    "get_autocast_dtype", "get_autocast_gpu_dtype", "is_autocast_available", "is_autocast_cache_enabled",
    "is_autocast_cpu_enabled", "is_autocast_enabled", "set_autocast_cache_enabled", "set_autocast_cpu_dtype",
    "set_autocast_cpu_enabled", "set_autocast_dtype", "set_autocast_enabled", "set_autocast_gpu_dtype"), "amp.state")
_ELSEWHERE |= dict.fromkeys((
    "get_autocast_ipu_dtype", "get_autocast_xla_dtype", "is_autocast_ipu_enabled", "is_autocast_xla_enabled",
    "set_autocast_ipu_dtype", "set_autocast_ipu_enabled", "set_autocast_xla_dtype", "set_autocast_xla_enabled"),
    "amp.state")
_ELSEWHERE |= dict.fromkeys((
    "eig", "lstsq", "matrix_rank", "solve", "symeig"), "legacy_names")
_ELSEWHERE |= dict.fromkeys((
    "AVG", "AggregationType", "FatalError", "SUM", "get_file_path", "has_lapack", "has_mkl", "has_openmp",
    "has_spectral", "prepare_multiprocessing_environment", "profiler_allow_cudagraph_cupti_lazy_reinit_cuda12"),
    "build")
_ELSEWHERE |= dict.fromkeys((
    "dequantize", "empty_quantized", "int_repr", "q_per_channel_axis", "q_per_channel_scales",
    "q_per_channel_zero_points", "q_scale", "q_zero_point", "quantize_per_channel", "quantize_per_tensor",
    "quantize_per_tensor_dynamic", "quantized_max_pool1d", "quantized_max_pool2d", "quantized_max_pool3d"),
    "quantized.functions")
_ELSEWHERE |= {"Stream": "device_streams", "Event": "device_streams", "init_num_threads": "threads"}
_ELSEWHERE["autocast"] = "amp.autocast_mode"
_ELSEWHERE |= {
    prefix + "Storage": "storage"
    for prefix in ("Untyped", "Typed", "Double", "Float", "Half", "Long", "Int", "Short", "Char", "Byte", "Bool",
                   "BFloat16", "ComplexDouble", "ComplexFloat")
}


# Functions of backends that are not here, and of the TorchScript compiler.
_REFUSED = frozenset((
    "batch_norm_backward_elemt", "batch_norm_backward_reduce", "batch_norm_elemt", "batch_norm_gather_stats",
    "batch_norm_gather_stats_with_counts", "batch_norm_stats", "cudnn_affine_grid_generator",
    "cudnn_batch_norm", "cudnn_convolution", "cudnn_convolution_add_relu", "cudnn_convolution_relu",
    "cudnn_convolution_transpose", "cudnn_grid_sampler", "cudnn_is_acceptable", "fbgemm_linear_fp16_weight",
    "fbgemm_linear_fp16_weight_fp32_activation", "fbgemm_linear_int8_weight",
    "fbgemm_linear_int8_weight_fp32_activation", "fbgemm_linear_quantize_weight",
    "fbgemm_pack_gemm_matrix_fp16", "fbgemm_pack_quantized_matrix", "import_ir_module",
    "import_ir_module_from_buffer", "merge_type_from_type_comment", "miopen_batch_norm", "miopen_convolution",
    "miopen_convolution_add_relu", "miopen_convolution_relu", "miopen_convolution_transpose",
    "miopen_ctc_loss", "miopen_depthwise_convolution", "miopen_rnn", "mkldnn_adaptive_avg_pool2d",
    "mkldnn_convolution", "mkldnn_linear_backward_weights", "mkldnn_max_pool2d", "mkldnn_max_pool3d",
    "mkldnn_rnn_layer", "parse_ir", "parse_schema", "parse_type_comment", "quantized_batch_norm",
    "quantized_gru", "quantized_gru_cell", "quantized_lstm", "quantized_lstm_cell", "quantized_rnn_relu_cell",
    "quantized_rnn_tanh_cell", "unify_type_list",
))

# In-place functions that PyTorch also publishes beside the methods.
_METHODS = {
    "addmv_",
    "as_strided_",
    "clamp_",
    "clamp_max_",
    "clamp_min_",
    "clip_",
    "conj_physical_",
    "detach_",
    "gcd_",
    "lcm_",
    "ldexp_",
    "logit_",
    "xlogy_",
}


def __getattr__(name: str) -> Any:
    if name in _METHODS:
        return getattr(Tensor, name)
    if name.startswith("_foreach_"):
        found = importlib.import_module("flowtorch.foreach").FUNCTIONS.get(name[9:])
        if found is not None:
            return found
    if name in _ELSEWHERE:
        value = globals()[name] = getattr(importlib.import_module(f"flowtorch.{_ELSEWHERE[name]}"), name)
        return value
    if name in _LAZY:
        try:
            return importlib.import_module(f"flowtorch.{name}")
        except ModuleNotFoundError as error:
            if error.name != f"flowtorch.{name}":
                raise
    if name in _REFUSED:
        return getattr(importlib.import_module("flowtorch.refusals"), name)
    if name == "compile":
        from flowtorch.compiling import compile

        return compile
    if name == "torch":  # PyTorch imports itself; annotations say torch.torch.Tensor here and there
        return importlib.import_module("flowtorch")
    if name.endswith("Tensor"):
        from flowtorch.legacy_types import TYPES

        if name in TYPES:
            return TYPES[name]
    if name in ("set_provenance", "is_provenance_enabled"):
        return getattr(importlib.import_module("flowtorch.autograd.provenance"), name)
    if name in ("is_anomaly_enabled", "is_anomaly_check_nan_enabled"):
        return getattr(importlib.import_module("flowtorch.autograd.anomaly"), name)
    if name in ("PyTorchFileReader", "PyTorchFileWriter"):
        return getattr(importlib.import_module("flowtorch.serialization.container"), name)
    if name in ("get_num_threads", "set_num_threads", "get_num_interop_threads", "set_num_interop_threads"):
        return getattr(importlib.import_module("flowtorch.threads"), name)
    if name in ("install", "uninstall", "as_torch"):
        return getattr(importlib.import_module("flowtorch.shim"), name)
    from flowtorch.shim import absent

    return absent.attribute("flowtorch", name)
