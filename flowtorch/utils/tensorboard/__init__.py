"""Logging for TensorBoard, through the ``tensorboard`` package where it is installed."""

try:
    import tensorboard as _tensorboard
except ImportError:
    raise ImportError("flowtorch.utils.tensorboard writes its files with the package 'tensorboard', which is not "
                      "installed (pip install tensorboard)") from None

if not hasattr(_tensorboard, "__version__"):
    raise ImportError("TensorBoard logging requires TensorBoard version 1.15 or above")

from .writer import FileWriter, SummaryWriter

__all__ = ["FileWriter", "SummaryWriter"]
