"""Training begun in one library, saved, loaded in the other and continued there, goes on along the same curve."""

import numpy as np
import pytest
import torch

import flowtorch


def mlp(t):
    nn = t.nn
    return nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.GELU(), nn.Linear(16, 4))


def cnn(t):
    nn = t.nn
    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
                         nn.Conv2d(6, 8, 3, groups=2), nn.GroupNorm(2, 8), nn.SiLU(), nn.Flatten(), nn.Linear(32, 4))


def lstm(t):
    nn = t.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 6)
            self.lstm = nn.LSTM(6, 8, 2, batch_first=True, bidirectional=True)
            self.head = nn.Linear(16, 4)

        def forward(self, x):
            return self.head(self.lstm(self.embed(x))[0][:, -1])

    return Net()


def transformer(t):
    nn = t.nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed = nn.Embedding(11, 8)
            layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
            self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
            self.head = nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.encoder(self.embed(x)).mean(1))

    return Net()


def numbers(shape):
    return lambda rng: rng.standard_normal(shape)


def words(rng):
    return rng.integers(0, 11, (6, 5))


NETS = {"mlp": (mlp, numbers((6, 8))), "cnn": (cnn, numbers((6, 1, 8, 8))), "lstm": (lstm, words),
        "transformer": (transformer, words)}
OPTIMIZERS = {
    "sgd": lambda t, p: t.optim.SGD(p, 0.05, momentum=0.9, nesterov=True, weight_decay=1e-3),
    "adamw": lambda t, p: t.optim.AdamW(p, 0.01, amsgrad=True),
    "rmsprop": lambda t, p: t.optim.RMSprop(p, 0.01, momentum=0.5, centered=True),
}
STEPS = 4


class Training:
    """A net, its optimiser and its schedule in one of the libraries."""

    def __init__(self, library, net, optimizer):
        self.library = library
        library.manual_seed(0)
        make, self.draw = NETS[net]
        self.net = make(library).double()
        self.optimizer = OPTIMIZERS[optimizer](library, self.net.parameters())
        self.schedule = library.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, 2 * STEPS)

    def run(self, start):
        losses = []
        for step in range(start, start + STEPS):
            rng = np.random.default_rng(step)
            x, y = (self.library.from_numpy(v) for v in (self.draw(rng), rng.integers(0, 4, 6)))
            loss = self.library.nn.functional.cross_entropy(self.net(x), y)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()
            losses.append(loss.item())
        return losses

    def parts(self):
        return {"net": self.net, "optimizer": self.optimizer, "schedule": self.schedule}

    def save(self, path):
        self.library.save({k: v.state_dict() for k, v in self.parts().items()}, path)

    def load(self, path):
        saved = self.library.load(path)
        for name, part in self.parts().items():
            part.load_state_dict(saved[name])


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("net", NETS)
@pytest.mark.parametrize("first", ["torch", "flowtorch"])
def test_training_continues_in_the_other_library(first, net, optimizer, tmp_path):
    begin, other = (torch, flowtorch) if first == "torch" else (flowtorch, torch)
    one = Training(begin, net, optimizer)
    one.run(0)
    one.save(tmp_path / "half.pt")
    expected = one.run(STEPS)
    two = Training(other, net, optimizer)
    two.load(tmp_path / "half.pt")
    assert two.optimizer.param_groups[0]["lr"] != two.optimizer.param_groups[0]["initial_lr"]
    np.testing.assert_allclose(two.run(STEPS), expected, rtol=1e-9)
    for a, b in zip(one.net.parameters(), two.net.parameters(), strict=True):
        np.testing.assert_allclose(b.detach().numpy(), a.detach().numpy(), rtol=1e-7, atol=1e-10)
