"""What the examples share: the command line, seed and dtype, the progress line and the log of losses."""

import argparse
import json
import sys
import time
from pathlib import Path

import torch

DATA = Path(__file__).resolve().parent / "data"


def parser(description: str, steps: int) -> argparse.ArgumentParser:
    """Return a parser with the options that every example has."""
    p = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    p.add_argument("--steps", type=int, default=steps, help="training steps")
    p.add_argument("--seed", type=int, default=1337, help="seed of every random draw")
    p.add_argument("--dtype", choices=["float32", "float64"], default="float32", help="floating point type")
    p.add_argument("--log-losses", metavar="FILE", help="write every step's loss to FILE, as a JSON list")
    return p


def begin(p: argparse.ArgumentParser) -> argparse.Namespace:
    """Parse the command line, seed the generators and set the default dtype."""
    args = p.parse_args()
    torch.manual_seed(args.seed)
    torch.set_default_dtype(getattr(torch, args.dtype))
    return args


class Progress:
    """Keeps the loss of every step and prints a line about once a second."""

    def __init__(self, args: argparse.Namespace, every: float = 1.0):
        self.steps, self.path, self.every = args.steps, args.log_losses, every
        self.losses: list[float] = []
        self.start = self.printed = time.perf_counter()

    def step(self, loss: float) -> None:
        """Record the loss of the step that just ended."""
        self.losses.append(loss)
        now, n = time.perf_counter(), len(self.losses)
        if n == 1 or n == self.steps or now - self.printed >= self.every:
            recent = self.losses[-20:]
            left = (now - self.start) / n * (self.steps - n)
            print(
                f"step {n:5d}/{self.steps}  loss {sum(recent) / len(recent):8.4f}  "
                f"{now - self.start:6.1f} s, {left:5.1f} s to go",
                flush=True,
            )
            self.printed = now

    def close(self) -> None:
        """Write the log, if one was asked for."""
        if self.path:
            Path(self.path).write_text(json.dumps(self.losses))


def which() -> str:
    """Say which library answers to the name torch, and its version."""
    package = sys.modules[torch.Tensor.__module__.partition(".")[0]].__name__
    return f"{package} {torch.__version__}"
