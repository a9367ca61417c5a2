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
import shutil
import stat
import subprocess
import tempfile
from pathlib import Path

FLAGS = (
    "-O3", "-march=native", "-fPIC", "-shared", "-std=gnu11", "-w",
    # never -ffast-math: loading such a library switches the whole process to flush-to-zero
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv",
)  # fmt: skip


class BuildError(RuntimeError):
    """The compiler is missing or refused the source."""


@functools.cache
def compiler() -> str | None:
    """The path of the C compiler: ``$CC``, else cc, gcc or clang; None if there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        path = shutil.which(name) if name else None
        if path is not None:
            return path
    return None


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
    folder = cache_folder()
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


@functools.cache
def cache_folder() -> Path:
    """The cache: ``$FLOWTORCH_CACHE_DIR`` or the user's cache folder; a temporary one if neither is
    private."""
    base = os.environ.get("FLOWTORCH_CACHE_DIR")
    root = Path(base) if base else Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "flowtorch")
    folder = root / "native"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        status = folder.stat()
        private = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        if private and os.access(folder, os.W_OK):
            return folder
    except OSError:
        pass
    return Path(tempfile.mkdtemp(prefix="flowtorch-native-"))
