"""``python -m flowtorch info``: versions, libraries and which kernels this machine can use."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
from typing import Any

import numpy as np

DISTRIBUTION = "flowtorch-eager"


def main(argv: list[str]) -> int:
    """Print the report as a table, or as JSON when asked for it."""
    if argv and argv != ["--json"]:
        print("usage: python -m flowtorch info [--json]", file=sys.stderr)
        return 2
    report = collect()
    if argv:
        print(json.dumps(report, indent=2))
    else:
        width = max(map(len, report))
        for name, value in report.items():
            print(f"{name:{width}}  {value}")
    return 0


def collect() -> dict[str, str]:
    """Return the report; nothing heavy is imported for it."""
    from flowtorch.shim import VERSION
    from flowtorch.version import flowtorch as own_version

    return {
        "flowtorch": version(DISTRIBUTION) or f"{own_version} (running from a source checkout)",
        "follows PyTorch": VERSION,
        "python": f"{platform.python_version()} on {platform.system()} {platform.machine()}",
        "processors": str(processors()),
        "numpy": f"{np.__version__}, {blas()}",
        "scipy": version("scipy") or "missing (needed by linalg, special and fft functions)",
        "ml_dtypes": version("ml_dtypes") or "missing (needed by bfloat16 and float8)",
        "cpu, numpy kernels": "ready",
        "cpu, native kernels": native(),
        "cuda": cuda(),
    }


def version(distribution: str) -> str | None:
    """Return the installed version of a distribution, or None."""
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def processors() -> int | None:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def blas() -> str:
    """Name the BLAS that numpy was built with."""
    config: Any = np.show_config(mode="dicts")
    found = config.get("Build Dependencies", {}).get("blas", {})
    return f"BLAS {found.get('name', 'unknown')} {found.get('version', '')}".rstrip()


def native() -> str:
    """Say whether C kernels are in use here, and why not."""
    from flowtorch import native

    return native.describe()


def cuda() -> str:
    """Say whether the GPU libraries are installed, without loading them."""
    triton, cupy = version("triton"), importlib.util.find_spec("cupy") is not None
    if os.environ.get("FLOWTORCH_CUDA") == "interpret":
        return "interpreted on the host (FLOWTORCH_CUDA=interpret), triton " + (triton or "missing")
    if not triton or not cupy:
        absent = " and ".join(n for n, there in (("cupy", cupy), ("triton", triton)) if not there)
        return f"off: {absent} not installed (extras cuda12, cuda13)"
    return f"cupy and triton {triton} installed"
