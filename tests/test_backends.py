"""The switches of torch.backends hold what is set; those about TensorFloat-32 as PyTorch's do."""

import pytest
import torch as reference

import flowtorch as torch


def test_flags_hold_for_a_block():
    cudnn = torch.backends.cudnn
    cudnn.benchmark = True
    with cudnn.flags(enabled=False, deterministic=True):
        assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (False, False, True)
    assert (cudnn.enabled, cudnn.benchmark, cudnn.deterministic) == (True, True, False)
    assert cudnn.set_flags(_benchmark=False) == (True, True, 10, False, True, "none")
    assert cudnn.benchmark is False


def test_kinds_of_attention_are_allowed_and_not():
    cuda = torch.backends.cuda
    with cuda.sdp_kernel(enable_flash=False, enable_mem_efficient=False):
        assert not cuda.flash_sdp_enabled() and not cuda.mem_efficient_sdp_enabled()
        assert cuda.math_sdp_enabled()
    assert cuda.flash_sdp_enabled() and cuda.mem_efficient_sdp_enabled()


def test_what_is_not_there():
    backends = torch.backends
    assert not backends.mps.is_available() and not backends.mps.is_built()
    assert not backends.cudnn.is_available() and backends.cudnn.version() is None
    assert backends.cpu.get_cpu_capability() in ("DEFAULT", "AVX2", "AVX512")
    backends.cuda.matmul.allow_tf32 = True
    assert backends.cuda.matmul.allow_tf32
    backends.cuda.matmul.allow_tf32 = False


TENSORFLOAT = (
    "t.set_float32_matmul_precision('high')", "t.set_float32_matmul_precision('medium')",
    "t.set_float32_matmul_precision('highest')", "t.backends.cuda.matmul.allow_tf32 = True",
    "t.backends.cuda.matmul.allow_tf32 = False", "t.backends.cuda.matmul.fp32_precision = 'ieee'",
    "t.backends.cuda.matmul.fp32_precision = 'none'",
    "t.backends.cudnn.conv.fp32_precision = 'tf32'",
)  # fmt: skip


@pytest.fixture
def precisions():
    yield
    for library in (torch, reference):
        library.backends.cuda.matmul.fp32_precision = "none"
        library.backends.cudnn.conv.fp32_precision = "tf32"
        library.backends.cudnn.allow_tf32 = True


@pytest.mark.parametrize("statement", TENSORFLOAT)
def test_every_way_to_allow_tensorfloat_sets_the_same_switch(statement, precisions):
    states = []
    for library in (torch, reference):
        exec(statement, {"t": library})
        matmul = library.backends.cuda.matmul
        states.append((library.get_float32_matmul_precision(), matmul.allow_tf32, matmul.fp32_precision,
                       library.backends.cudnn.conv.fp32_precision))  # fmt: skip
    assert states[0] == states[1]


def test_the_precision_of_products_is_inherited_and_checked(precisions):
    torch.backends.fp32_precision = "tf32"
    try:
        assert torch.backends.cuda.matmul.allow_tf32
        torch.backends.cuda.matmul.fp32_precision = "ieee"
        assert not torch.backends.cuda.matmul.allow_tf32
    finally:
        torch.backends.fp32_precision = "none"
    torch.backends.cudnn.allow_tf32 = False
    assert torch.backends.cudnn.conv.fp32_precision == "ieee"
    for layer in (torch.backends.cuda.matmul, torch.backends.cudnn.conv):
        with pytest.raises(RuntimeError, match="Unknown precision"):
            layer.fp32_precision = "half"
