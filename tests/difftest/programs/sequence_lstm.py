"""Next-token prediction by an LSTM over padded sequences, with RMSprop."""

import sys

import torch
from torch import nn

torch.manual_seed(int(sys.argv[1]) if len(sys.argv) > 1 else 0)


class Tagger(nn.Module):
    def __init__(self, tokens=11, width=6, hidden=7):
        super().__init__()
        self.embedding = nn.Embedding(tokens, width, padding_idx=0)
        self.lstm = nn.LSTM(width, hidden, num_layers=2, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, tokens)

    def forward(self, tokens, lengths):
        packed = nn.utils.rnn.pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True)
        hidden, _ = self.lstm(packed)
        hidden, _ = nn.utils.rnn.pad_packed_sequence(hidden, batch_first=True)
        return self.out(hidden)


model = Tagger()
optimizer = torch.optim.RMSprop(model.parameters(), lr=0.01, alpha=0.9, centered=True)
lengths = torch.tensor([7, 5, 3])
tokens = torch.randint(1, 11, (3, 7))
tokens[torch.arange(7)[None, :] >= lengths[:, None]] = 0
target = torch.roll(tokens, -1, 1)
for _ in range(3):
    logits = model(tokens, lengths)
    loss = nn.functional.cross_entropy(logits.transpose(1, 2), target, ignore_index=0)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
print(float(loss))
