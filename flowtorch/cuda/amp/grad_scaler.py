"""Mixed precision by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.cuda.amp import GradScaler as GradScaler
