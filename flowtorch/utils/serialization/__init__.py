"""Settings of checkpoint files."""

from flowtorch.utils.serialization import config

__all__ = ["config"]
