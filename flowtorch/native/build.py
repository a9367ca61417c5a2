"""Building the extension module of C kernels with the system's compiler: ``python -m flowtorch build-kernels``.

The library appears under its name only when it is complete. One process builds at a time.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from flowtorch.codegen import folders
from flowtorch.codegen.native import BuildError
from flowtorch.native import cache


@contextlib.contextmanager
def locked(folder: str, wait: bool) -> Iterator[bool]:
    """Hold the cache's lock, so that one process builds; False if another has it and `wait` is not set."""
    import fcntl

    with open(os.path.join(folder, "lock"), "w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except OSError:
            yield False
            return
        yield True


def build(wait: bool = True, jobs: int | None = None) -> str:
    """Compile the extension unless the cache has it; its path. BuildError if that cannot be done here."""
    path = cache.library()
    if path is None:
        raise BuildError("there is no private folder for the kernels: set FLOWTORCH_CACHE_DIR to one of yours")
    with locked(os.path.dirname(path), wait) as mine:
        if mine and not cache.verified(path):
            try:
                _build(path, jobs or os.cpu_count() or 1)
            except BuildError as error:
                Path(cache.failed(path)).write_text(str(error))
                raise
            Path(cache.failed(path)).unlink(missing_ok=True)
    return path


def _build(path: str, jobs: int) -> None:
    command = folders.compiler()
    if command is None:
        raise BuildError("no C compiler was found: set CC, or put cc, gcc or clang on the PATH")
    headers = sysconfig.get_path("include")
    if not Path(headers, "Python.h").exists():
        raise BuildError(f"Python's headers are not installed: there is no {headers}/Python.h")
    include = [f"-I{folder}" for folder in (headers, np.get_include(), cache.HERE, cache.CODEGEN)]
    units = [Path(unit) for unit in cache.sources(".c")]
    with tempfile.TemporaryDirectory(dir=os.path.dirname(path)) as work:
        objects = [str(Path(work, unit.stem + ".o")) for unit in units]
        calls = [[command, *cache.FLAGS, *include, "-c", str(u), "-o", o] for u, o in zip(units, objects, strict=True)]
        with ThreadPoolExecutor(jobs) as pool:
            list(pool.map(_run, calls))
        result, described = Path(work, "kernels.so"), Path(work, "digest")
        _run([command, *cache.FLAGS, "-shared", *objects, "-o", str(result), "-lm"])
        result.chmod(0o700)
        described.write_text(cache.digest_of(str(result)))
        described.chmod(0o600)
        os.replace(result, path)
        os.replace(described, cache.note(path))


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise BuildError(f"{command[0]} refused the kernels:\n{done.stderr[-2000:]}")


def main(argv: list[str]) -> int:
    """``build-kernels [--quiet]``: build now, or in the background of another process (--quiet)."""
    if argv not in ([], ["--quiet"]):
        print("usage: python -m flowtorch build-kernels [--quiet]", file=sys.stderr)
        return 2
    quiet = bool(argv)
    try:
        path = build(wait=not quiet, jobs=1 if quiet else None)
    except BuildError as error:
        print(error, file=sys.stderr)
        return 1
    if not quiet:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
