"""Programs on complex numbers as programs on their parts, for renderers that know real numbers alone."""

from __future__ import annotations

from .dtypes import CATEGORY, real_type
from .lowering import Program, Value

Pair = tuple[Value, Value]


def has_complex(program: Program) -> bool:
    """Whether any value of the program is complex."""
    every = (*program.inputs, *program.parameters, *program.steps, *program.outputs)
    return any(CATEGORY[value.type] == "c" for value in every)


def split(program: Program) -> Program:
    """The program with two inputs, parameters and outputs (real part first) for each complex one."""
    parts = _Parts()
    inputs = [piece for value in program.inputs for piece in parts.given(value, "input")]
    parameters = [piece for value in program.parameters for piece in parts.given(value, "parameter")]
    for value in program.steps:
        parts.step(value)
    outputs: list[Value] = []
    for value in program.outputs:
        found = parts.found[value]
        outputs += found if isinstance(found, tuple) else [found]
    needed: set[Value] = set()
    stack = list(outputs)
    while stack:
        value = stack.pop()
        if value not in needed:
            needed.add(value)
            stack.extend(value.args)
    return Program(tuple(inputs), tuple(parameters), tuple(v for v in parts.order if v in needed), tuple(outputs))


class _Parts:
    def __init__(self) -> None:
        self.found: dict[Value, Value | Pair] = {}
        self.order: list[Value] = []

    def given(self, value: Value, kind: str) -> list[Value]:
        if CATEGORY[value.type] != "c":
            self.found[value] = value
            return [value]
        pair = tuple(Value(kind, real_type(value.type), (), f"{value.payload}.{part}") for part in ("re", "im"))
        self.found[value] = pair  # type: ignore[assignment]
        return list(pair)

    def emit(self, op: str, type: str, *args: Value, payload: object = None) -> Value:
        made = Value(op, type, args, payload)
        self.order.append(made)
        return made

    def step(self, value: Value) -> None:
        args = [self.found[arg] for arg in value.args]
        complex_type = CATEGORY[value.type] == "c"
        if not complex_type and not any(isinstance(arg, tuple) for arg in args):
            made = value if all(a is b for a, b in zip(args, value.args, strict=True)) else self.emit(
                value.op, value.type, *args, payload=value.payload)  # type: ignore[arg-type]
            if made is value:
                self.order.append(value)
            self.found[value] = made
            return
        rule = getattr(self, f"do_{value.op}", None)
        if rule is None:
            raise NotImplementedError(f"{value.op} on {value.type} has no Triton kernel")
        operands = [next((a for a in value.args if CATEGORY[a.type] == "c"), value)]
        self.real = real_type(operands[0].type if CATEGORY[operands[0].type] == "c" else value.type)
        if value.op in ("constant", "cast"):
            self.found[value] = rule(value, *args)
        else:
            self.found[value] = rule(*args)

    # arithmetic on parts, all of the type self.real
    def f(self, op: str, *args: Value) -> Value:
        return self.emit(op, self.real, *args)

    def number(self, value: float) -> Value:
        return self.emit("constant", self.real, payload=value)

    def test(self, op: str, *args: Value) -> Value:
        return self.emit(op, "bool", *args)

    # ---- the functions
    def do_constant(self, value: Value) -> Pair:
        number = complex(value.payload)  # type: ignore[call-overload]
        return self.number(number.real), self.number(number.imag)

    def do_cast(self, value: Value, x: Value | Pair) -> Value | Pair:
        if CATEGORY[value.type] == "c":
            real = real_type(value.type)
            if isinstance(x, tuple):
                return tuple(self.emit("cast", real, part) for part in x)  # type: ignore[return-value]
            return self.emit("cast", real, x), self.emit("constant", real, payload=0.0)
        assert isinstance(x, tuple)
        if value.type == "bool":
            zero = self.emit("constant", x[0].type, payload=0.0)
            return self.test("logical_or", *(self.test("ne", part, zero) for part in x))
        return x[0] if x[0].type == value.type else self.emit("cast", value.type, x[0])

    def do_add(self, x: Pair, y: Pair) -> Pair:
        return self.f("add", x[0], y[0]), self.f("add", x[1], y[1])

    def do_sub(self, x: Pair, y: Pair) -> Pair:
        return self.f("sub", x[0], y[0]), self.f("sub", x[1], y[1])

    def do_neg(self, x: Pair) -> Pair:
        return self.f("neg", x[0]), self.f("neg", x[1])

    def do_conj(self, x: Pair) -> Pair:
        return x[0], self.f("neg", x[1])

    def do_mul(self, x: Pair, y: Pair) -> Pair:
        real = self.f("sub", self.f("mul", x[0], y[0]), self.f("mul", x[1], y[1]))
        return real, self.f("add", self.f("mul", x[0], y[1]), self.f("mul", x[1], y[0]))

    def do_div(self, x: Pair, y: Pair) -> Pair:
        # scaled by the larger part of the divisor, so that its square does not overflow
        top = self.f("maximum", self.f("abs", y[0]), self.f("abs", y[1]))
        # over an infinite divisor, which is scaled to its direction, finite numbers are zero
        endless = self.test("isinf", top)
        c, d = (self.f("where", endless, self._direction(part), self.f("div", part, top)) for part in y)
        size = self.f("mul", top, self.f("add", self.f("mul", c, c), self.f("mul", d, d)))
        real, imag = self.do_mul(x, (c, self.f("neg", d)))
        return self.f("div", real, size), self.f("div", imag, size)

    def _direction(self, x: Value) -> Value:
        """1 with the sign of an infinite number, 0 of a finite one."""
        size = self.f("where", self.test("isinf", x), self.number(1.0), self.number(0.0))
        return self.f("copysign", size, x)

    def do_abs(self, x: Pair) -> Value:
        return self.f("hypot", *x)

    def do_angle(self, x: Pair) -> Value:
        return self.f("atan2", x[1], x[0])

    def do_real(self, x: Pair) -> Value:
        return x[0]

    def do_imag(self, x: Pair) -> Value:
        return x[1]

    def do_complex(self, real: Value, imag: Value) -> Pair:
        return real, imag

    def do_sgn(self, x: Pair) -> Pair:
        size = self.do_abs(x)
        none = self.test("eq", size, self.number(0.0))
        divisor = self.f("where", none, self.number(1.0), size)
        return self.f("div", x[0], divisor), self.f("div", x[1], divisor)

    def do_exp(self, x: Pair) -> Pair:
        size = self.f("exp", x[0])
        return self.f("mul", size, self.f("cos", x[1])), self.f("mul", size, self.f("sin", x[1]))

    def do_log(self, x: Pair) -> Pair:
        return self.f("log", self.do_abs(x)), self.do_angle(x)

    def do_log1p(self, x: Pair) -> Pair:
        # |1 + x| ** 2 - 1, where that is small, keeps what 1 + x rounds away
        square = self.f("mul", x[1], x[1])
        excess = self.f("add", self.f("mul", x[0], self.f("add", x[0], self.number(2.0))), square)
        near = self.test("lt", self.f("abs", excess), self.number(0.5))
        real, imag = self.do_log((self.f("add", x[0], self.number(1.0)), x[1]))
        return self.f("where", near, self.f("mul", self.number(0.5), self.f("log1p", excess)), real), imag

    def do_exp2(self, x: Pair) -> Pair:
        angle = self.f("mul", x[1], self.number(0.6931471805599453))
        size = self.f("exp2", x[0])
        return self.f("mul", size, self.f("cos", angle)), self.f("mul", size, self.f("sin", angle))

    def do_expm1(self, x: Pair) -> Pair:
        half = self.f("sin", self.f("mul", x[1], self.number(0.5)))
        lost = self.f("mul", self.number(2.0), self.f("mul", half, half))
        real = self.f("sub", self.f("mul", self.f("expm1", x[0]), self.f("cos", x[1])), lost)
        return real, self.f("mul", self.f("exp", x[0]), self.f("sin", x[1]))

    def _log_to(self, x: Pair, factor: float) -> Pair:
        real, imag = self.do_log(x)
        scale = self.number(factor)
        return self.f("mul", real, scale), self.f("mul", imag, scale)

    def do_log2(self, x: Pair) -> Pair:
        return self._log_to(x, 1.4426950408889634)

    def do_log10(self, x: Pair) -> Pair:
        return self._log_to(x, 0.4342944819032518)

    def do_sqrt(self, x: Pair) -> Pair:
        half = self.number(0.5)
        size = self.f("sqrt", self.f("mul", half, self.f("add", self.f("abs", x[0]), self.do_abs(x))))
        other = self.f("div", self.f("mul", half, self.f("abs", x[1])), size)
        none = self.test("eq", size, self.number(0.0))
        other = self.f("where", none, self.number(0.0), other)
        right = self.test("ge", x[0], self.number(0.0))
        imag = self.f("copysign", self.f("where", right, other, size), x[1])
        return self.f("where", right, size, other), imag

    def do_rsqrt(self, x: Pair) -> Pair:
        return self.do_div((self.number(1.0), self.number(0.0)), self.do_sqrt(x))

    def do_pow(self, x: Pair, y: Pair) -> Pair:
        real, imag = self.do_exp(self.do_mul(self.do_log(x), y))
        none = self.test("eq", self.do_abs(x), self.number(0.0))
        origin = self.test("eq", self.do_abs(y), self.number(0.0))
        start = self.f("where", origin, self.number(1.0), self.number(0.0))
        return self.f("where", none, start, real), self.f("where", none, self.number(0.0), imag)

    def do_sinh(self, x: Pair) -> Pair:
        return (self.f("mul", self.f("sinh", x[0]), self.f("cos", x[1])),
                self.f("mul", self.f("cosh", x[0]), self.f("sin", x[1])))

    def do_cosh(self, x: Pair) -> Pair:
        return (self.f("mul", self.f("cosh", x[0]), self.f("cos", x[1])),
                self.f("mul", self.f("sinh", x[0]), self.f("sin", x[1])))

    def do_sin(self, x: Pair) -> Pair:
        return (self.f("mul", self.f("sin", x[0]), self.f("cosh", x[1])),
                self.f("mul", self.f("cos", x[0]), self.f("sinh", x[1])))

    def do_cos(self, x: Pair) -> Pair:
        return (self.f("mul", self.f("cos", x[0]), self.f("cosh", x[1])),
                self.f("neg", self.f("mul", self.f("sin", x[0]), self.f("sinh", x[1]))))

    def do_tanh(self, x: Pair) -> Pair:
        # by tanh and tan of the parts, which stay finite where sinh and cosh do not
        one, t, u = self.number(1.0), self.f("tanh", x[0]), self.f("tan", x[1])
        product, cosh = self.f("mul", t, u), self.f("cosh", x[0])
        size = self.f("add", one, self.f("mul", product, product))
        real = self.f("div", self.f("mul", t, self.f("add", one, self.f("mul", u, u))), size)
        return real, self.f("div", self.f("div", self.f("div", u, cosh), cosh), size)

    def do_tan(self, x: Pair) -> Pair:
        return self._turned("tanh", x)

    # Kahan, "Branch cuts for complex elementary functions", 1987
    def _roots(self, x: Pair) -> tuple[Pair, Pair]:
        """The square roots of 1 - x and 1 + x."""
        one = self.number(1.0)
        below = self.do_sqrt((self.f("sub", one, x[0]), self.f("neg", x[1])))
        return below, self.do_sqrt((self.f("add", one, x[0]), x[1]))

    def _cross(self, x: Pair, y: Pair) -> Value:
        """The imaginary part of conj(x) * y."""
        return self.f("sub", self.f("mul", x[0], y[1]), self.f("mul", x[1], y[0]))

    def do_asin(self, x: Pair) -> Pair:
        below, above = self._roots(x)
        along = self.f("sub", self.f("mul", below[0], above[0]), self.f("mul", below[1], above[1]))
        return self.f("atan2", x[0], along), self.f("asinh", self._cross(below, above))

    def do_acos(self, x: Pair) -> Pair:
        below, above = self._roots(x)
        half = self.f("atan2", below[0], above[0])
        return self.f("mul", self.number(2.0), half), self.f("asinh", self._cross(above, below))

    def do_acosh(self, x: Pair) -> Pair:
        one = self.number(1.0)
        less = self.do_sqrt((self.f("sub", x[0], one), x[1]))
        more = self.do_sqrt((self.f("add", x[0], one), x[1]))
        along = self.f("add", self.f("mul", less[0], more[0]), self.f("mul", less[1], more[1]))
        half = self.f("atan2", less[1], more[0])
        return self.f("asinh", along), self.f("mul", self.number(2.0), half)

    def do_atanh(self, x: Pair) -> Pair:
        one, size, square = self.number(1.0), self.f("abs", x[0]), self.f("mul", x[1], x[1])
        away = self.f("sub", one, size)
        distance = self.f("add", self.f("mul", away, away), square)
        quarter = self.f("mul", self.number(0.25), self.f("log1p", self.f(
            "div", self.f("mul", self.number(4.0), size), distance)))  # fmt: skip
        below = self.f("sub", self.f("mul", away, self.f("add", one, size)), square)
        half = self.f("mul", self.number(0.5), self.f("atan2", self.f("mul", self.number(2.0), x[1]), below))
        far = self.test("isinf", distance)
        quarter = self.f("where", far, self.number(0.0), quarter)
        half = self.f("where", far, self.f("copysign", self.number(1.5707963267948966), x[1]), half)
        return self.f("copysign", quarter, x[0]), half

    def do_asinh(self, x: Pair) -> Pair:
        return self._turned("asin", x)

    def do_atan(self, x: Pair) -> Pair:
        return self._turned("atanh", x)

    def _turned(self, name: str, x: Pair) -> Pair:
        """-i * f(i * x)."""
        real, imag = getattr(self, f"do_{name}")((self.f("neg", x[1]), x[0]))
        return imag, self.f("neg", real)

    def do_eq(self, x: Pair, y: Pair) -> Value:
        return self.test("logical_and", self.test("eq", x[0], y[0]), self.test("eq", x[1], y[1]))

    def do_ne(self, x: Pair, y: Pair) -> Value:
        return self.test("logical_or", self.test("ne", x[0], y[0]), self.test("ne", x[1], y[1]))

    def do_where(self, condition: Value, x: Pair, y: Pair) -> Pair:
        return self.f("where", condition, x[0], y[0]), self.f("where", condition, x[1], y[1])

    def do_isnan(self, x: Pair) -> Value:
        return self.test("logical_or", *(self.test("isnan", part) for part in x))

    def do_isinf(self, x: Pair) -> Value:
        return self.test("logical_or", *(self.test("isinf", part) for part in x))

    def do_isfinite(self, x: Pair) -> Value:
        return self.test("logical_and", *(self.test("isfinite", part) for part in x))
