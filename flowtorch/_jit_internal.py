"""Names that libraries take from ``torch._jit_internal``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Dict, Final, List, Optional, Tuple, TypeVar, Union  # noqa: F401, UP035

from flowtorch.futures import Future as Future
from flowtorch.jit import (
    _overload as _overload,
)
from flowtorch.jit import (
    _overload_method as _overload_method,
)
from flowtorch.jit import (
    export as export,
)
from flowtorch.jit import (
    ignore as ignore,
)
from flowtorch.jit import (
    is_scripting as is_scripting,
)
from flowtorch.jit import (
    unused as unused,
)
from flowtorch.jit.annotations import (
    BroadcastingList1 as BroadcastingList1,
)
from flowtorch.jit.annotations import (
    BroadcastingList2 as BroadcastingList2,
)
from flowtorch.jit.annotations import (
    BroadcastingList3 as BroadcastingList3,
)

T = TypeVar("T")


def _copy_to_script_wrapper(fn: T) -> T:
    return fn


def boolean_dispatch(
    arg_name: str, arg_index: int, default: bool, if_true: Callable, if_false: Callable, module_name: str,
    func_name: str,
) -> Callable:  # fmt: skip
    """Return a function that calls one of two, by the value of a boolean argument."""

    def dispatched(*args: Any, **kwargs: Any) -> Any:
        chosen = kwargs.get(arg_name, args[arg_index] if arg_index < len(args) else default)
        return (if_true if chosen else if_false)(*args, **kwargs)

    dispatched.__name__ = func_name
    dispatched.__module__ = module_name
    return dispatched
