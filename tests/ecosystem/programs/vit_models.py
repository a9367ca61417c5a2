"""vit-pytorch: several vision transformers, forward, backward and a few steps."""

import torch
from common import digest, fixed, gradients, report, train, wave
from vit_pytorch import SimpleViT, ViT
from vit_pytorch.cait import CaiT
from vit_pytorch.cct import CCT
from vit_pytorch.deepvit import DeepViT
from vit_pytorch.na_vit import NaViT
from vit_pytorch.pit import PiT
from vit_pytorch.t2t import T2TViT

results = {}
common = {"image_size": 32, "patch_size": 8, "num_classes": 10, "dim": 32, "heads": 2, "mlp_dim": 64}
labels = torch.tensor([1, 7])
for name, make in {
    "vit": lambda: ViT(**common, depth=2),
    "simple": lambda: SimpleViT(**common, depth=2),
    "deep": lambda: DeepViT(**common, depth=2),
    "cait": lambda: CaiT(**common, depth=2, cls_depth=1),
    "pit": lambda: PiT(**{**common, "patch_size": 4}, depth=(1, 1)),
    "t2t": lambda: T2TViT(dim=32, image_size=32, depth=1, heads=2, mlp_dim=64, num_classes=10),
    "cct": lambda: CCT(
        img_size=32, embedding_dim=32, n_conv_layers=1, num_layers=1, num_heads=2, mlp_ratio=2.0, num_classes=10
    ),
}.items():
    torch.manual_seed(0)
    model = fixed(make()).eval()
    x = wave(2, 3, 32, 32)
    logits = model(x)
    torch.nn.functional.cross_entropy(logits, labels).backward()
    results[name] = {"logits": logits.tolist(), "gradients": gradients(model)}
torch.manual_seed(0)
model = fixed(ViT(**common, depth=2, dropout=0.1, emb_dropout=0.1))
x = wave(2, 3, 32, 32)
results["losses"] = train(model, lambda: torch.nn.functional.cross_entropy(model(x), labels))
torch.manual_seed(0)
navit = fixed(NaViT(**common, depth=1, token_dropout_prob=0.0))
navit.eval()
images = [[wave(3, 32, 32), wave(3, 16, 16)], [wave(3, 16, 32)]]
results["navit"] = digest(navit(images))
report(**results)
