"""Building C source with the system's compiler into a cache of shared libraries, and loading them.

The cache is the user's alone: libraries in it are executed. A library is keyed by its source, the flags, the
compiler's version and the processor, and appears under its name only when it is complete.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import os
import platform
import subprocess
import tempfile
from pathlib import Path

from .folders import FLAGS, cache_folder, compiler

__all__ = ["FLAGS", "BuildError", "build", "cache_folder", "compiler", "load"]

class BuildError(RuntimeError):
    """The compiler is missing or refused the source."""


@functools.cache
def load(source: str) -> ctypes.CDLL:
    """The library of `source`, from the cache or built now. BuildError without a working compiler."""
    return ctypes.CDLL(str(build(source)))


def build(source: str) -> Path:
    """Compile `source` unless the cache has it; the path of the library."""
    command = compiler()
    if command is None:
        raise BuildError("no C compiler was found: set CC, or put cc, gcc or clang on the PATH")
    key = hashlib.blake2b("\0".join([source, *FLAGS, _identity(command)]).encode(), digest_size=16).hexdigest()
    folder = Path(cache_folder())
    library = folder / f"{key}.so"
    if not library.exists():
        _compile(command, source, library)
    return library


def _compile(command: str, source: str, library: Path) -> None:
    with tempfile.TemporaryDirectory(dir=library.parent) as work:
        text, result = Path(work, "kernel.c"), Path(work, "kernel.so")
        text.write_text(source)
        call = [command, *FLAGS, str(text), "-o", str(result), "-lm"]
        done = subprocess.run(call, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise BuildError(f"{command} refused a generated kernel:\n{done.stderr[-2000:]}")
        os.replace(result, library)


@functools.cache
def _identity(command: str) -> str:
    """What else decides the machine code: the compiler's version and, for -march=native, the processor."""
    version = subprocess.run([command, "--version"], capture_output=True, text=True, check=False).stdout
    target = [command, "-march=native", "-E", "-dM", "-x", "c", os.devnull]
    macros = subprocess.run(target, capture_output=True, text=True, check=False).stdout
    return "\0".join([version, platform.machine(), macros])
