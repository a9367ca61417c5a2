"""Settings of Dynamo with its defaults: programs set and read them, nothing depends on them."""

from __future__ import annotations

import sys
from typing import Any

from flowtorch.compiler import _Patch

cache_size_limit = recompile_limit = 8
accumulated_cache_size_limit = accumulated_recompile_limit = 256
verbose = suppress_errors = disable = False
assume_static_by_default = True
automatic_dynamic_shapes = True
dynamic_shapes = True
capture_scalar_outputs = False
capture_dynamic_output_shape_ops = False
optimize_ddp: Any = True
inline_inbuilt_nn_modules = True
allow_unspec_int_on_nn_module = False
skip_fwd_side_effects_in_bwd_under_checkpoint = False
force_parameter_static_shapes = True
guard_nn_modules = True
allow_rnn = False
log_level: Any = None


def patch(name: Any = None, value: Any = None, **changes: Any) -> Any:
    """Return a context manager, also a decorator, in which settings have other values."""
    wanted = dict(name) if isinstance(name, dict) else {} if name is None else {name: value}
    return _Patch(sys.modules[__name__], wanted | changes)  # type: ignore[arg-type]
