"""Which ops have their derivative in C too (formulas.c), and by which fast calls it is computed."""

from __future__ import annotations

from typing import Any

# op -> (kind of formula, the ops that it calls)
FORMULAS: dict[str, tuple[str, tuple[str, ...]]] = {
    "add": ("sum of two", ()),
    "sub": ("sum of two", ("neg",)),
    "mul": ("mul", ("mul",)),
    "true_divide": ("div", ("true_divide", "mul", "neg")),
    "neg": ("neg", ("neg",)),
    "exp": ("from out", ("mul",)),
    "relu": ("from out", ("_relu_backward",)),
    "tanh": ("from out", ("_tanh_backward",)),
    "sigmoid": ("from out", ("_sigmoid_backward",)),
    "gelu": ("from input", ("_gelu_backward",)),
    "log": ("from input", ("true_divide",)),
    "_softmax": ("from out", ("_softmax_backward", "_softmax_backward")),
    "_log_softmax": ("from out", ("_log_softmax_backward", "_log_softmax_backward")),
    "view": ("reshape", ()),
    "reshape": ("reshape", ()),
    "transpose": ("again", ("transpose",)),
    "t": ("again", ("t",)),
    "sum": ("total", ("sum",)),
    "mean": ("total", ()),
    "_mse_loss": ("mse", ("neg",)),
    "_cross_entropy": ("cross entropy", ("_cross_entropy_backward",)),
}


def register(module: Any) -> None:
    """Tell the extension of the formulas; called when the first backward pass runs there."""
    from flowtorch.ops import linear
    from flowtorch.ops.op import REGISTRY

    module.use_sums(REGISTRY["add"].public, REGISTRY["sum"].public)
    for name, (kind, calls) in FORMULAS.items():
        op = REGISTRY[name]
        module.formula(kind, op.node_class, *[REGISTRY[call].public for call in calls])
    module.formula("mm", linear._mm)
    for node_class in (linear._linear.node_class, linear._linear_mm, linear._linear_view, linear._linear_unsafe):
        module.formula("linear", node_class)
