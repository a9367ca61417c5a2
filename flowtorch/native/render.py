"""The pointwise loops of the native tier, rendered from the op records' expressions.

``python -m flowtorch.native.render`` writes ``loops.c`` anew; a test holds that they are what it would write.
"""

from __future__ import annotations

from pathlib import Path

from flowtorch.codegen import c_renderer
from flowtorch.codegen.expression import constant, parse
from flowtorch.codegen.lowering import Program, Value, lower

REAL = ("float32", "float64")
SINGLE = ("float32",)  # numpy's vectorised double precision functions are better than libm's scalar ones
NUMBERS = ("float32", "float64", "int64")

# op -> dtypes. What is missing here is left to numpy: either numpy is as fast, or nobody calls it in a hot loop.
OPS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("add", "sub", "mul", "neg", "maximum", "minimum", "abs", "square", "_where"), NUMBERS),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), NUMBERS),
    **dict.fromkeys(("logical_and", "logical_or", "logical_not"), ("bool",)),
    **dict.fromkeys(
        (
            "true_divide", "sqrt", "rsqrt", "reciprocal", "relu", "_relu_backward", "_sigmoid_backward",
            "_tanh_backward", "addcmul", "addcdiv", "lerp", "clamp", "threshold", "leaky_relu",
            "_prelu_kernel", "huber", "hardtanh", "hardsigmoid", "hardswish", "hardshrink", "floor", "ceil", "trunc",
            "isnan", "isinf", "isfinite",
        ),
        REAL,
    ),
    **dict.fromkeys(
        ("exp", "expm1", "log", "tanh", "sigmoid", "gelu", "_gelu_backward", "gelu_tanh", "silu", "_silu_backward",
         "elu"),
        SINGLE,
    ),
    "erf": REAL,
    **dict.fromkeys(("erfc", "lgamma"), ("float64",)),  # libm's are exact to a unit, scipy's to a few
}  # fmt: skip
# Parameters that the loops leave at their default; other values go to the numpy kernel.
FIXED = {"add": ("alpha",), "sub": ("alpha",)}
# Elements that are worth waking a thread for.
CHEAP, DEAR = 50_000, 8_000
_DEAR = {"exp", "expm1", "log", "tanh", "erf", "erfc", "lgamma"}


def program(op, dtype: str) -> Program:
    """The typed program of ``op`` for operands of ``dtype``."""
    tree = parse(op.expr, op.tensors, op.params)
    tree = tree.substitute({n: constant(op.defaults[n]) for n in FIXED.get(op.name, ())})
    result = {"bool": "bool"}.get(op.promote, dtype)
    inputs = {n: "bool" if n == "condition" else dtype for n in op.tensors}
    return lower([tree], inputs, dict.fromkeys(tree.names("parameter"), dtype), [result])


# The functions that vector.h has, and what else their expressions use.
_VECTOR = {
    "add": "{0} + {1}", "sub": "{0} - {1}", "mul": "{0} * {1}", "div": "{0} / {1}", "neg": "-{0}",
    "exp": "v_exp({0})", "log": "v_log({0})", "tanh": "v_tanh({0})", "erf": "v_erf({0})", "expm1": "v_expm1({0})",
    "gt": "v_less({1}, {0})", "where": "v_select({0}, {1}, {2})",
}  # fmt: skip


def _logistic(value: Value) -> Value | None:
    """The x of 1 + exp(-x), which is one over a function of its own."""
    if value.op == "add":
        for one, other in (value.args, value.args[::-1]):
            if one.op == "constant" and one.payload == 1 and other.op == "exp" and other.args[0].op == "neg":
                return other.args[0].args[0]
    return None


def _gauss(value: Value) -> Value | None:
    """The x of erfc(x * -sqrt(0.5)), twice the normal distribution."""
    if value.op == "erfc" and value.args[0].op == "mul":
        for factor, x in (value.args[0].args, value.args[0].args[::-1]):
            if factor.op == "constant" and abs(float(str(factor.payload)) + 0.5**0.5) < 1e-9:
                return x
    return None


def vector_loop(name: str, p: Program) -> str:
    """The same on vectors, for expressions of slow float32 functions; and again with results that pass the caches."""
    inputs, lines = range(len(p.inputs)), []
    places = ", ".join(f"(char *)({x} + i)" for x in [*(f"x{k}" for k in inputs), "y"])
    names = {v: f"e{k}" for k, v in enumerate(p.inputs)} | {v: f"s{k}" for k, v in enumerate(p.parameters)}
    for position, value in enumerate(p.steps):
        names[value] = f"t{position}"
        x = _logistic(value.args[1]) if value.op == "div" else None
        normal = _gauss(value)
        if value.op == "constant":
            text = f"v_all({value.payload!r}f)"
        elif normal is not None:
            text = f"v_normal({names[normal]})"
        elif x is not None:
            above = value.args[0]
            logistic = f"v_sigmoid({names[x]})"
            text = logistic if above.op == "constant" and above.payload == 1 else f"{names[above]} * {logistic}"
        else:
            text = _VECTOR[value.op].format(*(names[arg] for arg in value.args))
        lines.append(f"{'vm' if value.type == 'bool' else 'vf'} t{position} = {text};")
    (result,) = (names[v] for v in p.outputs)
    parameters = range(len(p.parameters))
    given = ", ".join([*(f"vf e{k}" for k in inputs), *(f"vf s{k}" for k in parameters)])
    constants = [f"    const vf s{k} = v_all((float)s[{k}]);" for k in parameters]

    def call(load: str) -> str:
        operands = [*(load.format(k=k) for k in inputs), *(f"s{k}" for k in parameters)]
        return f"{name}_vector({', '.join(operands)})"

    return "\n".join([
        f"INLINE vf {name}_vector({given}) {{",
        *(f"    {line}" for line in lines),
        f"    return {result};",
        "}",
        f"static void {name}(char *const *p, Index n, const double *s) {{",
        *(f"    const float *x{k} = (const float *)p[{k}];" for k in inputs),
        f"    float *y = (float *)p[{len(p.inputs)}];",
        *constants,
        "    Index i = 0;",
        f"    for (; i + LANES <= n; i += LANES) v_store(y + i, {call('v_load(x{k} + i)')});",
        f"    if (i < n) v_store_part(y + i, {call('v_load_part(x{k} + i, n - i, 0.5f)')}, n - i);",
        "}",
        f"static void {name}_streamed(char *const *p, Index n, const double *s) {{",
        *(f"    const float *x{k} = (const float *)p[{k}];" for k in inputs),
        f"    float *y = (float *)p[{len(p.inputs)}];",
        *constants,
        "    Index i = 0;",
        "    for (; i + LANES <= n; i += LANES) {",
        *(f"        stream_prefetch((const char *)(x{k} + i));" for k in inputs),
        f"        v_stream(y + i, {call('v_load(x{k} + i)')});",
        "    }",
        f"    char *const rest[] = {{{places}}};",
        f"    {name}(rest, n - i, s);",
        "}",
        "",
    ])


def _on_vectors(p: Program) -> bool:
    kinds = {v.type for v in (*p.inputs, *p.steps)}
    return kinds <= {"float32", "bool"} and any(v.op in _DEAR for v in p.steps)


def loop(name: str, p: Program) -> str:
    """The C function of one loop over contiguous elements."""
    if _on_vectors(p):
        return vector_loop(name, p)
    kinds = [c_renderer.c_type(v.type) for v in p.inputs]
    lines = [f"{kind} e{k} = x{k}[i];" for k, kind in enumerate(kinds)]
    names: dict[Value, str] = {v: f"e{k}" for k, v in enumerate(p.inputs)}
    names |= {v: f"s{k}" for k, v in enumerate(p.parameters)}
    body, (result,) = c_renderer.statements(p, names)
    out = c_renderer.c_type(p.outputs[0].type)
    heads = [f"const {kind} *x{k} = (const {kind} *)p[{k}];" for k, kind in enumerate(kinds)]
    heads.append(f"{out} *y = ({out} *)p[{len(kinds)}];")
    for k, v in enumerate(p.parameters):
        kind = c_renderer.c_type(v.type)
        heads.append(f"const {kind} s{k} = ({kind})s[{k}];")
    return "\n".join([
        f"static void {name}(char *const *p, Index n, const double *s) {{",
        *(f"    {line}" for line in heads),
        "    _Pragma(\"GCC ivdep\") for (Index i = 0; i < n; i++) {",
        *(f"        {line}" for line in [*lines, *body]),
        f"        y[i] = {result};",
        "    }",
        "}",
        "",
    ])


def _number(value: object) -> str:
    return repr(float(value)) if isinstance(value, (int, float)) else "NAN"


def record(op, programs: dict[str, Program]) -> str:
    """The table entry of one op: its loops by dtype, its parameters and their defaults."""
    first = next(iter(programs.values()))
    parameters = [str(v.payload) for v in first.parameters]
    dear = any(v.op in _DEAR for v in first.steps)
    variants = []
    for dtype, p in programs.items():
        codes = ", ".join(v.type.upper() for v in p.inputs)
        name = f"{op.name}_{dtype}"
        streamed = f"{name}_streamed" if _on_vectors(p) else "NULL"
        variants.append(f"{{{{{codes}}}, {p.outputs[0].type.upper()}, {name}, {streamed}}}")
    names = ", ".join(f'"{n}"' for n in parameters) or "NULL"
    defaults = ", ".join(_number(op.defaults.get(n)) for n in parameters) or "0"
    return (
        f"static const Pointwise {op.name}_record = {{{len(first.inputs)}, {len(parameters)}, "
        f"{DEAR if dear else CHEAP}, {{{names}}}, {{{defaults}}},\n    {{{', '.join(variants)}, {{{{0}}}}}}}};\n"
    )


def render() -> dict[str, str]:
    """The generated files by name."""
    import flowtorch  # noqa: F401  (fills the registry)
    from flowtorch.ops.op import REGISTRY

    head = "/* Written by flowtorch/native/render.py from the expressions of the ops: change those, not this. */\n"
    text, entries = [head, '#include "pointwise.h"\n#include "stream.h"\n#include "vector.h"\n'], []
    for name, kinds in OPS.items():
        op = REGISTRY[name]
        programs = {kind: program(op, kind) for kind in kinds}
        text += [loop(f"{name}_{kind}", p) for kind, p in programs.items()]
        text.append(record(op, programs))
        entries.append(f'    {{"{name}", pointwise_run, &{name}_record}},')
    entries.append('    {"select", pointwise_run, &_where_record},')     # the function of array/select.py
    text.append("\n".join(["const Entry pointwise_entries[] = {", *entries, "    {NULL},", "};", ""]))
    return {"loops.c": "\n".join(text)}


def main() -> None:
    """Write the generated files."""
    for name, text in render().items():
        Path(__file__).with_name(name).write_text(text)


if __name__ == "__main__":
    main()
