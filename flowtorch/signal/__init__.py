"""Signal processing (torch.signal)."""
from __future__ import annotations

from flowtorch.signal import windows

__all__ = ["windows"]
