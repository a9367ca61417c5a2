"""onnxruntime as a reference: functions that are one ONNX operator, run as a model of that one node."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..outcome import Outcome, Values
from ..samples import Array, Sample
from .implementations import Arrays
from .oracle import quantised

OPSET = 20
# Public name -> operator. Every argument must be a tensor, but for the attributes below.
OPERATORS = {
    **{n: n.capitalize() for n in ("abs", "acos", "acosh", "add", "asin", "asinh", "atan", "atanh", "ceil", "cos",
                                   "cosh", "div", "erf", "exp", "floor", "log", "mul", "neg", "pow", "reciprocal",
                                   "round", "sigmoid", "sign", "sin", "sinh", "sqrt", "sub", "tan", "tanh", "where")},
    "eq": "Equal", "gt": "Greater", "lt": "Less", "ge": "GreaterOrEqual", "le": "LessOrEqual",
    "logical_and": "And", "logical_or": "Or", "logical_xor": "Xor", "logical_not": "Not", "isnan": "IsNaN",
    "isinf": "IsInf", "maximum": "Max", "minimum": "Min", "matmul": "MatMul", "mm": "MatMul", "bmm": "MatMul",
    "det": "Det", "relu": "Relu", "softmax": "Softmax", "log_softmax": "LogSoftmax",
    "nn.functional.relu": "Relu", "nn.functional.gelu": "Gelu", "nn.functional.softsign": "Softsign",
    "nn.functional.softmax": "Softmax", "nn.functional.log_softmax": "LogSoftmax", "nn.functional.mish": "Mish",
    "nn.functional.hardswish": "HardSwish", "nn.functional.selu": "Selu", "nn.functional.elu": "Elu",
    "nn.functional.leaky_relu": "LeakyRelu", "cumsum": "CumSum",
}  # fmt: skip
# Operator -> the argument after its tensors that is an attribute of the node.
ATTRIBUTES = {"Softmax": "axis", "LogSoftmax": "axis", "Elu": "alpha", "LeakyRelu": "alpha"}
FIXED = {"LeakyRelu": {"alpha": 0.01}}  # where the operator's default is not the function's


class OnnxRuntime(Arrays):
    """Values of what ``OPERATORS`` names; the reference has no say on other calls."""

    def __init__(self) -> None:
        import onnxruntime

        super().__init__(onnxruntime, "onnxruntime")

    def find(self, name: str) -> Any:
        return OPERATORS.get(name)

    def run(self, what: Any, sample: Sample, random: bool = False) -> Outcome:
        arrays = [quantised(a) for a in sample.args if isinstance(a, Array)]
        others = [a for a in sample.args if not isinstance(a, Array)]
        attributes = dict(FIXED.get(what, {}))
        if what == "CumSum" and len(others) == 1:
            arrays.append(np.asarray(others.pop(), np.int64))
        if what in ATTRIBUTES and len(others) == 1:
            attributes[ATTRIBUTES[what]] = others.pop()
        mixed = what not in ("CumSum", "Where") and len({a.dtype for a in arrays}) > 1  # ONNX promotes nothing
        mixed |= what in ("Div", "Pow") and any(a.dtype.kind in "iu" for a in arrays)  # they stay integers there
        if others or sample.kwargs or not arrays or mixed:
            return Outcome(NotImplementedError(f"onnxruntime: {what} of these arguments"))
        try:
            session = _session(what, tuple((str(a.dtype), a.ndim) for a in arrays), tuple(attributes.items()))
            got = session.run(None, {f"x{k}": a for k, a in enumerate(arrays)})
        except Exception as error:
            return Outcome(NotImplementedError(f"onnxruntime: {str(error)[:80]}"))
        return Outcome(None, [Values(np.asarray(v)) for v in got], [])


@functools.cache
def _session(operator: str, inputs: tuple, attributes: tuple) -> Any:
    import onnxruntime
    from onnx import helper

    def kind(dtype: str) -> int:
        return helper.np_dtype_to_tensor_dtype(np.dtype(dtype))

    truth = operator in ("Equal", "Greater", "Less", "GreaterOrEqual", "LessOrEqual", "And", "Or", "Xor", "Not",
                         "IsNaN", "IsInf")  # fmt: skip
    names = [f"x{k}" for k in range(len(inputs))]
    node = helper.make_node(operator, names, ["y"], **dict(attributes))
    values = [helper.make_tensor_value_info(n, kind(d), [None] * r) for n, (d, r) in zip(names, inputs, strict=True)]
    source = inputs[1 if operator == "Where" else 0][0]
    result = helper.make_tensor_value_info("y", kind("bool" if truth else source), None)
    graph = helper.make_graph([node], "one", values, [result])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=9)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
