"""Train a small GPT on the characters of a Shakespeare play, then let it write.

python examples/char_gpt.py                       # with PyTorch
python -m flowtorch run examples/char_gpt.py      # the same file, without it
"""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F
from common import DATA, Progress, begin, parser, which
from torch.optim.lr_scheduler import CosineAnnealingLR, LinearLR, SequentialLR


class CausalSelfAttention(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x):
        batch, time, width = x.shape
        q, k, v = (
            part.view(batch, time, self.heads, width // self.heads).transpose(1, 2)
            for part in self.qkv(x).split(width, dim=2)
        )
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(y.transpose(1, 2).contiguous().view(batch, time, width))


class Block(nn.Module):
    def __init__(self, width, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = CausalSelfAttention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, x):
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class GPT(nn.Module):
    def __init__(self, symbols, context, width, heads, layers):
        super().__init__()
        self.context = context
        self.token = nn.Embedding(symbols, width)
        self.position = nn.Embedding(context, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, symbols, bias=False)
        self.head.weight = self.token.weight
        self.apply(self._init)
        for name, p in self.named_parameters():
            if name.endswith(("proj.weight", "mlp.2.weight")):
                nn.init.normal_(p, std=0.02 / math.sqrt(2 * layers))

    @staticmethod
    def _init(module):
        if isinstance(module, (nn.Linear, nn.Embedding)):
            nn.init.normal_(module.weight, std=0.02)
            if getattr(module, "bias", None) is not None:
                nn.init.zeros_(module.bias)

    def forward(self, index, target=None):
        x = self.token(index) + self.position(torch.arange(index.shape[1], device=index.device))
        for block in self.blocks:
            x = block(x)
        logits = self.head(self.norm(x))
        if target is None:
            return logits, None
        return logits, F.cross_entropy(logits.view(-1, logits.shape[-1]), target.view(-1))

    @torch.no_grad()
    def write(self, index, temperature=0.8):
        """Yield one new symbol after another."""
        while True:
            logits, _ = self(index[:, -self.context :])
            probabilities = F.softmax(logits[:, -1, :] / temperature, dim=-1)
            symbol = torch.multinomial(probabilities, num_samples=1)
            yield symbol.item()
            index = torch.cat((index, symbol), dim=1)


def main():
    p = parser(__doc__.splitlines()[0], steps=400)
    p.add_argument("--layers", type=int, default=4)
    p.add_argument("--heads", type=int, default=4)
    p.add_argument("--width", type=int, default=128)
    p.add_argument("--context", type=int, default=64)
    p.add_argument("--batch", type=int, default=16)
    p.add_argument("--lr", type=float, default=3e-3)
    p.add_argument("--sample", type=int, default=400, help="characters to write at the end")
    args = begin(p)

    text = (DATA / "as_you_like_it.txt").read_text()
    symbols = sorted(set(text))
    code = {s: i for i, s in enumerate(symbols)}
    data = torch.tensor([code[s] for s in text], dtype=torch.long)
    split = int(0.95 * len(data))
    train, held_out = data[:split], data[split:]

    def batch(source):
        start = torch.randint(len(source) - args.context, (args.batch,))
        x = torch.stack([source[i : i + args.context] for i in start])
        y = torch.stack([source[i + 1 : i + 1 + args.context] for i in start])
        return x, y

    model = GPT(len(symbols), args.context, args.width, args.heads, args.layers)
    decay = [q for q in model.parameters() if q.dim() >= 2]
    plain = [q for q in model.parameters() if q.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.1}, {"params": plain, "weight_decay": 0.0}],
        lr=args.lr,
        betas=(0.9, 0.99),
    )
    warmup = 20
    rise = LinearLR(optimizer, start_factor=0.05, total_iters=warmup)
    fall = CosineAnnealingLR(optimizer, max(args.steps - warmup, 1), eta_min=args.lr / 10)
    schedule = SequentialLR(optimizer, [rise, fall], milestones=[warmup])
    count = sum(q.numel() for q in model.parameters())
    print(f"{which()}: {count:,} parameters, {len(text):,} characters of {len(symbols)} kinds")

    progress = Progress(args)
    for _ in range(args.steps):
        _, loss = model(*batch(train))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        progress.step(loss.item())
    progress.close()

    if args.sample:
        model.eval()
        with torch.no_grad():
            loss = sum(model(*batch(held_out))[1].item() for _ in range(10)) / 10
        print(f"\nloss on text it has not seen: {loss:.4f}\n\n--- it writes ---")
        writer = model.write(torch.tensor([[code["\n"]]]))
        for _ in range(args.sample):
            print(symbols[next(writer)], end="", flush=True)
        print()


if __name__ == "__main__":
    main()
