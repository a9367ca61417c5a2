"""Who is right about gelu far to the left? Two libraries agree, and both may be wrong: ask mpmath.

python examples/investigations/gelu_tail.py
"""

import numpy as np

from flowtorch.testing import difftest
from flowtorch.testing.difftest.oracle import Numbers
from flowtorch.testing.errormodel import signed_units
from flowtorch.testing.samples import Array, Sample

NAME = "nn.functional.gelu"


def main():
    x = np.array([-1, -3, -4, -5, -5.5, -6, -8], np.float32)
    exact, _ = Numbers().exact(NAME, x)
    call = Sample((Array(x, "float32"),), {})
    print(f"{'x':>6} {'exact':>14} " + " ".join(f"{side:>14} {'ulp':>10}" for side in ("torch", "flowtorch")))
    columns = []
    for side in ("torch", "flowtorch"):
        library = difftest.make(side)
        got = library.run(library.find(NAME), call).results[0].values
        columns.append((got, signed_units(got, exact, "float32")))
    for k, point in enumerate(x):
        row = " ".join(f"{got[k]:14.6g} {units[k]:10.3g}" for got, units in columns)
        print(f"{point:6.1f} {exact[k]:14.6g} {row}")


if __name__ == "__main__":
    main()
