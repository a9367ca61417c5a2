"""``FlopCounterMode``: the floating-point operations of products and convolutions, by module and operator.

Counted are the operators that PyTorch counts on the CPU, under its names for them: a linear layer is an ``addmm``.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from flowtorch.ops_namespace import OpOverload, OpOverloadPacket, ops
from flowtorch.tensor import Tensor
from flowtorch.utils._python_dispatch import TorchDispatchMode
from flowtorch.utils._pytree import tree_map
from flowtorch.utils.module_tracker import ModuleTracker

__all__ = ["FlopCounterMode", "register_flop_formula"]

Shape = Sequence[int]
flop_registry: dict[Any, Callable] = {}


def get_shape(i: Any) -> Any:
    """The shape of a tensor; anything else as it is."""
    return i.shape if isinstance(i, Tensor) else i


def shape_wrapper(f: Callable) -> Callable:
    """Make a formula of shapes one of arguments and the result."""

    def wrapped(*args: Any, out_val: Any = None, **kwargs: Any) -> Any:
        args, kwargs, shape = tree_map(get_shape, (args, kwargs, out_val))
        return f(*args, out_shape=shape, **kwargs)

    return wrapped


def register_flop_formula(targets: Any, get_raw: bool = False) -> Callable:
    """Decorator for a function of an operator's arguments (shapes, unless ``get_raw``) that returns its count."""

    def register(formula: Callable) -> Callable:
        wrapped = formula if get_raw else shape_wrapper(formula)
        for target in targets if isinstance(targets, (list, tuple)) else [targets]:
            if not isinstance(target, OpOverloadPacket):
                raise ValueError(
                    f"register_flop_formula(targets): expected each target to be OpOverloadPacket, got {target}"
                )
            if target in flop_registry:
                raise RuntimeError(f"duplicate registrations for {target}")
            flop_registry[target] = wrapped
        return formula

    return register


@register_flop_formula(ops.aten.mm)
def mm_flop(a_shape: Shape, b_shape: Shape, *args: Any, out_shape: Any = None, **kwargs: Any) -> int:
    """The product of two matrices."""
    return 2 * math.prod(a_shape) * b_shape[-1]


@register_flop_formula(ops.aten.addmm)
def addmm_flop(self_shape: Shape, a_shape: Shape, b_shape: Shape, out_shape: Any = None, **kwargs: Any) -> int:
    """The product of two matrices added to a third, whose addition is not counted."""
    return mm_flop(a_shape, b_shape)


@register_flop_formula(ops.aten.bmm)
def bmm_flop(a_shape: Shape, b_shape: Shape, out_shape: Any = None, **kwargs: Any) -> int:
    """The products of a batch of matrices."""
    return 2 * math.prod(a_shape) * b_shape[-1]


@register_flop_formula(ops.aten.baddbmm)
def baddbmm_flop(self_shape: Shape, a_shape: Shape, b_shape: Shape, out_shape: Any = None, **kwargs: Any) -> int:
    """The products of a batch of matrices, added to another."""
    return bmm_flop(a_shape, b_shape)


def conv_flop_count(x_shape: Shape, w_shape: Shape, out_shape: Shape, transposed: bool = False) -> int:
    """The count of a convolution by the shapes of its input, weight and result."""
    return 2 * x_shape[0] * math.prod((x_shape if transposed else out_shape)[2:]) * math.prod(w_shape)


def _matmul(a: Shape, b: Shape, **kwargs: Any) -> tuple[str, int]:
    if len(a) < 2 or len(b) < 2:  # vectors are not counted
        return "mm", 0
    batch = math.prod(kwargs["out_shape"][:-2])
    return ("bmm" if len(a) > 2 and len(b) > 2 else "mm"), 2 * batch * a[-2] * a[-1] * b[-1]


def _linear(x: Shape, weight: Shape, bias: Shape | None = None, **kwargs: Any) -> tuple[str, int]:
    return ("mm" if bias is None else "addmm"), 2 * math.prod(x) * weight[0]


def _convolution(x: Shape, weight: Shape, *args: Any, out_shape: Any, **kwargs: Any) -> tuple[str, int]:
    return "convolution", conv_flop_count(x, weight, out_shape)


def _convolution_input(g: Shape, weight: Shape, *args: Any, **kwargs: Any) -> tuple[str, int]:
    return "convolution", conv_flop_count(g, weight, g, transposed=True)


def _convolution_weight(g: Shape, x: Shape, *args: Any, out_shape: Any, **kwargs: Any) -> tuple[str, int]:
    # As PyTorch counts: all channels of the input for every group.
    return "convolution", 2 * math.prod(g) * x[1] * math.prod(out_shape[2:])


# What one primitive here is, or takes the place of, in PyTorch: (operator, count).
_TRANSLATED: dict[str, Callable[..., tuple[str, int]]] = {
    "aten.matmul": shape_wrapper(_matmul),
    "aten.linear": shape_wrapper(_linear),
    "aten.convolution": shape_wrapper(_convolution),
    "flowtorch.convolution_input": shape_wrapper(_convolution_input),
    "flowtorch.convolution_weight": shape_wrapper(_convolution_weight),
}


class FlopCounterMode(TorchDispatchMode):
    """Context that counts floating-point operations, forward and backward; prints a table when it ends.

    ``depth``: how deep modules are listed. ``custom_mapping``: formulas by operator, of the shapes of its arguments
    and ``out_shape``.

    >>> import flowtorch as torch
    >>> with FlopCounterMode(display=False) as counter:
    ...     _ = torch.nn.Linear(4, 5)(torch.ones(3, 4))
    >>> counter.get_total_flops()
    120
    """

    def __init__(
        self, mods: Any = None, depth: int = 2, display: bool = True, custom_mapping: dict[Any, Any] | None = None
    ) -> None:
        super().__init__()
        self.depth, self.display = depth, display
        self.flop_counts: dict[str, dict[Any, int]] = defaultdict(lambda: defaultdict(int))
        self.mod_tracker = ModuleTracker()
        own = {k: v if getattr(v, "_get_raw", False) else shape_wrapper(v) for k, v in (custom_mapping or {}).items()}
        self.flop_registry = {**flop_registry, **own}
        self._own = set(own)

    def get_total_flops(self) -> int:
        """The sum over all operators."""
        return sum(self.flop_counts["Global"].values())

    def get_flop_counts(self) -> dict[str, dict[Any, int]]:
        """The counts by module's name (``Global`` for all) and operator."""
        return {name: dict(counts) for name, counts in self.flop_counts.items()}

    def get_table(self, depth: int | None = None) -> str:
        """The counts as a table with a row for each module and operator."""
        depth = self.depth if depth is None else depth
        total = max(self.get_total_flops(), 1)
        rows: list[tuple[str, str, str]] = []
        for name in sorted(self.flop_counts, key=lambda n: (n != "Global", n)):
            level = 0 if name == "Global" else name.count(".") + 1
            if level > depth:
                continue
            counts, indent = self.flop_counts[name], " " * level
            rows.append((indent + name, _in_thousands(sum(counts.values())), f"{sum(counts.values()) / total:.2%}"))
            rows += [(f"{indent} - {op}", _in_thousands(n), f"{n / total:.2%}") for op, n in counts.items()]
        rows = [("Module", "FLOP", "% Total"), *rows]
        widths = [max(len(row[i]) for row in rows) for i in range(3)]
        lines = ["  ".join((row[0].ljust(widths[0]), row[1].rjust(widths[1]), row[2].rjust(widths[2]))) for row in rows]
        return "\n".join([lines[0], "  ".join("-" * w for w in widths), *lines[1:]])

    def __enter__(self) -> FlopCounterMode:
        self.flop_counts.clear()
        self.mod_tracker.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        super().__exit__(*exc)
        self.mod_tracker.__exit__()
        if self.display:
            print(self.get_table(self.depth))

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        packet = func.overloadpacket if isinstance(func, OpOverload) else func
        translated = None if packet in self._own else _TRANSLATED.get(str(packet))
        if translated is not None:
            name, count = translated(*args, **kwargs, out_val=out)
            backward = name == "convolution" and self.mod_tracker.is_bw
            packet = getattr(ops.aten, "convolution_backward" if backward else name)
        elif packet in self.flop_registry:
            count = self.flop_registry[packet](*args, **kwargs, out_val=out)
        else:
            return out
        if count:
            for parent in self.mod_tracker.parents:
                self.flop_counts[parent][packet] += count
        return out


def _in_thousands(count: int) -> str:
    power = min((len(str(count)) - 1) // 3, 4)
    return f"{count / 1000**power:.3f}{('', 'K', 'M', 'B', 'T')[power]}" if power else str(count)
