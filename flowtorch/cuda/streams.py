"""Names of ``torch.cuda`` by the module that defines them in PyTorch."""

from __future__ import annotations

from flowtorch.cuda import (
    Event as Event,
)
from flowtorch.cuda import (
    Stream as Stream,
)
