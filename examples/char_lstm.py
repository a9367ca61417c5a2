"""Train an LSTM to spell first names, one character after another, then let it invent some.

python examples/char_lstm.py                      # with PyTorch
python -m flowtorch run examples/char_lstm.py     # the same file, without it
"""

import torch
import torch.nn as nn
import torch.nn.functional as F
from common import DATA, Progress, begin, parser, which
from torch.nn.utils.rnn import pad_sequence

END = 0  # stands before and after every name; letters are 1 to 26
NONE = -100  # padding, which the loss leaves out


class Speller(nn.Module):
    def __init__(self, symbols=27, embedding=24, hidden=96, layers=2):
        super().__init__()
        self.embedding = nn.Embedding(symbols, embedding)
        self.lstm = nn.LSTM(embedding, hidden, num_layers=layers, batch_first=True)
        self.head = nn.Linear(hidden, symbols)

    def forward(self, index, state=None):
        out, state = self.lstm(self.embedding(index), state)
        return self.head(out), state

    @torch.no_grad()
    def invent(self, longest=14):
        symbol, state, letters = torch.tensor([[END]]), None, []
        while len(letters) < longest:
            logits, state = self(symbol, state)
            symbol = torch.multinomial(F.softmax(logits[:, -1], dim=-1), 1)
            if symbol.item() == END:
                break
            letters.append(chr(ord("a") + symbol.item() - 1))
        return "".join(letters).capitalize()


def main():
    p = parser(__doc__.splitlines()[0], steps=600)
    p.add_argument("--batch", type=int, default=64)
    p.add_argument("--lr", type=float, default=4e-3)
    p.add_argument("--sample", type=int, default=12, help="names to invent at the end")
    args = begin(p)

    names = (DATA / "names.txt").read_text().split()
    coded = [torch.tensor([END, *(ord(c) - ord("a") + 1 for c in name), END]) for name in names]
    model = Speller()
    optimizer = torch.optim.RMSprop(model.parameters(), lr=args.lr)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=args.lr, total_steps=max(args.steps, 2))
    print(f"{which()}: {len(names)} names, {sum(q.numel() for q in model.parameters()):,} parameters")

    progress = Progress(args)
    for _ in range(args.steps):
        chosen = [coded[i] for i in torch.randint(len(coded), (args.batch,)).tolist()]
        x = pad_sequence([c[:-1] for c in chosen], batch_first=True, padding_value=END)
        y = pad_sequence([c[1:] for c in chosen], batch_first=True, padding_value=NONE)
        logits, _ = model(x)
        loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=NONE)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_value_(model.parameters(), 0.5)
        optimizer.step()
        schedule.step()
        progress.step(loss.item())
    progress.close()

    known = set(names)
    for _ in range(args.sample):
        name = model.invent()
        print(f"  {name:15}{'' if name.lower() in known else 'new'}")


if __name__ == "__main__":
    main()
