"""Update formulas, each written once in the vocabulary of tensors.

A formula is a function over a parameter, its gradient and the optimiser's state, followed by numbers::

    @formula
    def momentum(param, grad, buf, /, *, lr, decay):
        buf = buf.mul(decay).add(grad)
        return param.add(buf, alpha=-lr), buf

It returns the new value of everything but the gradient. Run as it stands, it computes on tensors: any device,
any layout, differentiable. Traced once with symbols instead of tensors, it becomes a `Kernel`: a straight
line of numpy calls that write into the parameter and the state in place and need only a few block-sized work
arrays.

Arguments before ``/`` are arrays (None where an option leaves one out), those after ``*`` are numbers. A
number that is None, True or False selects a branch and so belongs to the kernel; any other number is passed
at each call, and arithmetic between numbers happens once per call in Python's floats, as in PyTorch.
"""
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from flowtorch.tensor import Tensor

from .kernel import Kernel, compile_kernel


class Formula:
    """An update formula and the kernels it has been compiled to, one per set of options in use."""

    def __init__(self, function: Callable[..., tuple]) -> None:
        code = function.__code__
        self.function = function
        self.arrays = code.co_varnames[:code.co_posonlyargcount]
        self.numbers = code.co_varnames[code.co_posonlyargcount:code.co_posonlyargcount
                                        + code.co_kwonlyargcount]
        self.__name__, self.__doc__ = function.__name__, function.__doc__
        self._kernels: dict[tuple, Kernel] = {}

    def __call__(self, *arrays: Any, **numbers: Any) -> tuple:
        """The new parameter and state, computed on tensors."""
        return self.function(*arrays, **numbers)

    def kernel(self, present: tuple[bool, ...], numbers: dict[str, Any]) -> Kernel:
        """The kernel for these arrays (True: there is one) and the options among ``numbers``."""
        values = map(numbers.__getitem__, self.numbers)
        options = tuple([v if v is None or v is True or v is False else 0 for v in values])
        key = present, options
        try:
            return self._kernels[key]
        except KeyError:
            kernel = self._kernels.setdefault(key, self._trace(present, numbers))
        return kernel

    def _trace(self, present: Sequence[bool], numbers: dict[str, Any]) -> Kernel:
        inputs = [Term("input", index=i) if there else None for i, there in enumerate(present)]
        symbols = {name: value if value is None or value is True or value is False else Number(name)
                   for name, value in numbers.items()}
        results = self.function(*inputs, **symbols)
        written = [i for i in range(len(present)) if i != 1]     # all but the gradient
        outputs = {i: r for i, r in zip(written, results, strict=True) if present[i] and r is not inputs[i]}
        return compile_kernel(self.__name__, present, outputs, tuple(numbers))


formula = Formula


# ---- words of a formula that also hold for numbers that are tensors with a gradient of their own

def add(x: Any, y: Any, alpha: Any) -> Any:
    """``x + alpha * y``."""
    return x + alpha * y if isinstance(alpha, Tensor) else x.add(y, alpha=alpha)


def addcmul(x: Any, y: Any, z: Any, value: Any) -> Any:
    """``x + value * y * z``."""
    return x + value * y * z if isinstance(value, Tensor) else x.addcmul(y, z, value=value)


def addcdiv(x: Any, y: Any, z: Any, value: Any) -> Any:
    """``x + value * y / z``."""
    return x + value * y / z if isinstance(value, Tensor) else x.addcdiv(y, z, value=value)


def where(condition: Any, x: Any, y: Any) -> Any:
    """``x`` where the condition holds, else ``y``; either may be a number."""
    if isinstance(condition, Term):
        return Term("where", condition, x, y)
    import flowtorch

    return flowtorch.where(condition, x, y)


def maximum(x: Any, y: Any) -> Any:
    """The larger of two tensors element by element; NaN if either is."""
    return x.maximum(y)


# ---- symbols

class Number:
    """A number known at the call, as the text of a Python expression over the formula's arguments."""

    __slots__ = ("text",)

    def __init__(self, text: str) -> None:
        self.text = text

    def __neg__(self) -> Number:
        return Number(f"(-{self.text})")

    def __bool__(self) -> bool:
        raise TypeError(f"a formula cannot branch on the number {self.text}; pass None, True or False to "
                        "select a branch")


def _arithmetic(symbol: str, swapped: bool = False) -> Callable[[Number, Any], Number]:
    def method(self: Number, other: Any) -> Number:
        if isinstance(other, Term):
            return NotImplemented
        text = other.text if isinstance(other, Number) else repr(other)
        left, right = (text, self.text) if swapped else (self.text, text)
        return Number(f"({left} {symbol} {right})")
    return method


for _name, _symbol in {"add": "+", "sub": "-", "mul": "*", "truediv": "/", "pow": "**"}.items():
    setattr(Number, f"__{_name}__", _arithmetic(_symbol))
    setattr(Number, f"__r{_name}__", _arithmetic(_symbol, swapped=True))


class Term:
    """A tensor of a formula while it is traced: the operation that makes it and that operation's operands."""

    __slots__ = ("args", "index", "op")

    def __init__(self, op: str, *args: Any, index: int = -1) -> None:
        self.op, self.args, self.index = op, args, index

    def add(self, other: Any, alpha: Any = 1) -> Term:
        return Term("add", self, other if type(alpha) is int and alpha == 1 else Term("mul", other, alpha))

    def sub(self, other: Any) -> Term:
        return Term("sub", self, other)

    def mul(self, other: Any) -> Term:
        return Term("mul", self, other)

    def div(self, other: Any) -> Term:
        return Term("div", self, other)

    def neg(self) -> Term:
        return Term("neg", self)

    def detach(self) -> Term:
        return self

    def sqrt(self) -> Term:
        return Term("sqrt", self)

    def abs(self) -> Term:
        return Term("abs", self)

    def sign(self) -> Term:
        # Not numpy's sign: that of NaN is 0.
        return Term("where", self > 0, 1.0, Term("where", self < 0, -1.0, 0.0))

    def maximum(self, other: Any) -> Term:
        return Term("maximum", self, other)

    def clamp(self, low: Any, high: Any) -> Term:
        return Term("minimum", Term("maximum", self, low), high)

    def lerp(self, end: Term, weight: Any) -> Term:
        return Term("lerp", self, end, weight)

    def addcmul(self, x: Term, y: Term, value: Any = 1) -> Term:
        return self._plus("mul", x, y, value)

    def addcdiv(self, x: Term, y: Term, value: Any = 1) -> Term:
        return self._plus("div", x, y, value)

    def _plus(self, op: str, x: Term, y: Term, value: Any) -> Term:
        if type(value) is int and value in (1, -1):
            return Term("add" if value == 1 else "sub", self, Term(op, x, y))
        return Term("add", self, Term(op, Term("mul", x, value), y))

    def __rsub__(self, other: Any) -> Term:
        return Term("sub", other, self)

    def __rtruediv__(self, other: Any) -> Term:
        return Term("div", other, self)

    def __pow__(self, other: Any) -> Term:
        return Term("pow", self, other)

    def __rpow__(self, other: Any) -> Term:
        return Term("pow", other, self)

    def __eq__(self, other: Any) -> Term:        # type: ignore[override]
        return Term("eq", self, other)

    def __gt__(self, other: Any) -> Term:
        return Term("gt", self, other)

    def __lt__(self, other: Any) -> Term:
        return Term("lt", self, other)

    def __bool__(self) -> bool:
        raise TypeError("a formula cannot branch on a tensor; use where")

    __hash__ = object.__hash__
    __neg__ = neg
    __add__ = __radd__ = add
    __sub__ = sub
    __mul__ = __rmul__ = mul
    __truediv__ = div
