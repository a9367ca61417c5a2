"""Where the built extension lies, and whether it may be loaded; this much runs at every import, so it loads little.

The library is keyed by its sources, the flags, the compiler, the processor, Python's and numpy's ABI. It has its digest
beside it; a file that does not match its digest, or is not the user's, is never loaded: `build` makes it anew.
"""

from __future__ import annotations

import functools
import os
import stat
import sys
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader, ModuleSpec
from typing import Any

import numpy as np

from flowtorch.codegen import folders

try:
    from _blake2 import blake2b  # hashlib would load OpenSSL
except ImportError:
    from hashlib import blake2b

HERE = os.path.dirname(__file__)
CODEGEN = os.path.dirname(folders.__file__)
FLAGS = (
    *(f for f in folders.FLAGS if f != "-shared"),
    "-pthread", "-fvisibility=hidden", "-mprefer-vector-width=512",
)  # fmt: skip
MODULE = "flowtorch.native._kernels"


def sources(*endings: str) -> list[str]:
    """The extension's files with these endings: ".c", ".h"."""
    own = [os.path.join(HERE, n) for n in os.listdir(HERE) if n.endswith(endings)]
    return sorted([*own, os.path.join(CODEGEN, "prelude.h")] if ".h" in endings else own)


@functools.cache
def key() -> str:
    """What decides the machine code, as a name."""
    digest = blake2b(digest_size=16)
    for path in sources(".c", ".h"):
        with open(path, "rb") as file:
            digest.update(os.path.basename(path).encode() + b"\0" + file.read())
    digest.update(repr([*FLAGS, *compiler_identity(), processor(), *abi()]).encode())
    return digest.hexdigest()


def compiler_identity() -> list[str]:
    """The compiler without running it: its path, size and date."""
    command = folders.compiler()
    if command is None:
        return []
    real = os.path.realpath(command)
    status = os.stat(real)
    return [real, str(status.st_size), str(status.st_mtime_ns)]


def processor() -> str:
    """The machine and the instructions that it has, as numpy found them."""
    found = getattr(np._core._multiarray_umath, "__cpu_features__", {})  # type: ignore[attr-defined]
    return os.uname().machine + " " + " ".join(sorted(n for n, there in found.items() if there))


def abi() -> list[str]:
    """Which Python and numpy the module fits."""
    return [EXTENSION_SUFFIXES[0], sys.version, np.__version__]


def library() -> str | None:
    """Where the extension of this machine lies or will lie; None if the user has no private cache folder."""
    folder = folders.private_folder()
    return None if folder is None else os.path.join(folder, f"kernels-{key()}.so")


def note(path: str) -> str:
    """The file with the digest of a library."""
    return path.removesuffix(".so") + ".digest"


def failed(path: str) -> str:
    """The file that says why a library could not be built."""
    return path.removesuffix(".so") + ".failed"


def verified(path: str) -> bool:
    """Whether `path` is complete, the user's own and what was built: only then may it be loaded."""
    try:
        for part in (path, note(path)):
            status = os.lstat(part)
            if status.st_uid != os.getuid() or status.st_mode & 0o022 or not stat.S_ISREG(status.st_mode):
                return False
        with open(note(path)) as file:
            return file.read() == digest_of(path)
    except (OSError, ValueError):
        return False


def digest_of(path: str) -> str:
    """What a library's content is checked against."""
    with open(path, "rb") as file:
        return blake2b(file.read(), digest_size=32).hexdigest()


def load(path: str) -> Any:
    """The extension module of a verified library."""
    loader = ExtensionFileLoader(MODULE, path)
    spec = ModuleSpec(MODULE, loader, origin=path)
    module = loader.create_module(spec)
    loader.exec_module(module)
    return module


def failure() -> str | None:
    """Why the last build with this key failed, if it did."""
    path = library()
    try:
        with open(failed(path or "")) as file:
            return file.read()
    except OSError:
        return None
