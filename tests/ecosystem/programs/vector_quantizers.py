"""vector-quantize-pytorch: codebooks of several kinds, forward, backward and a few steps."""

import torch
from common import digest, fixed, report, train, wave
from vector_quantize_pytorch import (
    FSQ,
    LFQ,
    LatentQuantize,
    RandomProjectionQuantizer,
    ResidualFSQ,
    ResidualVQ,
    SimVQ,
    VectorQuantize,
)

results = {}
x = wave(2, 24, 16)
for name, make in {
    "ema": lambda: VectorQuantize(dim=16, codebook_size=12, decay=0.8),
    "cosine": lambda: VectorQuantize(dim=16, codebook_size=12, use_cosine_sim=True, codebook_dim=8),
    "learned": lambda: VectorQuantize(dim=16, codebook_size=12, learnable_codebook=True, ema_update=False),
    "heads": lambda: VectorQuantize(dim=16, codebook_size=12, heads=2, codebook_dim=8, separate_codebook_per_head=True),
    "kmeans": lambda: VectorQuantize(dim=16, codebook_size=6, kmeans_init=True, kmeans_iters=3),
    "rotation": lambda: VectorQuantize(dim=16, codebook_size=12, rotation_trick=True),
    "residual": lambda: ResidualVQ(dim=16, num_quantizers=3, codebook_size=12),
    "sim": lambda: SimVQ(dim=16, codebook_size=12),
}.items():
    torch.manual_seed(0)
    quantizer = make()
    inputs = x.clone().requires_grad_()
    rows = []
    for _ in range(3):
        quantized, indices, loss = quantizer(inputs)
        (quantized.square().mean() + loss.sum()).backward()
        rows.append({"quantized": digest(quantized), "indices": indices.tolist(), "loss": loss.reshape(-1).tolist()})
    results[name] = {"steps": rows, "gradient": digest(inputs.grad)}
torch.manual_seed(0)
quantized, indices = FSQ([8, 5, 5, 5])(wave(2, 10, 4))
results["fsq"] = {"quantized": digest(quantized), "indices": indices.tolist()}
quantized, indices = ResidualFSQ(dim=16, levels=[5, 5, 3], num_quantizers=2)(x)
results["residual fsq"] = {"quantized": digest(quantized), "indices": indices.tolist()}
quantized, indices, loss = LFQ(codebook_size=16, dim=16)(wave(1, 16, 4, 4))
results["lfq"] = {"quantized": digest(quantized), "indices": indices.tolist(), "loss": loss.item()}
quantized, indices, loss = LatentQuantize(levels=[5, 5, 8], dim=9)(wave(1, 9, 3, 3))
results["latent"] = {"quantized": digest(quantized), "indices": indices.tolist(), "loss": loss.item()}
torch.manual_seed(0)
projector = RandomProjectionQuantizer(dim=16, num_codebooks=3, codebook_dim=8, codebook_size=32)
results["projection"] = projector(x).tolist()
torch.manual_seed(0)
encoder, decoder = fixed(torch.nn.Linear(16, 16)), fixed(torch.nn.Linear(16, 16))
vq = VectorQuantize(dim=16, codebook_size=12)
model = torch.nn.ModuleList([encoder, vq, decoder])


def step():
    z, _, commit = vq(encoder(x))
    return (decoder(z) - x).square().mean() + commit.sum()


results["losses"] = train(model, step, count=6, lr=1e-2)
report(**results)
