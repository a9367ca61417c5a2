"""The switches of torch.backends hold what is set."""

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
