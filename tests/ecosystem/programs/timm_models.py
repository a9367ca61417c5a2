"""timm: forward and backward of five architectures with fixed weights."""

import timm
import torch
from common import digest, fixed, gradients, report, wave

results = {}
for name, size in [
    ("resnet18", 64),
    ("mobilenetv3_small_100", 64),
    ("convnext_atto", 64),
    ("vit_tiny_patch16_224", 224),
    ("efficientnet_lite0", 64),
]:
    torch.manual_seed(0)
    model = fixed(timm.create_model(name, pretrained=False, num_classes=10))
    model.eval()
    x = wave(2, 3, size, size)
    with torch.no_grad():
        logits = model(x)
        features = model.forward_features(x)
    loss = torch.nn.functional.cross_entropy(model(x), torch.tensor([1, 7]))
    loss.backward()
    grads = gradients(model)
    results[name] = {
        "logits": logits.tolist(), "features": digest(features), "loss": loss.item(), "parameters": len(grads),
        "gradients": grads[:3] + grads[-3:], "gradient": sum(g * g for g in grads) ** 0.5,
    }  # fmt: skip
report(**results)
