"""x-transformers: decoder with rotary positions, encoder with variants, autoregressive wrapper, a few steps."""

import torch
from common import digest, fixed, gradients, report, train, wave
from x_transformers import (
    AutoregressiveWrapper,
    CrossAttender,
    Decoder,
    Encoder,
    TransformerWrapper,
    ViTransformerWrapper,
)

torch.manual_seed(0)
results = {}
ids = (torch.arange(32).reshape(2, 16) * 5 + 2) % 64
for name, options in {
    "rotary": {"rotary_pos_emb": True, "ff_glu": True},
    "alibi": {"alibi_pos_bias": True, "use_rmsnorm": True},
    "t5": {"rel_pos_bias": True, "attn_one_kv_head": True},
    "sandwich": {"sandwich_norm": True, "attn_qk_norm": True},
    "gate": {"attn_gate_values": True, "macaron": True, "ff_swish": True},
}.items():
    torch.manual_seed(0)
    layers = Decoder(dim=32, depth=2, heads=2, attn_dim_head=16, **options)
    model = fixed(TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=layers))
    logits = model(ids)
    loss = torch.nn.functional.cross_entropy(logits[:, :-1].transpose(1, 2), ids[:, 1:])
    loss.backward()
    results[name] = {"logits": digest(logits), "loss": loss.item(), "gradients": gradients(model)}
encoder = fixed(Encoder(dim=32, depth=1, heads=2))
cross = fixed(CrossAttender(dim=32, depth=1, heads=2))
context = encoder(wave(2, 8, 32), mask=torch.arange(8) < torch.tensor([[8], [5]]))
results["cross"] = digest(cross(wave(2, 4, 32), context=context))
vit = fixed(
    ViTransformerWrapper(image_size=16, patch_size=8, num_classes=5, attn_layers=Encoder(dim=32, depth=1, heads=2))
)
results["vit"] = vit(wave(2, 3, 16, 16)).tolist()
torch.manual_seed(0)
lm = AutoregressiveWrapper(
    TransformerWrapper(num_tokens=64, max_seq_len=32, attn_layers=Decoder(dim=32, depth=2, heads=2))
)
fixed(lm)
results["losses"] = train(lm, lambda: lm(ids))
results["greedy"] = lm.generate(ids[:, :4], 8, temperature=0.0).tolist()
report(**results)
