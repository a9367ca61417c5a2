"""Public calls: how they are named in recordings, which are recorded, and which line of the program made them."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

# Calls that tell about a tensor, or hand it on, and compute nothing.
NOT_RECORDED = frozenset(
    """
    size dim stride numel is_contiguous data_ptr backward _backward register_hook requires_grad_ retain_grad item
    tolist numpy storage_offset element_size is_floating_point is_complex is_same_size type nelement ndimension
    __len__ __bool__ __float__ __int__ __index__ __repr__ __str__ __format__ __hash__ __iter__ __contains__
    __reduce_ex__ __setstate__ __deepcopy__ get_device is_shared is_pinned untyped_storage grad detach_ _is_view
    __array__ __get__ __set__ __delete__ manual_seed set_grad_enabled is_tensor register_post_accumulate_grad_hook
    typename set_default_dtype get_default_dtype _set_grad_enabled is_inference is_leaf is_nonzero
    empty empty_like new_empty empty_strided empty_permuted new_empty_strided
    """.split()  # noqa: SIM905
)
ALIASES = {
    "true_divide": "div", "divide": "div", "multiply": "mul", "subtract": "sub", "absolute": "abs", "neg": "neg",
    "negative": "neg", "truediv": "div", "rtruediv": "rdiv", "concat": "cat", "concatenate": "cat", "arctan": "atan",
    "_getitem": "getitem", "floordiv": "floor_divide", "mod": "remainder", "invert": "bitwise_not", "T": "t",
    "swapaxes": "transpose", "swapdims": "transpose", "movedim": "moveaxis", "greater": "gt", "less": "lt",
    "greater_equal": "ge", "less_equal": "le", "not_equal": "ne", "clip": "clamp", "isub": "sub_", "iadd": "add_",
    "imul": "mul_", "itruediv": "div_", "ipow": "pow_", "radd": "add", "rmul": "mul", "setitem": "setitem_",
    **{f"arc{f}": f"a{f}" for f in ("cos", "cosh", "sin", "sinh", "tanh", "tan2")}, "fix": "trunc",
    "vector_norm": "norm", "linalg_vector_norm": "norm", "linalg_norm": "norm",
}  # fmt: skip
RANDOM = frozenset(
    """
    rand randn randint randperm rand_like randn_like randint_like bernoulli bernoulli_ multinomial normal normal_
    uniform_ random_ dropout dropout_ dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout exponential_
    geometric_ log_normal_ cauchy_ trunc_normal_ xavier_uniform_ xavier_normal_ kaiming_uniform_ kaiming_normal_
    poisson rrelu gumbel_softmax
    """.split()  # noqa: SIM905
)


def name_of(function: Any, overrides: Any = None) -> str:
    """The bare name of a public call: ``add`` for ``torch.add``, ``Tensor.__add__`` and ``Tensor.__radd__``.

    ``overrides`` of a library knows under which public name a function with a private one stands.
    """
    name = getattr(function, "__name__", "")
    if name.startswith("__") and name.endswith("__") and name not in NOT_RECORDED:
        name = name.strip("_")
    elif name.startswith("_") and overrides is not None and name not in NOT_RECORDED:
        name = (overrides.resolve_name(function) or name).rpartition(".")[2]
    if name.endswith("_") and name not in ALIASES and name[:-1] in ALIASES:
        return ALIASES[name[:-1]] + "_"
    return ALIASES.get(name, name)


@functools.cache
def within_libraries(file: str) -> bool:
    """Whether a file is flowtorch's or torch's own, or no file at all."""
    if file.startswith("<"):
        return True
    packages = {os.path.dirname(m.__file__) for n in ("flowtorch", "torch") if (m := sys.modules.get(n)) and m.__file__}
    packages.add(str(Path(__file__).resolve().parents[2]))
    path = os.path.realpath(file)
    return any(path.startswith(os.path.realpath(p) + os.sep) for p in packages)


def source_line() -> tuple[str, int, str]:
    """(file, line, text) of the program's own line that made the call: the innermost outside what is installed.

    A program that is installed itself has the innermost of its lines.
    """
    frame: Any = sys._getframe(1)
    installed = None
    while frame is not None:
        file = frame.f_code.co_filename
        if not within_libraries(file):
            if "site-packages" not in file and "dist-packages" not in file:
                return line_at(frame)
            installed = installed or frame
        frame = frame.f_back
    return ("", 0, "") if installed is None else line_at(installed)


def line_at(frame: Any) -> tuple[str, int, str]:
    import linecache

    file = frame.f_code.co_filename
    return file, frame.f_lineno, linecache.getline(file, frame.f_lineno).strip()
