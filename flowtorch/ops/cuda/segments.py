"""Reductions over stretches of rows on the device."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from flowtorch.array.cuda import empty, kernel_module
from flowtorch.codegen.triton_map import run
from flowtorch.ops.cuda.base import cast, dense, kernel
from flowtorch.ops.cuda.scans import state_type
from flowtorch.ops.segments import _STARTS


@kernel("_segment_reduce")
def segment_reduce(input: Any, starts: Any, ends: Any, reduce: str, initial: float | None = None) -> Any:
    import triton

    rest = input.shape[1:]
    width = math.prod(rest)
    result = empty((len(starts), *rest), input.dtype)
    if not result.size:
        return result
    rows = dense(input)
    number = np.float64 if input.dtype == np.float64 else float
    first = number(_STARTS[reduce] if initial is None else initial)
    nothing = number(math.nan if initial is None else initial)
    cols = min(128, triton.next_power_of_2(width))
    first_places, last_places = (dense(cast(places, np.int64)) for places in (starts, ends))
    run(kernel_module("segments").reduce_segments, (len(starts), -(-width // cols)), rows, first_places, last_places,
        result, width, width, first, nothing, RULE=reduce, STATE=state_type(input.dtype.name),
        ROWS=max(1, 1024 // cols), COLS=cols)  # fmt: skip
    return result
