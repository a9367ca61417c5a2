"""Note what a program loaded and what it met of absent names, and write it when the program ends.

Imported by ``common``, and as a plugin by the tests of packages.
"""

import atexit
import json
import os
import sys


def _write(path):
    absent = sys.modules.get("flowtorch.shim.absent")
    others = [m for name, m in list(sys.modules.items()) if name.partition(".")[0] not in ("flowtorch", "torch")]
    files = {getattr(m, "__file__", None) for m in others}
    here = os.path.dirname(os.path.abspath(__file__))
    loaded = sorted(f for f in files if f and f.endswith(".py") and os.path.dirname(f) != here)
    with open(path, "w") as file:
        json.dump({"loaded": loaded, "met": getattr(absent, "met", [])}, file)


def _end(first=os.getpid()):
    path = os.environ.get("ECOSYSTEM_WITNESS")
    if path and os.getpid() == first:  # not a child by fork
        _write(path)


atexit.register(_end)
