"""The C compiler and the cache folder, found without loading anything: this runs at every import of flowtorch."""

from __future__ import annotations

import functools
import os
import stat

FLAGS = (
    "-O3", "-march=native", "-fPIC", "-shared", "-std=gnu11", "-w",
    # never -ffast-math: loading such a library switches the whole process to flush-to-zero
    "-fno-math-errno", "-fno-trapping-math", "-ffp-contract=off", "-fwrapv",
)  # fmt: skip


@functools.cache
def compiler() -> str | None:
    """The path of the C compiler: ``$CC``, else cc, gcc or clang; None if there is none."""
    for name in (os.environ.get("CC"), "cc", "gcc", "clang"):
        for folder in os.get_exec_path() if name else ():
            path = os.path.join(folder, name)  # type: ignore[arg-type]
            if os.path.isfile(path) and os.access(path, os.X_OK):
                return path
    return None


def private_folder() -> str | None:
    """The cache: ``$FLOWTORCH_CACHE_DIR`` or in the user's cache folder; None if others could write there."""
    home = os.path.expanduser("~")
    root = os.environ.get("FLOWTORCH_CACHE_DIR") or os.path.join(
        os.environ.get("XDG_CACHE_HOME") or os.path.join(home, ".cache"), "flowtorch"
    )
    if not os.path.isabs(root) and not os.environ.get("FLOWTORCH_CACHE_DIR"):
        return None  # there is no home
    folder = os.path.join(root, "native")
    try:
        os.makedirs(root, exist_ok=True)
        if not os.path.isdir(folder):
            os.mkdir(folder, 0o700)
        status = os.stat(folder)
        private = status.st_uid == os.getuid() and not status.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
        return folder if private and os.access(folder, os.W_OK) else None
    except FileExistsError:  # another process made it just now
        return folder if os.stat(folder).st_uid == os.getuid() else None
    except OSError:
        return None


@functools.cache
def cache_folder() -> str:
    """The cache, or a temporary folder if there is no private one."""
    import tempfile

    return private_folder() or tempfile.mkdtemp(prefix="flowtorch-native-")
