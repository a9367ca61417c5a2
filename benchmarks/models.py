"""Whole training steps of models, most of them those of the examples: forward, loss, backward, optimiser.

Run it with
    python benchmarks/models.py [--filter REGEX] [--rounds N] [--threads N] [--json FILE]
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from architectures import resnet18, vit_tiny
from suite import Suite, example

SUITE = Suite("training steps of models", rounds_of_each=16, budget=3.5)


def numbers(t: Any, *shape: int) -> Any:
    """Return float32 normal numbers, the same for both libraries."""
    import numpy as np

    return t.from_numpy(np.random.default_rng(0).standard_normal(shape, dtype=np.float32))


def symbols(t: Any, kinds: int, *shape: int, seed: int = 0) -> Any:
    """Return int64 symbols, the same for both libraries."""
    import numpy as np

    return t.from_numpy(np.random.default_rng(seed).integers(0, kinds, shape, dtype=np.int64))


def step_of(
    optimizer: Any, loss_of: Callable[[], Any], before: Callable[[], Any] = lambda: None
) -> Callable[[], Any]:
    """Return a training step as a callable that gives the loss; ``before`` runs between backward and step."""

    def run() -> Any:
        optimizer.zero_grad()
        loss = loss_of()
        loss.backward()
        before()
        optimizer.step()
        return loss.detach()

    return run


@SUITE.add("MLP 784-256-128-10, batch 64, SGD", "training step")
def _mlp(t: Any) -> Callable[[], Any]:
    nn = t.nn
    t.manual_seed(0)
    model = nn.Sequential(nn.Linear(784, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 10))
    x, y = numbers(t, 64, 784), symbols(t, 10, 64)
    return step_of(t.optim.SGD(model.parameters(), lr=0.01), lambda: nn.functional.cross_entropy(model(x), y))


@SUITE.add("CNN on digits, batch 50, SGD", "training step")
def _cnn(t: Any) -> Callable[[], Any]:
    t.manual_seed(0)
    model = example("mnist_cnn", t).Net()
    x, y = numbers(t, 50, 1, 28, 28), symbols(t, 10, 50)
    optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    return step_of(optimizer, lambda: t.nn.functional.nll_loss(model(x), y))


@SUITE.add("char-LSTM 2 x 96, batch 64, RMSprop", "training step")
def _lstm(t: Any) -> Callable[[], Any]:
    t.manual_seed(0)
    model = example("char_lstm", t).Speller()
    x, y = symbols(t, 27, 64, 12), symbols(t, 27, 64 * 12, seed=1)
    optimizer = t.optim.RMSprop(model.parameters(), lr=1e-3)
    return step_of(optimizer, lambda: t.nn.functional.cross_entropy(model(x)[0].flatten(0, 1), y))


@SUITE.add("VAE 784-256-8, batch 64, Adam", "training step")
def _vae(t: Any) -> Callable[[], Any]:
    t.manual_seed(0)
    module = example("vae", t)
    model, x = module.VAE(), numbers(t, 64, 784).sigmoid()

    def loss() -> Any:
        logits, mean, log_var = model(x)
        return module.evidence_bound(logits, x, mean, log_var)

    return step_of(t.optim.Adam(model.parameters(), lr=1e-3), loss)


def _gpt(layers: int, width: int, context: int, batch: int) -> Callable[[Any], Callable[[], Any]]:
    def build(t: Any) -> Callable[[], Any]:
        t.manual_seed(0)
        model = example("char_gpt", t).GPT(65, context, width, heads=4, layers=layers)
        x, y = symbols(t, 65, batch, context), symbols(t, 65, batch, context, seed=1)
        optimizer = t.optim.AdamW(model.parameters(), lr=1e-3, betas=(0.9, 0.99))

        def loss() -> Any:
            return model(x, y)[1]

        return step_of(optimizer, loss, lambda: t.nn.utils.clip_grad_norm_(model.parameters(), 1.0))

    return build


SUITE.add("GPT 2 x 64, context 32, batch 8, AdamW", "training step")(_gpt(2, 64, 32, 8))
SUITE.add("GPT 4 x 128, context 64, batch 16, AdamW", "training step")(_gpt(4, 128, 64, 16))
SUITE.add("GPT 2 x 256, context 128, batch 16, AdamW", "training step")(_gpt(2, 256, 128, 16))



@SUITE.add("ResNet-18, 64 x 64, batch 8, SGD", "training step")
def _resnet(t: Any) -> Callable[[], Any]:
    t.manual_seed(0)
    model = resnet18(t)
    x, y = numbers(t, 8, 3, 64, 64), symbols(t, 10, 8)
    optimizer = t.optim.SGD(model.parameters(), lr=0.01, momentum=0.9)
    return step_of(optimizer, lambda: t.nn.functional.cross_entropy(model(x), y))


@SUITE.add("ViT-tiny, 64 x 64, batch 8, AdamW", "training step")
def _vit(t: Any) -> Callable[[], Any]:
    t.manual_seed(0)
    model = vit_tiny(t)
    x, y = numbers(t, 8, 3, 64, 64), symbols(t, 10, 8)
    optimizer = t.optim.AdamW(model.parameters(), lr=1e-4)
    return step_of(optimizer, lambda: t.nn.functional.cross_entropy(model(x), y))


if __name__ == "__main__":
    sys.exit(SUITE.main())
