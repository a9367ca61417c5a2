"""Train a variational autoencoder on handwritten digits, then let it draw.

python examples/vae.py                            # with PyTorch
python -m flowtorch run examples/vae.py           # the same file, without it
"""

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from common import DATA, Progress, begin, parser, which

SHADES = " .:-=+*#%@"


class VAE(nn.Module):
    def __init__(self, pixels=784, hidden=256, latent=8):
        super().__init__()
        self.latent = latent
        self.encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, pixels))

    def forward(self, x):
        mean, log_var = self.encoder(x).chunk(2, dim=-1)
        z = mean + torch.exp(0.5 * log_var) * torch.randn_like(mean)
        return self.decoder(z), mean, log_var


def evidence_bound(logits, x, mean, log_var):
    """Return the negative bound: the error of the picture plus the distance of the code from the prior."""
    error = F.binary_cross_entropy_with_logits(logits, x, reduction="sum")
    distance = -0.5 * torch.sum(1 + log_var - mean.pow(2) - log_var.exp())
    return (error + distance) / len(x)


def draw(images):
    """Print pictures side by side, two pixels of the height to a line."""
    rows = images.clamp(0, 1).view(-1, 14, 2, 28).mean(dim=2)
    shade = (rows * (len(SHADES) - 1)).round().long()
    for y in range(shade.shape[1]):
        print(" ".join("".join(SHADES[s] for s in picture[y].tolist()) for picture in shade))


def main():
    p = parser(__doc__.splitlines()[0], steps=1500)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=2e-3)
    p.add_argument("--sample", type=int, default=4, help="digits to draw at the end")
    args = begin(p)

    with np.load(DATA / "mnist_3k.npz") as file:
        images = torch.from_numpy(file["train_images"]).flatten(1).to(torch.get_default_dtype()) / 255
    model = VAE()
    optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    print(f"{which()}: {len(images)} images, {sum(q.numel() for q in model.parameters()):,} parameters")

    progress = Progress(args)
    for step in range(args.steps):
        at = step * args.batch % len(images)
        if at < args.batch:
            order = torch.randperm(len(images))
        x = images[order[at : at + args.batch]]
        logits, mean, log_var = model(x)
        loss = evidence_bound(logits, x, mean, log_var)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        progress.step(loss.item())
    progress.close()

    if args.sample:
        model.eval()
        with torch.no_grad():
            print("\ndigits it has seen, and what it keeps of them")
            draw(images[: args.sample])
            draw(torch.sigmoid(model.decoder(model.encoder(images[: args.sample]).chunk(2, dim=-1)[0])))
            print("digits it makes up")
            draw(torch.sigmoid(model.decoder(torch.randn(args.sample, model.latent))))


if __name__ == "__main__":
    main()
