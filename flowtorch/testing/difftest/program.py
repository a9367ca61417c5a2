"""A whole program run with everything recorded, in a process of its own, where ``torch`` may be flowtorch."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from typing import Any

from .recording import Enough, Recorder
from .trace import Trace


def install(library: str) -> Any:
    """The library that the program will get when it says ``import torch``."""
    if library == "flowtorch":
        from flowtorch.shim.finder import install as shim

        shim()
    import torch
    import torch.nn
    import torch.optim
    import torch.overrides

    return torch


def run_program(
    library: str, script: str, argv: list[str], preload: str = "", limit: int = 50_000, megabytes: int = 500
) -> Trace:
    """Run a script with everything recorded, as far as the limits go; the script's own exit is not ours."""
    import runpy

    torch = install(library)
    sys.argv = [script, *argv]
    sys.path.insert(0, str(Path(script).resolve().parent))
    if preload:
        first_of_all(preload)
    recorder = Recorder(torch, limit, megabytes * 1e6)
    seed(torch)
    try:
        with recorder:
            runpy.run_path(script, run_name="__main__")
    except Enough as stop:
        print(f"\ndifftest: {library} is stopped after {stop} calls (see --limit, --memory)", file=sys.stderr)
    except SystemExit as stop:
        recorder.trace.failure = f"exit status {stop.code}" if stop.code not in (None, 0) else ""
    except Exception as problem:  # whatever the program raises: what ran before it is worth comparing
        traceback.print_exc()
        recorder.trace.failure = f"{type(problem).__name__}: {problem}"
    return recorder.trace


def seed(library: Any) -> None:
    """Programs that seed nothing draw the same random numbers all the same."""
    import random

    import numpy as np

    random.seed(0)
    np.random.seed(0)
    library.manual_seed(0)


def first_of_all(path: str) -> None:
    """Run a file as a module that stays: what it has set up must last as long as the process."""
    import importlib.util

    spec = importlib.util.spec_from_file_location("difftest_preload", path)
    if spec is None or spec.loader is None:
        raise ValueError(f"--preload: {path} is no Python file")
    module = sys.modules["difftest_preload"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)


def main(argv: list[str]) -> int:
    """``python -m flowtorch.testing.difftest.program LIBRARY FOLDER LIMIT MEGABYTES SCRIPT [ARG ...]``."""
    library, folder, limit, megabytes, script, *rest = argv
    trace = run_program(library, script, rest, "", int(limit), int(megabytes))
    trace.save(Path(folder))
    return 1 if trace.failure else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
