"""A language model whose embedding is its output layer too, with a mask, gradient accumulation and Adam."""

import math
import sys

import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)


class Tied(nn.Module):
    def __init__(self, tokens=13, width=12):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width)
        self.attention = nn.MultiheadAttention(width, 3, batch_first=True)
        self.norm = nn.LayerNorm(width)
        self.out = nn.Linear(width, tokens, bias=False)
        self.out.weight = self.embedding.weight

    def forward(self, tokens):
        x = self.embedding(tokens) * math.sqrt(self.embedding.embedding_dim)
        x = x + torch.sin(torch.arange(tokens.shape[1]))[None, :, None]
        mask = torch.ones(tokens.shape[1], tokens.shape[1], dtype=torch.bool).triu(1)
        mixed, _ = self.attention(x, x, x, attn_mask=mask, need_weights=False)
        return self.out(self.norm(x + mixed))


model = Tied()
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
data = torch.randint(0, 13, (4, 9))
for _ in range(2):
    optimizer.zero_grad()
    for part in data.split(2):
        logits = model(part[:, :-1])
        loss = F.cross_entropy(logits.reshape(-1, 13), part[:, 1:].reshape(-1)) / 2
        loss.backward()
    optimizer.step()
print(float(loss))
