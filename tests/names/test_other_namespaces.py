"""Names of namespaces about devices, the compiler and operators, on a machine without a GPU."""

from __future__ import annotations

import inspect

import pytest
import torch
import torch.backends.cusparselt
import torch.backends.kleidiai
import torch.backends.miopen
import torch.cuda.nccl
import torch.cuda.profiler
import torch.mps
from compared import both

import flowtorch

CUDA_ANSWERS = ["get_gencode_flags", "host_memory_stats", "host_memory_stats_as_nested_dict", "is_tf32_supported",
                "list_gpu_processes", "memory_stats_as_nested_dict", "caching_allocator_enable"]  # fmt: skip
CUDA_NEEDS = ["current_blas_handle", "current_solver_handle", "cudart", "get_per_process_memory_fraction",
              "get_sync_debug_mode", "clock_rate", "device_memory_used", "memory_usage", "power_draw", "temperature",
              "utilization"]  # fmt: skip


@pytest.mark.skipif(flowtorch.cuda.is_available(), reason="there is a device")
@pytest.mark.parametrize("source", [
    *(f"torch.cuda.{name}()" for name in (*CUDA_ANSWERS, *CUDA_NEEDS)),
    "torch.cuda.set_sync_debug_mode('warn')", "torch.cuda.set_per_process_memory_fraction(0.5)",
    "torch.cuda.caching_allocator_alloc(10)", "torch.cuda.profiler.start()", "torch.cuda.nccl.is_available([])",
    "torch.mps.compile_shader('x')", "torch.mps.load_metallib('x')",
    "torch.backends.kleidiai.is_available()", "torch.backends.cusparselt.is_available()",
    "torch.backends.cusparselt.version()", "torch.backends.miopen.immediate", "torch.library.get_ctx()",
    "torch.compiler.skip_all_guards_unsafe([1, 2])", "torch.compiler.keep_tensor_guards_unsafe([])",
    "torch.compiler.skip_guard_on_all_nn_modules_unsafe([])", "torch.library.fallthrough_kernel()",
    "torch.sparse.to_sparse_semi_structured(torch.ones(64, 64, dtype=torch.half))",
])  # fmt: skip
def test_answers_without_a_device(source):
    expected, found = both(source, 15)
    assert found == expected


@pytest.mark.parametrize("name", [
    "CUDAPluggableAllocator", "MemPool", "caching_allocator_alloc", "caching_allocator_delete", "check_error",
    "caching_allocator_disabled", "change_current_allocator", "clock_rate", "cudart", "device_memory_used",
    "get_stream_from_external", "memory_snapshot", "memory_stats_as_nested_dict", "set_per_process_memory_fraction",
    "set_sync_debug_mode", "use_mem_pool", "utilization",
])  # fmt: skip
def test_parameters_of_cuda_functions(name):
    expected, found = (list(inspect.signature(getattr(t.cuda, name)).parameters) for t in (torch, flowtorch))
    assert found == expected


@pytest.mark.parametrize("call", [
    lambda cuda: cuda.MemPool(), lambda cuda: cuda.CUDAPluggableAllocator("a", "b", "c"),
    lambda cuda: cuda.change_current_allocator(None), lambda cuda: cuda.use_mem_pool(None),
])  # fmt: skip
def test_the_allocator_cannot_be_replaced(call):
    with pytest.raises(RuntimeError, match="CuPy's pool"):
        call(flowtorch.cuda)


def test_errors_of_the_runtime():
    flowtorch.cuda.check_error(0)
    with pytest.raises(flowtorch.cuda.CudaError, match="3"):
        flowtorch.cuda.check_error(3)


def operator(library, name, shape=None):
    """Return an operator that doubles, with a shape function."""

    def double(x):
        return x * 2

    double.__annotations__ = {"x": library.Tensor, "return": library.Tensor}
    double = library.library.custom_op(f"names::{name}", mutates_args=())(double)
    double.register_fake(shape or (lambda x: library.empty_like(x)))
    double.register_autograd(lambda ctx, g: g * 2)
    return double


def test_operators_are_checked_by_a_call():
    x = flowtorch.ones(3, requires_grad=True)
    found = flowtorch.library.opcheck(operator(flowtorch, "right"), (x,))
    assert found == torch.library.opcheck(operator(torch, "right"), (torch.ones(3, requires_grad=True),))
    wrong = operator(flowtorch, "wrong", lambda x: x.new_empty(7))
    with pytest.raises(Exception, match=r"shape function of names::wrong says \[7\]"):
        flowtorch.library.opcheck(wrong, (x,))
    found = flowtorch.library.opcheck(wrong, (x,), raise_exception=False)
    assert found["test_schema"] == "SUCCESS" != found["test_faketensor"]


def test_operators_that_write_into_their_input_are_found():
    @flowtorch.library.custom_op("names::writes", mutates_args=())
    def writes(x: flowtorch.Tensor) -> flowtorch.Tensor:
        return x.add_(1).clone()

    with pytest.raises(Exception, match="changes an input"):
        flowtorch.library.opcheck(writes, (flowtorch.ones(2),), test_utils="test_schema")


def test_operators_under_autocast():
    seen = []
    for library in (torch, flowtorch):
        double = operator(library, "cast")
        library.library.register_autocast(double, "cpu", library.bfloat16)
        with library.autocast("cpu"):
            inside = double(library.ones(2)).dtype
        seen.append((str(inside), str(double(library.ones(2)).dtype)))
    assert seen[0] == seen[1]


def test_the_kernel_of_an_operator():
    double = operator(flowtorch, "kernel")
    assert flowtorch.library.get_kernel(double, "CPU")(flowtorch.ones(2)).tolist() == [2, 2]


def test_settings_of_miopen_are_kept():
    from flowtorch.backends import miopen

    with miopen.flags(immediate=True):
        assert miopen.immediate
    assert not miopen.immediate
