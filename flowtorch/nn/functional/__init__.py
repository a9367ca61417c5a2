"""Functions of networks: those made of other ops stand here, the kernels come from ``flowtorch.ops``."""

from __future__ import annotations

from typing import Any

from ... import namespace
from ...dtypes import dtype as DType  # noqa: F401
from ...functional_nn import bilinear as bilinear
from ...functional_nn import channel_shuffle as channel_shuffle
from ...functional_nn import native_channel_shuffle as native_channel_shuffle
from ...functional_nn import pixel_shuffle as pixel_shuffle
from ...functional_nn import pixel_unshuffle as pixel_unshuffle
from ...ops.fold import fold as fold
from ...ops.fold import unfold as unfold
from ...overrides import handle_torch_function as handle_torch_function
from ...overrides import has_torch_function as has_torch_function
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .grouped import *  # noqa: F403
from .interpolate import *  # noqa: F403
from .loss import *  # noqa: F403
from .margin import *  # noqa: F403
from .normalization import *  # noqa: F403
from .padding import *  # noqa: F403
from .pooling import *  # noqa: F403
from .scaled import *  # noqa: F403
from .vision import *  # noqa: F403

namespace.publish()


def has_torch_function_unary(tensor: Any) -> bool:
    """Whether the class of one argument overrides functions on tensors."""
    return has_torch_function((tensor,))


def has_torch_function_variadic(*tensors: Any) -> bool:
    """Whether the class of any argument overrides functions on tensors."""
    return has_torch_function(tensors)


def assert_int_or_pair(arg: Any, arg_name: str, message: str) -> None:
    """AssertionError with ``message`` about ``arg_name`` unless an argument is an int or two of them."""
    if not (isinstance(arg, int) or len(arg) == 2):
        raise AssertionError(message.format(arg_name))


def boolean_dispatch(
    arg_name: str, arg_index: int, default: bool, if_true: Any, if_false: Any, module_name: Any, func_name: Any
) -> Any:
    """A function that calls one of two functions, as its argument ``arg_name`` is true or false."""

    def function(*args: Any, **kwargs: Any) -> Any:
        chosen = kwargs.get(arg_name, args[arg_index] if arg_index < len(args) else default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    function.__doc__ = if_true.__doc__ or if_false.__doc__
    function.__module__ = module_name or function.__module__
    function.__name__ = func_name or function.__name__
    return function


def __getattr__(name: str) -> Any:
    """A function that stands in ``flowtorch.ops``: of this namespace, or one that ``torch`` offers as well."""
    found = namespace.namespaces.get("nn.functional", {}).get(name) or namespace.namespaces["torch"].get(name)
    if found is None or name.startswith("_"):
        raise AttributeError(f"module 'torch.nn.functional' has no attribute '{name}'")
    globals()[name] = found
    return found
