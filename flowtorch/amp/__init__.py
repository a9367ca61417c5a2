"""Automatic mixed precision: autocast and gradient scaling."""
from . import autocast_mode, grad_scaler
from .autocast_mode import _enter_autocast, _exit_autocast, autocast, custom_bwd, custom_fwd  # noqa: F401
from .grad_scaler import GradScaler
from .state import is_autocast_available

__all__ = ["GradScaler", "autocast", "autocast_mode", "custom_bwd", "custom_fwd", "grad_scaler",
           "is_autocast_available"]
