"""Compiled kernels as files: what one process has compiled, the next loads in a fraction of a millisecond."""

from __future__ import annotations

import functools
import hashlib
import json
import os
import tempfile
from dataclasses import dataclass
from pathlib import Path

import triton
from triton.backends.compiler import GPUTarget

from .compile import Kernel, compile_kernel


@dataclass(frozen=True, slots=True)
class Binary:
    """A kernel compiled for one architecture."""

    name: str
    shared: int
    """Bytes of dynamic shared memory."""
    warps: int
    code: bytes


def binary(kernel: Kernel, target: GPUTarget, folder: str | None = None) -> Binary:
    """The kernel for `target`, from `folder` if it is there, else compiled and put there."""
    if folder is None:
        return _compiled(kernel, target)
    path = Path(folder) / f"{key(kernel, target)}.bin"
    try:
        return _read(path.read_bytes())
    except (OSError, ValueError):
        made = _compiled(kernel, target)
        _write(path, made)
        return made


def key(kernel: Kernel, target: GPUTarget) -> str:
    """A digest of all that the binary depends on."""
    own = kernel.function.fn.__module__.startswith(__package__)
    sources = _package_digest() if own else kernel.function.cache_key
    parts = (
        triton.__version__, sources, kernel.source, target, sorted(kernel.signature.items()),
        sorted((name, str(value)) for name, value in kernel.constants.items()), sorted(kernel.divisible),
        kernel.warps, kernel.stages,
    )  # fmt: skip
    return hashlib.blake2b(repr(parts).encode(), digest_size=20).hexdigest()


@functools.cache
def _package_digest() -> str:
    """Of this package's sources: generated kernels call helpers that stand there."""
    found = hashlib.blake2b(digest_size=16)
    for path in sorted(Path(__file__).parent.glob("*.py")):
        found.update(path.read_bytes())
    return found.hexdigest()


def _compiled(kernel: Kernel, target: GPUTarget) -> Binary:
    made = compile_kernel(kernel, target)
    code = made.asm["cubin" if target.backend == "cuda" else "hsaco"]
    return Binary(made.metadata.name, made.metadata.shared, made.metadata.num_warps, code)


def _read(data: bytes) -> Binary:
    head, _, code = data.partition(b"\n")
    found = json.loads(head)
    if not isinstance(found, list) or len(found) != 4 or found[3] != _digest(code):
        raise ValueError("the file is cut off, changed, or somebody else's")
    name, shared, warps, _ = found
    return Binary(name, shared, warps, code)


def _digest(code: bytes) -> str:
    return hashlib.blake2b(code, digest_size=16).hexdigest()


def _write(path: Path, made: Binary) -> None:
    """Put a file in place at once, so that no other process reads half of it; a full disk is no error."""
    head = json.dumps([made.name, made.shared, made.warps, _digest(made.code)]).encode()
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            try:
                file.write(head + b"\n" + made.code)
                file.flush()
                os.replace(file.name, path)
            except OSError:
                os.unlink(file.name)
    except OSError:  # the kernel is in memory; the next process compiles it again
        pass
