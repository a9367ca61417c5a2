"""The parts of the DataLoader, under PyTorch's names."""

from flowtorch.utils.data._utils import collate, fetch, worker

MP_STATUS_CHECK_INTERVAL = 5.0
HAS_NUMPY = True

__all__ = ["HAS_NUMPY", "MP_STATUS_CHECK_INTERVAL", "collate", "fetch", "worker"]
