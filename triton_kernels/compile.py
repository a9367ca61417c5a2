"""Kernels from source text, and their compilation ahead of time for a named target."""

from __future__ import annotations

import hashlib
import linecache
import re
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from triton.language.extra import libdevice

from . import scalar, special

INTERPRET = bool(triton.knobs.runtime.interpret)
"""Kernels run in Triton's interpreter on host memory (TRITON_INTERPRET=1, set before triton is imported)."""

POINTER = {
    "bool": "*i1", "int8": "*i8", "int16": "*i16", "int32": "*i32", "int64": "*i64", "uint8": "*u8",
    "uint16": "*u16", "uint32": "*u32", "uint64": "*u64", "float16": "*fp16", "bfloat16": "*bf16",
    "float32": "*fp32", "float64": "*fp64",
}  # fmt: skip
"""Triton's spelling of a pointer to each dtype; dtypes that no kernel can hold are absent."""

TYPE = {name: f"tl.{'int1' if name == 'bool' else name}" for name in POINTER}
"""Each dtype as an expression in kernel source."""

SCALAR = {name: pointer[1:] for name, pointer in POINTER.items()} | {"bool": "i32"}
"""How a scalar argument of each dtype is declared."""


class CompileError(RuntimeError):
    """A kernel that Triton refuses; says which, for what types and which architecture."""


@dataclass(eq=False, slots=True)
class Kernel:
    """A Triton function with everything that one compiled variant of it is specialised on."""

    function: triton.JITFunction
    source: str
    signature: dict[str, str]
    """The type of every argument but the constants, in order."""
    constants: dict[str, int]
    divisible: frozenset[str] = frozenset()
    """Integer arguments that are multiples of 16, and pointers aligned to 16 bytes."""
    warps: int = 4
    stages: int = 3
    loaded: dict = field(default_factory=dict)
    """What launchers keep with the kernel, by device."""


@dataclass(frozen=True, slots=True)
class Call:
    """A kernel ready to be launched on operands of one layout: only addresses and scalars are missing."""

    kernel: Kernel
    grid: tuple[int, ...]
    integers: tuple[int, ...]
    """The kernel's last arguments: sizes and strides."""


def pointer(dtype: str) -> str:
    """The type of a pointer to `dtype` in a kernel's signature."""
    if dtype not in POINTER:
        raise NotImplementedError(f"Triton kernels do not hold {dtype}")
    return POINTER[dtype]


def define(
    prefix: str,
    signature: Mapping[str, str],
    constants: Mapping[str, int],
    body: Sequence[str],
    divisible: frozenset[str] = frozenset(),
    warps: int = 4,
    stages: int = 3,
) -> Kernel:
    """The kernel with the statements `body`; its source is registered so that Triton can read it back."""
    arguments = ", ".join([*signature, *(f"{name}: tl.constexpr" for name in constants)])
    text = "\n    ".join(body)
    name = f"{prefix}_{hashlib.blake2b(f'{arguments}{text}'.encode(), digest_size=6).hexdigest()}"
    source = f"@triton.jit\ndef {name}({arguments}):\n    {text}\n"
    file = f"<flowtorch kernel {name}>"
    linecache.cache[file] = (len(source), None, source.splitlines(True), file)
    namespace = {"triton": triton, "tl": tl, "libdevice": libdevice, "scalar": scalar, "special": special}
    namespace["__name__"] = __name__
    exec(compile(source, file, "exec"), namespace)
    return Kernel(namespace[name], source, dict(signature), dict(constants), divisible, warps, stages)


def compile_kernel(kernel: Kernel, target: GPUTarget):
    """Compile for `target`, without a GPU or its driver; the result has ``.asm`` and ``.metadata``."""
    names = kernel.function.arg_names
    signature = {name: "constexpr" if name in kernel.constants else kernel.signature[name] for name in names}
    constants = {(names.index(name),): value for name, value in kernel.constants.items()}
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in kernel.divisible}
    options = {"num_warps": kernel.warps, "num_stages": kernel.stages, "enable_fp_fusion": True}
    try:
        source = ASTSource(kernel.function, signature, constants, attributes)
        return triton.compile(source, target=target, options=options)
    except Exception as error:
        types = ", ".join(kernel.signature.values())
        raise CompileError(
            f"the kernel '{kernel.function.__name__}' of ({types}) with {kernel.constants} does not compile for "
            f"{target.backend} {target.arch}: {type(error).__name__}: {error}"
        ) from error


def resource_usage(cubin: bytes) -> dict[str, int]:
    """Registers (REG), spilled bytes (STACK), static shared (SHARED) and local memory (LOCAL) of a cubin."""
    with tempfile.NamedTemporaryFile(suffix=".cubin") as file:
        file.write(cubin)
        file.flush()
        command = [triton.knobs.nvidia.cuobjdump.path, "--dump-resource-usage", file.name]
        text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return {key: int(value) for key, value in re.findall(r"(REG|STACK|SHARED|LOCAL):(\d+)", text)}
