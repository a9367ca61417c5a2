"""Mixed precision by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.cuda.amp import autocast as autocast
from flowtorch.cuda.amp import custom_bwd as custom_bwd
from flowtorch.cuda.amp import custom_fwd as custom_fwd
