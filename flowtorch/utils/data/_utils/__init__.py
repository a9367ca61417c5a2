"""The parts of the DataLoader, under PyTorch's names."""

from flowtorch.utils.data._utils import collate, fetch, pin_memory, signal_handling, worker

MP_STATUS_CHECK_INTERVAL = 5.0
HAS_NUMPY = True
python_exit_status = False

__all__ = [
    "HAS_NUMPY",
    "MP_STATUS_CHECK_INTERVAL",
    "collate",
    "fetch",
    "pin_memory",
    "python_exit_status",
    "signal_handling",
    "worker",
]
