"""Mixed precision by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.cuda.amp import amp_definitely_not_available as amp_definitely_not_available
