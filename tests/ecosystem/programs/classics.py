"""Programs in the structure of well-known examples: digits, an autoencoder, regression, word models, names."""

import torch
import torch.nn as nn
import torch.nn.functional as F
import torch.optim as optim
from common import report, wave
from torch.optim.lr_scheduler import StepLR
from torch.utils.data import DataLoader, TensorDataset, random_split

results = {}


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 8, 3, 1), nn.Conv2d(8, 16, 3, 1)
        self.dropout1, self.dropout2 = nn.Dropout(0.25), nn.Dropout(0.5)
        self.fc1, self.fc2 = nn.Linear(400, 32), nn.Linear(32, 10)

    def forward(self, x):
        x = F.relu(self.conv2(F.relu(self.conv1(x))))
        x = torch.flatten(self.dropout1(F.max_pool2d(x, 2)), 1)
        return F.log_softmax(self.fc2(self.dropout2(F.relu(self.fc1(x)))), dim=1)


def digits():
    torch.manual_seed(1)
    images = wave(96, 1, 14, 14, step=0.013)
    labels = torch.arange(96) % 10
    train_set, test_set = random_split(TensorDataset(images, labels), [64, 32], torch.Generator().manual_seed(3))
    model = Net()
    optimizer = optim.Adadelta(model.parameters(), lr=1.0)
    scheduler = StepLR(optimizer, step_size=1, gamma=0.7)
    losses, correct = [], []
    for _ in range(2):
        model.train()
        for data, target in DataLoader(train_set, batch_size=16, shuffle=True):
            optimizer.zero_grad()
            loss = F.nll_loss(model(data), target)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
        model.eval()
        with torch.no_grad():
            for data, target in DataLoader(test_set, batch_size=32):
                output = model(data)
                correct.append(output.argmax(dim=1, keepdim=True).eq(target.view_as(output[:, :1])).sum().item())
                losses.append(F.nll_loss(output, target, reduction="sum").item())
        scheduler.step()
    return {"losses": losses, "correct": correct}


class VAE(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc1, self.fc21, self.fc22 = nn.Linear(64, 32), nn.Linear(32, 4), nn.Linear(32, 4)
        self.fc3, self.fc4 = nn.Linear(4, 32), nn.Linear(32, 64)

    def forward(self, x):
        h = F.relu(self.fc1(x.view(-1, 64)))
        mu, logvar = self.fc21(h), self.fc22(h)
        std = torch.exp(0.5 * logvar)
        z = mu + torch.randn_like(std) * std
        return torch.sigmoid(self.fc4(F.relu(self.fc3(z)))), mu, logvar


def autoencoder():
    torch.manual_seed(2)
    x = (wave(32, 64) + 1) / 2
    model = VAE()
    optimizer = optim.Adam(model.parameters(), lr=1e-2)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        out, mu, logvar = model(x)
        bce = F.binary_cross_entropy(out, x, reduction="sum")
        loss = bce - 0.5 * torch.sum(1 + logvar - mu.pow(2) - logvar.exp())
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    return losses


def regression():
    torch.manual_seed(3)
    weights, offset = torch.randn(4, 1) * 5, torch.randn(1) * 5
    fc = nn.Linear(4, 1)
    losses = []
    for _ in range(30):
        x = torch.randn(32).unsqueeze(1)
        features = torch.cat([x**i for i in range(1, 5)], 1)
        fc.zero_grad()
        output = F.smooth_l1_loss(fc(features), features.mm(weights) + offset.item())
        output.backward()
        for param in fc.parameters():
            param.data.add_(-0.1 * param.grad)
        losses.append(output.item())
    return losses


class WordModel(nn.Module):
    def __init__(self, kind, words=50, size=24, layers=2):
        super().__init__()
        self.drop, self.encoder = nn.Dropout(0.2), nn.Embedding(words, size)
        self.rnn = getattr(nn, kind)(size, size, layers, dropout=0.2)
        self.decoder = nn.Linear(size, words)
        self.decoder.weight = self.encoder.weight
        nn.init.uniform_(self.encoder.weight, -0.1, 0.1)

    def forward(self, x, hidden=None):
        output, hidden = self.rnn(self.drop(self.encoder(x)), hidden)
        return F.log_softmax(self.decoder(self.drop(output)).view(-1, 50), dim=1), hidden


def detached(h):
    return h.detach() if isinstance(h, torch.Tensor) else tuple(detached(v) for v in h)


def words(kind):
    torch.manual_seed(4)
    stream = ((torch.arange(200) ** 2) % 47).view(4, -1).t().contiguous()
    model, hidden, losses = WordModel(kind), None, []
    for i in range(0, 45, 9):
        model.zero_grad()
        hidden = None if hidden is None else detached(hidden)
        output, hidden = model(stream[i : i + 9], hidden)
        loss = F.nll_loss(output, stream[i + 1 : i + 10].reshape(-1))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 0.25)
        for p in model.parameters():
            p.data.add_(p.grad, alpha=-5.0)
        losses.append(loss.item())
    return losses


def names():
    given = ["emma", "olivia", "ava", "isabella", "sophia", "mia", "amelia", "harper", "evelyn", "abigail"]
    stoi = {c: i + 1 for i, c in enumerate(sorted(set("".join(given))))} | {".": 0}
    itos = {i: c for c, i in stoi.items()}
    xs, ys = [], []
    for word in given:
        context = [0] * 3
        for c in word + ".":
            xs.append(context)
            ys.append(stoi[c])
            context = [*context[1:], stoi[c]]
    X, Y = torch.tensor(xs), torch.tensor(ys)
    g = torch.Generator().manual_seed(2147483647)
    C = torch.randn((len(stoi), 4), generator=g)
    W1, b1 = torch.randn((12, 32), generator=g) * (5 / 3) / 12**0.5, torch.randn(32, generator=g) * 0.01
    W2, b2 = torch.randn((32, len(stoi)), generator=g) * 0.01, torch.zeros(len(stoi))
    gain, bias = torch.ones((1, 32)), torch.zeros((1, 32))
    parameters = [C, W1, b1, W2, b2, gain, bias]
    for p in parameters:
        p.requires_grad = True
    losses = []
    for _ in range(25):
        ix = torch.randint(0, X.shape[0], (16,), generator=g)
        emb = C[X[ix]]
        pre = emb.view(emb.shape[0], -1) @ W1 + b1
        pre = gain * (pre - pre.mean(0, keepdim=True)) / (pre.std(0, keepdim=True) + 1e-5) + bias
        loss = F.cross_entropy(torch.tanh(pre) @ W2 + b2, Y[ix])
        for p in parameters:
            p.grad = None
        loss.backward()
        for p in parameters:
            p.data += -0.1 * p.grad
        losses.append(loss.item())
    counts = torch.zeros((len(stoi), len(stoi)), dtype=torch.int32)
    for word in given:
        for a, b in zip("." + word, word + ".", strict=True):
            counts[stoi[a], stoi[b]] += 1
    P = (counts + 1).float()
    P /= P.sum(1, keepdims=True)
    out = []
    for _ in range(5):
        ix, letters = 0, []
        while True:
            ix = torch.multinomial(P[ix], num_samples=1, replacement=True, generator=g).item()
            if ix == 0:
                break
            letters.append(itos[ix])
        out.append("".join(letters))
    return {"losses": losses, "sampled": out}


results["digits"] = digits()
results["autoencoder"] = autoencoder()
results["regression"] = regression()
results["words"] = {kind: words(kind) for kind in ("LSTM", "GRU", "RNN")}
results["names"] = names()
report(**results)
