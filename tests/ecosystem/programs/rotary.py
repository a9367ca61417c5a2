"""rotary-embedding-torch: rotations in every mode."""

import torch
from common import digest, report, wave
from rotary_embedding_torch import RotaryEmbedding, apply_rotary_emb, broadcat

results = {}
q, k = wave(1, 2, 12, 16), wave(1, 2, 12, 16, step=0.11)
for name, options in {
    "plain": {}, "xpos": {"use_xpos": True}, "pixel": {"freqs_for": "pixel", "max_freq": 10},
    "interpolated": {"interpolate_factor": 2.0}, "learned": {"learned_freq": True}, "theta": {"theta_rescale_factor": 2.0},
}.items():  # fmt: skip
    torch.manual_seed(0)
    rotary = RotaryEmbedding(dim=8, **options)
    if name == "xpos":
        a, b = rotary.rotate_queries_and_keys(q, k)
    else:
        a, b = rotary.rotate_queries_or_keys(q), rotary.rotate_queries_or_keys(k, offset=3)
    results[name] = [digest(a), digest(b)]
    if name == "learned":
        (a * b).sum().backward()
        results["gradient"] = rotary.freqs.grad.tolist()
axial = RotaryEmbedding(dim=4, freqs_for="pixel", max_freq=10)
freqs = axial.get_axial_freqs(4, 6)
results["axial"] = digest(apply_rotary_emb(freqs, wave(1, 4, 6, 8)))
cached = RotaryEmbedding(dim=8)
results["cached"] = [digest(x) for x in cached.rotate_queries_with_cached_keys(q[:, :, -1:], k)]
results["broadcat"] = digest(broadcat((wave(2, 1, 3), wave(1, 4, 3)), dim=-1))
report(**results)
