"""Attention with scores and masks of one's own, and the choice of kernels."""

import pytest
import torch as real
import torch.nn.attention.flex_attention  # not loaded by torch itself
from both import error, program


@pytest.fixture(autouse=True)
def without_a_compiler(monkeypatch):
    monkeypatch.setattr(real.nn.attention.flex_attention, "_FLEX_ATTENTION_DISABLE_COMPILE_DEBUG", True)


def causal(b, h, q, kv):
    return q >= kv


def inputs(torch, batch=2, heads=4, queries=5, keys=7, key_heads=None):
    sizes = [(heads, queries), (key_heads or heads, keys), (key_heads or heads, keys)]
    return [torch.randn(batch, h, n, 8) for h, n in sizes]


@program
def test_scores_of_ones_own(torch):
    flex = torch.nn.attention.flex_attention
    q, k, v = inputs(torch)
    bias, documents = torch.randn(4, 5, 7), torch.tensor([0, 0, 1, 1, 1, 2, 2])
    mods = [
        None,
        lambda score, b, h, i, j: score + bias[h, i, j],
        lambda score, b, h, i, j: score * (h + 1) - (i - j).abs() * 0.5,
        lambda score, b, h, i, j: torch.where(documents[i] == documents[j], score, -float("inf")),
        lambda score, b, h, i, j: torch.where(i >= 2, score, -float("inf")),
    ]
    for mod in mods:
        yield flex.flex_attention(q, k, v, mod), flex.flex_attention(q, k, v, mod, scale=0.5)
    out, aux = flex.flex_attention(q, k, v, mods[1], return_aux=flex.AuxRequest(lse=True))
    yield out, aux.lse, aux.max_scores, flex.flex_attention(q, k, v, return_aux=flex.AuxRequest())[1]
    q, k, v = inputs(torch, key_heads=2)
    yield (
        flex.flex_attention(q, k, v, enable_gqa=True),
        flex.flex_attention(q.double(), k.double(), v.double(), enable_gqa=True),
    )


@program
def test_block_masks(torch):
    flex = torch.nn.attention.flex_attention
    window = flex.and_masks(causal, lambda b, h, q, kv: q - kv < 60)
    edges = flex.or_masks(window, lambda b, h, q, kv: kv == h * 10)
    for mod, batch, heads in ((causal, None, None), (window, 2, None), (edges, None, 3), (flex.noop_mask, 1, 1)):
        for size in (32, (16, 64)):
            mask = flex.create_block_mask(mod, batch, heads, 200, 300, device="cpu", BLOCK_SIZE=size)
            yield mask.shape, mask.numel(), round(mask.sparsity(), 6), mask.BLOCK_SIZE, mask.seq_lengths
            yield mask.kv_num_blocks, mask.kv_indices, mask.full_kv_num_blocks, mask.full_kv_indices
            yield mask.q_num_blocks, mask.q_indices, mask.full_q_num_blocks, mask.full_q_indices
            yield mask.to_dense(), str(mask), repr(mask), mask.to_string(limit=1), mask.to_string((3, 4))
            part = mask[0, :, 1:3]
            yield part.kv_num_blocks, part.kv_indices, part.q_indices, part.shape
    square = flex.create_block_mask(window, None, None, 200, 200, device="cpu", BLOCK_SIZE=32)
    yield square._adjust(100, 100).to_dense(), square._adjust(100, 100).shape
    whole = flex.create_block_mask(causal, None, None, 64, 64, "cpu", 32, separate_full_blocks=False)
    yield whole.kv_num_blocks, whole.full_kv_num_blocks, repr(whole), whole.to("cpu").to_dense()


@program
def test_masks(torch):
    flex = torch.nn.attention.flex_attention
    yield flex.create_mask(causal, 2, None, 4, 5, device="cpu"), flex.create_mask(flex.noop_mask, None, 2, 2, 2, "cpu")
    yield flex.create_mask(lambda s, b, h, q, kv: torch.where(q >= kv, s, -float("inf")), 1, 1, 3, 3, "cpu")
    yield error(flex.create_mask, lambda q, kv: q, 1, 1, 2, 2, "cpu"), error(flex.and_masks, 3)
    yield error(flex.create_block_mask, lambda s, b, h, q, kv: s, 1, 1, 2, 2, "cpu")[0]


@program
def test_attention_with_block_masks(torch):
    flex = torch.nn.attention.flex_attention
    q, k, v = inputs(torch, queries=20, keys=20)
    for mod in (causal, lambda b, h, i, j: (i % 2 == 0) & (j > h)):
        mask = flex.create_block_mask(mod, None, 4, 20, 20, device="cpu", BLOCK_SIZE=8)
        yield flex.flex_attention(q, k, v, block_mask=mask)
        yield flex.flex_attention(q, k, v, lambda s, b, h, i, j: s + b - h, mask)
    later = mask[:, :, 1:2]
    later.seq_lengths = (8, 20)
    yield error(flex.flex_attention, q[:, :, 8:16], k, v, block_mask=later)[0]
    later.mask_mod = lambda b, h, i, j: mask.mask_mod(b, h, i + 8, j)
    yield flex.flex_attention(q[:, :, 8:16], k, v, block_mask=later)
    one = k[:1], v[:1]
    full = flex.create_block_mask(causal, 2, None, 20, 20, device="cpu", BLOCK_SIZE=8)
    yield flex.flex_attention(q, *one, block_mask=full)


@program
def test_what_flex_attention_refuses(torch):
    flex = torch.nn.attention.flex_attention
    q, k, v = inputs(torch)
    mask = flex.create_block_mask(causal, None, None, 6, 7, device="cpu")
    other = flex.create_block_mask(causal, None, None, 4, 7, device="cpu")
    yield error(flex.flex_attention, q[0], k[0], v[0])[0], error(flex.flex_attention, q[..., :4], k, v)
    yield error(flex.flex_attention, q, k[:, :2], v[:, :2]), error(flex.flex_attention, q[:1], k, v)
    yield error(flex.flex_attention, q[:, :3], k[:, :2], v[:, :2], enable_gqa=True)
    yield error(flex.flex_attention, q, k, v, block_mask=mask)[0], error(flex.flex_attention, q, k, v, block_mask=other)
    yield error(flex.flex_attention, q, k, v, return_lse=True, return_aux=flex.AuxRequest())
    yield error(flex.BlockMask.from_kv_blocks, torch.ones(1), torch.ones(1))


@program
def test_choosing_kernels(torch):
    attention, functional = torch.nn.attention, torch.nn.functional
    kinds, q = attention.SDPBackend, inputs(torch)[0]
    yield repr(kinds.MATH), str(kinds.FLASH_ATTENTION), int(kinds.CUDNN_ATTENTION), kinds(2).name, kinds.ERROR.value
    for chosen in (kinds.MATH, [kinds.FLASH_ATTENTION, kinds.MATH]):
        with attention.sdpa_kernel(chosen):
            yield sorted(map(str, attention._cur_sdpa_kernel_backends()))
            yield functional.scaled_dot_product_attention(q, q, q)
    with attention.sdpa_kernel([kinds.MATH, kinds.CUDNN_ATTENTION], set_priority=True):
        yield list(map(str, attention._cur_sdpa_kernel_backends(with_priority=True)))
    yield len(attention._cur_sdpa_kernel_backends()), error(attention.sdpa_kernel("x").__enter__)
    yield error(attention.activate_flash_attention_impl, "nothing")[0], attention.current_flash_attention_impl()


def test_gradients_of_flex_attention():
    import flowtorch

    flex = flowtorch.nn.attention.flex_attention
    q, k, v = (t.double().requires_grad_() for t in inputs(flowtorch, 1, 2, 4, 4))
    mask = flex.create_block_mask(causal, None, None, 4, 4)
    flex.flex_attention(q, k, v, block_mask=mask).sum().backward()
    ours = [t.grad.numpy().copy() for t in (q, k, v)]
    theirs = [real.tensor(t.detach().numpy(), requires_grad=True) for t in (q, k, v)]
    real.nn.functional.scaled_dot_product_attention(*theirs, is_causal=True).sum().backward()
    for got, expected in zip(ours, theirs, strict=True):
        assert abs(got - expected.grad.numpy()).max() < 1e-12
    request = flex.AuxRequest(max_scores=True)
    largest = flex.flex_attention(q, k, v, return_aux=request)[1].max_scores
    assert (largest - ((q @ k.mT) / 8**0.5).amax(-1)).abs().max() < 1e-12
