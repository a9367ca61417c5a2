"""Every kind of kernel compiled ahead of time: it compiles, spills nothing, and moves 16 bytes per access.

Run: python -m pytest tests/gpu_kernels/test_compile.py
No GPU is needed; half a minute, seconds with a warm cache.
"""

import re

import pytest

pytest.importorskip("triton.language")

from triton.backends.compiler import GPUTarget

from flowtorch.array.cuda import _package
from flowtorch.codegen.expression import parse
from flowtorch.codegen.functions import FUNCTIONS
from flowtorch.codegen.lowering import lower
from flowtorch.codegen.triton_renderer import render

SM80, SM90 = GPUTarget("cuda", 80, 32), GPUTarget("cuda", 90, 32)
TARGETS = pytest.mark.parametrize("target", [SM80, SM90], ids=["sm_80", "sm_90"])


def module(name):
    import importlib

    return importlib.import_module(f"{_package().__name__}.{name}")


def compiled(call, target=SM90):
    return module("compile").compile_kernel(call.kernel, target)


def assert_no_spills(binary):
    usage = module("compile").resource_usage(binary.asm["cubin"])
    assert usage["STACK"] == 0 and usage["LOCAL"] == 0, usage


def accesses(binary):
    """The widths of global loads and stores in bytes."""
    found = set()
    for vector, bits in re.findall(
        r"(?:ld|st)\.global(?:\.[a-z:0-9_]+?)*?(?:\.v(\d))?\.[bfsu](\d+)", binary.asm["ptx"]
    ):
        found.add(int(vector or 1) * int(bits) // 8)
    return found


def expression(text, types, output=None):
    program = lower([parse(text, tuple(types))], types, {}, [output])
    lines, results = render(program)
    outputs = tuple(value.type for value in program.outputs)
    return module("pointwise").Expression("test", tuple(types.values()), (), outputs, lines, results)


def contiguous(pointwise, operands, elements=None):
    strides = ((1,),) * operands
    return module("pointwise").prepare(pointwise, "contiguous", (10_000,), strides, aligned=True, elements=elements)


@TARGETS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16", "float64", "int64", "int8", "bool"])
def test_contiguous_pointwise_moves_16_bytes(dtype, target):
    binary = compiled(contiguous(expression("a * b", {"a": dtype, "b": dtype}, dtype), 3), target)
    assert_no_spills(binary)
    assert max(accesses(binary)) == 16


@TARGETS
@pytest.mark.parametrize(
    ("text", "types", "output"),
    [
        ("1 / (1 + exp(-a))", {"a": "bfloat16"}, "bfloat16"),
        ("0.5 * a * (1 + erf(a * sqrt(0.5)))", {"a": "float32"}, None),
        ("a + cast(b, float32)", {"a": "float32", "b": "bfloat16"}, None),
        ("where(c, a, b)", {"a": "float32", "b": "float32", "c": "bool"}, None),
        ("a > b", {"a": "float16", "b": "float16"}, None),
    ],
)
def test_expressions_and_mixed_dtypes(text, types, output, target):
    binary = compiled(contiguous(expression(text, types, output), len(types) + 1), target)
    assert_no_spills(binary)
    assert 16 in accesses(binary)


@TARGETS
def test_inner_contiguous_tiles_move_16_bytes_where_rows_are_aligned(target):
    add = expression("a + b", {"a": "float32", "b": "float32"})
    prepare = module("pointwise").prepare
    row = ((640, 1), (0, 1), (640, 1))
    assert 16 in accesses(compiled(prepare(add, "inner", (100, 640), row, aligned=True), target))
    column = ((640, 1), (16, 0), (640, 1))
    assert 16 in accesses(compiled(prepare(add, "inner", (100, 640), column, aligned=True), target))
    for call in (
        prepare(add, "inner", (100, 640), row),
        prepare(add, "inner", (100, 63), ((63, 1), (0, 1), (63, 1)), aligned=True),
        prepare(add, "general", (30, 20, 64), ((1, 30, 600), (0, 64, 2), (1280, 64, 1)), aligned=True),
        prepare(add, "general", (3, 2**31), ((1, 3), (0, 1), (2**31, 1)), wide=True),
        prepare(add, "contiguous", (2**32,), ((1,), (1,), (1,)), wide=True, aligned=True),
    ):
        assert_no_spills(compiled(call, target))


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "bool"])
def test_every_function_compiles(dtype):
    category = {"f": "f", "i": "i", "u": "i", "b": "b"}[dtype[0]]
    functions = [
        f for f in FUNCTIONS.values() if category in f.accepts and f.rule != "cast" and f.name not in ("gcd", "complex")
    ]
    types = dict.fromkeys("abc", dtype)
    program = lower([parse(f"{f.name}({', '.join('abc'[: f.arity])})", tuple("abc")) for f in functions], types)
    lines, results = render(program)
    outputs = tuple(value.type for value in program.outputs)
    every = module("pointwise").Expression("every", tuple(types.values()), (), outputs, lines, results)
    compiled(contiguous(every, 3 + len(outputs), elements=128))


@TARGETS
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("rule", ["sum", "amax", "prod"])
def test_reductions(rule, dtype, target):
    prepare = module("reduction").prepare
    for kept, reduced in (
        (((1024, 1024, 1),), ((1024, 1),)),  # rows
        (((1024, 1, 1),), ((1024, 1024),)),  # columns
        ((), ((1 << 20, 1),)),  # everything, in two passes
    ):
        calls, workspace = prepare(rule, (dtype,), dtype, kept, reduced, aligned=True)
        assert len(calls) == (1 if kept else 2) and (workspace is None) == bool(kept)
        for call in calls:
            assert_no_spills(compiled(call, target))
        assert 16 in accesses(compiled(calls[0], target))


@pytest.mark.parametrize(
    ("rule", "dtype"), [("mean", "float64"), ("amin", "int8"), ("any", "bool"), ("all", "float32")]
)
def test_other_reductions(rule, dtype):
    output = "bool" if rule in ("any", "all") else dtype
    strided = (((8, 4096, 64), (64, 1, 1)), ((16, 64), (3, 1 << 20)))
    for call in module("reduction").prepare(rule, (dtype,), output, *strided, wide=True)[0]:
        assert_no_spills(compiled(call))


@TARGETS
@pytest.mark.parametrize("log", [False, True])
def test_softmax(log, target):
    prepare = module("softmax").prepare
    for length, dtype in ((64, "float32"), (4096, "bfloat16"), (50_000, "float32")):
        rows = ((4096, length, length),)
        forward = compiled(prepare(log, (dtype,) * 2, rows, (length, 1, 1), aligned=True), target)
        assert_no_spills(forward)
        assert 16 in accesses(forward)
        rows = ((4096, length, length, length),)
        assert_no_spills(compiled(prepare(log, (dtype,) * 3, rows, (length, 1, 1, 1), aligned=True), target))
    columns = ((16, 64_000, 64_000), (64, 1, 1))
    for dtype in ("float32", "float64"):
        assert_no_spills(compiled(prepare(log, (dtype,) * 2, columns, (1000, 64, 64), aligned=True), target))


@TARGETS
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32", "float64", "int64"])
def test_matrix_products(dtype, target):
    prepare = module("matmul").prepare
    for rows, cols, inner in ((1024, 1024, 1024), (8, 1000, 100)):
        strides = ((inner, 1), (cols, 1), (cols, 1))
        binary = compiled(prepare((dtype,) * 3, (rows, cols, inner), strides, aligned=True), target)
        assert_no_spills(binary)
        assert binary.metadata.shared <= 160 * 1024
    if dtype in ("float16", "bfloat16"):
        assert "mma" in binary.asm["ptx"]  # tensor cores
    if dtype == "float32":
        assert "tf32" not in binary.asm["ptx"]  # full precision
    transposed = ((1, 1024), (1, 1024), (1024, 1))
    batch = ((7, 1 << 20, 0, 1 << 20),)
    assert_no_spills(compiled(prepare((dtype,) * 3, (1024,) * 3, transposed, batch, aligned=True), target))


def test_an_amd_target():
    gfx942 = GPUTarget("hip", "gfx942", 64)
    gelu = contiguous(expression("0.5 * a * (1 + erf(a * sqrt(0.5)))", {"a": "bfloat16"}, "bfloat16"), 2)
    total, _ = module("reduction").prepare("sum", ("float32",), "float32", ((64, 64, 1),), ((64, 1),))
    product = module("matmul").prepare(("float16",) * 3, (128,) * 3, ((128, 1),) * 3)
    for call in (gelu, *total, product):
        assert re.findall(r"vgpr_spill_count:\s+(\d+)", compiled(call, gfx942).asm["amdgcn"]) == ["0"]


def test_mistakes_in_generated_text_are_compile_errors():
    wrong = module("pointwise").Expression("wrong", ("bfloat16",), (), ("bfloat16",), ("t0 = tl.exp(x0)",), ("t0",))
    said = r"'wrong_\w+' of \(\*bf16, .* for cuda 90: CompilationError"
    with pytest.raises(module("compile").CompileError, match=said):
        compiled(contiguous(wrong, 2))


@pytest.mark.parametrize("seed", ["i64", "*i64"])
def test_draws_in_and_out_of_captured_graphs(seed):
    types = ("*fp32", "*fp32", "*i1", "i32", seed, "i64", "i64", "fp32", "fp32")
    import triton.language as tl

    kernel = module("direct").variant(
        module("dropout").dropout, types, (("STATE", tl.float32), ("BLOCK", 1024)), frozenset(("x_ptr", "y_ptr"))
    )
    binary = module("compile").compile_kernel(kernel, SM90)
    assert_no_spills(binary)
    loads = [line for line in binary.asm["ptx"].splitlines() if "ld.global" in line and ".b64" in line]
    assert bool(loads) == (seed == "*i64")
