"""A model was ported, and its numbers are off. Which call did it?

The port below forgets to put the rows back in order. ``difftest run`` compares it with a recording of the original and
names the line. The norms of all tensors are the same on both sides, so looking at them would show nothing.

python examples/investigations/ported_model.py
"""

import subprocess
import sys
import tempfile
from pathlib import Path

ORIGINAL = """
import torch
torch.manual_seed(0)
encoder = torch.nn.Linear(8, 16)
norm = torch.nn.LayerNorm(16)
head = torch.nn.Linear(16, 3)
x, y = torch.randn(6, 8), torch.tensor([0, 1, 2, 0, 1, 2])
for step in range(2):
    h = torch.relu(encoder(x))
    h = norm(h)
    loss = torch.nn.functional.cross_entropy(head(h), y)
    loss.backward()
"""
PORT = ORIGINAL.replace("    h = norm(h)\n", "    h = norm(h)\n    h = h.flip(0)  # the other layout\n")


def difftest(*arguments):
    return subprocess.run([sys.executable, "-m", "flowtorch", "difftest", *map(str, arguments)]).returncode


def main():
    with tempfile.TemporaryDirectory() as folder:
        original, port, recording = (Path(folder, n) for n in ("original.py", "port.py", "recording"))
        original.write_text(ORIGINAL)
        port.write_text(PORT)
        difftest("record", "--on", "torch", "-o", recording, original)
        difftest("run", "--against", recording, port)


if __name__ == "__main__":
    main()
