"""Attention: masks, added keys, causality, weights; and the Transformer's layers."""

import warnings

import pytest
from both import error, program


def numbers(torch, *shape, shift=0.0):
    """Numbers that look random and are the same in both libraries."""
    count = 1
    for n in shape:
        count *= n
    return ((torch.arange(count, dtype=torch.float64) * 0.7 + shift).sin()).reshape(shape)


def projections(torch, **shapes):
    return [numbers(torch, *shape, shift=i).requires_grad_() for i, shape in enumerate(shapes.values())]


@pytest.mark.parametrize("need_weights", [True, False])
@pytest.mark.parametrize("masks", ["none", "padding", "attention", "both", "per head", "bool"])
@pytest.mark.parametrize("options", [{}, {"add_bias_kv": True, "add_zero_attn": True}], ids=str)
def test_masks(need_weights, masks, options):
    @program
    def compare(torch):
        layer = torch.nn.MultiheadAttention(4, 2, **options, dtype=torch.float64)
        query, memory = projections(torch, query=(3, 2, 4), memory=(5, 2, 4))
        padding = torch.tensor([[False] * 3 + [True] * 2, [False] * 5])
        given = {}
        if masks in ("padding", "both"):
            given["key_padding_mask"] = padding
        if masks in ("attention", "both"):
            given["attn_mask"] = numbers(torch, 3, 5).requires_grad_()
        if masks == "both":
            given["key_padding_mask"] = padding.double().masked_fill(padding, float("-inf"))
        if masks == "per head":
            given["attn_mask"] = numbers(torch, 4, 3, 5)
        if masks == "bool":
            given["attn_mask"] = torch.arange(15).reshape(3, 5) % 4 == 1
        for average in (True, False):
            output, weights = layer(
                query, memory, memory, need_weights=need_weights, average_attn_weights=average, **given
            )
            yield output, weights
            inputs = [query, memory, *layer.parameters()]
            if masks in ("attention", "both"):
                inputs.append(given["attn_mask"])
            yield torch.autograd.grad((output**2).sum(), inputs)

    compare()


@program
def test_causal_attention(torch):
    layer = torch.nn.MultiheadAttention(4, 2, batch_first=True, dtype=torch.float64)
    x = numbers(torch, 2, 3, 4)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(3, dtype=torch.float64)
    yield mask
    yield layer(x, x, x, attn_mask=mask, is_causal=True, need_weights=False)[0]
    yield layer(x, x, x, attn_mask=mask, is_causal=True)
    padding = torch.tensor([[False, False, True], [False, False, False]])
    padding = torch.zeros(2, 3, dtype=torch.float64).masked_fill(padding, float("-inf"))
    yield layer(x, x, x, attn_mask=mask, key_padding_mask=padding, is_causal=True, need_weights=False)[0]


@program
def test_rows_that_see_nothing(torch):
    query, key, value = projections(torch, query=(2, 3, 4), key=(2, 5, 4), value=(2, 5, 4))
    mask = torch.ones(3, 5, dtype=torch.bool)
    mask[1] = False
    attention = torch.nn.functional.scaled_dot_product_attention
    output = attention(query, key, value, mask)
    yield output
    yield torch.autograd.grad((output**2).sum(), [query, key, value])


@program
def test_scaled_dot_product_attention(torch):
    attention = torch.nn.functional.scaled_dot_product_attention
    query, key, value = projections(torch, query=(2, 4, 3, 6), key=(2, 4, 5, 6), value=(2, 4, 5, 2))
    extra = numbers(torch, 3, 5, shift=3.0).requires_grad_()
    for options in ({}, {"is_causal": True}, {"scale": 0.3}, {"attn_mask": extra}):
        output = attention(query, key, value, **options)
        yield output
        inputs = [query, key, value] + ([extra] if "attn_mask" in options else [])
        first = torch.autograd.grad((output**2).sum(), inputs, create_graph=True)
        yield first
        yield torch.autograd.grad(sum((g * g).sum() for g in first), inputs)
    yield attention(query, key[:, :2], value[:, :2], enable_gqa=True)
    yield attention(query[0, 0], key[0, 0], value[0, 0])
    torch.manual_seed(2)
    yield attention(query, key, value, dropout_p=0.5)


@program
def test_bad_attention(torch):
    attention = torch.nn.functional.scaled_dot_product_attention
    q, k = numbers(torch, 3, 4), numbers(torch, 5, 4)
    yield error(attention, q, k.float(), k)
    yield error(attention, q[0], k[0], k[0])
    yield error(attention, q, k, k, torch.ones(3, 5), is_causal=True)
    yield error(attention, q, k, k, torch.ones(3, 5, dtype=torch.int32))


@program
def test_static_keys_and_values(torch):
    function = torch.nn.functional.multi_head_attention_forward
    x = numbers(torch, 3, 2, 4)
    weight, bias = numbers(torch, 12, 4), numbers(torch, 12)
    out_weight, out_bias = numbers(torch, 4, 4, shift=1.0), numbers(torch, 4)
    common = (4, 2, weight, bias, None, None, False, 0.0, out_weight, out_bias)
    static = numbers(torch, 4, 6, 2, shift=2.0)
    yield function(x, x, x, *common, static_k=static, static_v=static * 2)
    yield error(function, x, x, x, *common, static_k=static[:3], static_v=static)


@pytest.mark.parametrize("options", [{}, {"norm_first": True}, {"batch_first": True}], ids=str)
def test_transformer(options):
    @program
    def compare(torch):
        model = torch.nn.Transformer(8, 2, 2, 1, 16, 0.0, **options, dtype=torch.float64)
        src, tgt = projections(torch, src=(3, 2, 8), tgt=(4, 2, 8))
        if options.get("batch_first"):
            src, tgt = src.transpose(0, 1), tgt.transpose(0, 1)
        causal = model.generate_square_subsequent_mask(4, dtype=torch.float64)
        padding = torch.tensor([[False, False, True], [False, False, False]])
        output = model(
            src, tgt, tgt_mask=causal, src_key_padding_mask=padding, memory_key_padding_mask=padding
        )
        yield output
        yield torch.autograd.grad((output**2).sum(), list(model.parameters()))
        yield list(model.state_dict())

    compare()


@pytest.mark.parametrize("training", [True, False])
def test_an_encoder_leaves_padding_out_in_inference(training):
    @program
    def compare(torch):
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True, dtype=torch.float64)
        encoder = torch.nn.TransformerEncoder(layer, 2).train(training)
        x = numbers(torch, 2, 4, 8)
        padding = torch.tensor([[False, False, True, True], [False, False, False, True]])
        yield encoder(x, src_key_padding_mask=padding)
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch calls its nested tensors a prototype
            results = [encoder(x, src_key_padding_mask=padding)]
            results.append(encoder(x, src_key_padding_mask=padding.flip(1)))
            results.append(encoder(x))
        yield results
        torch.backends.mha.set_fastpath_enabled(False)
        with torch.no_grad():
            yield encoder(x, src_key_padding_mask=padding)
        torch.backends.mha.set_fastpath_enabled(True)

    compare()


@program
def test_an_encoder_says_why_it_keeps_padding(torch):
    layer = torch.nn.TransformerEncoderLayer(8, 2, 16)
    encoder = torch.nn.TransformerEncoder(layer, 1)
    yield encoder.use_nested_tensor, encoder.enable_nested_tensor


@program
def test_masks_of_different_kinds_warn(torch):
    layer = torch.nn.MultiheadAttention(4, 2)
    x = torch.ones(3, 1, 4)
    yield layer(x, x, x, key_padding_mask=torch.zeros(1, 3, dtype=torch.bool), attn_mask=torch.zeros(3, 3))[0]


@program
def test_dropout_in_the_layers_draws_torchs_numbers(torch):
    x = torch.ones(2, 3, 8)
    for options in ({}, {"batch_first": True}, {"norm_first": True, "batch_first": True}):
        layer = torch.nn.TransformerEncoderLayer(8, 2, 16, 0.3, **options)
        torch.manual_seed(4)
        yield layer(x)
        layer = torch.nn.TransformerDecoderLayer(8, 2, 16, 0.3, **options)
        torch.manual_seed(4)
        yield layer(x, x + 1)


@program
def test_dropout_in_low_precision_is_rounded_once(torch):
    attention = torch.nn.functional.scaled_dot_product_attention
    for dtype in (torch.bfloat16, torch.float16):
        q, k, v = (numbers(torch, 2, 2, 5, 8, shift=i).mul(3).to(dtype) for i in range(3))
        visible = torch.tensor([True, True, False, True, True]).expand(5, 5)
        for mask in (None, visible, numbers(torch, 5, 5).to(dtype)):
            torch.manual_seed(7)
            mixed = attention(q, k, v, mask, dropout_p=0.3)
            torch.manual_seed(7)
            wide = mask.float() if mask is not None and mask.dtype is dtype else mask
            single = attention(q.float(), k.float(), v.float(), wide, dropout_p=0.3)
            yield mixed, torch.equal(mixed, single.to(dtype))
