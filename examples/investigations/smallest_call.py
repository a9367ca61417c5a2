"""From "it differs somewhere" to one line: hypothesis looks for a call that fails, and makes it small.

torch's median of an expanded tensor reads memory that is not the tensor's. Here torch is the candidate and flowtorch
the reference.

python examples/investigations/smallest_call.py
"""

import torch

from flowtorch.testing import difftest
from flowtorch.testing.difftest import strategies


def median(x):
    return torch.median(x, 0).values


def main():
    drawn = strategies.tensors(strategies.shapes(2, 2, 1, 6), "float32", strategies.layouts(), ties=False)
    calls = drawn.map(lambda a: (a,))
    try:
        difftest.check(median, "flowtorch", calls, candidate="torch", modes=["values"], examples=300)
    except difftest.DifferenceFound as found:
        print(found)
    else:
        print("nothing differs")


if __name__ == "__main__":
    main()
