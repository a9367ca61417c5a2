"""Datasets, samplers and the DataLoader."""

from __future__ import annotations

import importlib
from typing import Any

from flowtorch.utils.data._utils.fetch import _DatasetKind
from flowtorch.utils.data.dataloader import DataLoader, default_collate, default_convert, get_worker_info
from flowtorch.utils.data.dataset import (
    ChainDataset,
    ConcatDataset,
    Dataset,
    IterableDataset,
    StackDataset,
    Subset,
    TensorDataset,
    random_split,
)
from flowtorch.utils.data.distributed import DistributedSampler
from flowtorch.utils.data.sampler import (
    BatchSampler,
    RandomSampler,
    Sampler,
    SequentialSampler,
    SubsetRandomSampler,
    WeightedRandomSampler,
)

__all__ = [
    "BatchSampler",
    "ChainDataset",
    "ConcatDataset",
    "DataLoader",
    "Dataset",
    "DistributedSampler",
    "IterableDataset",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "StackDataset",
    "Subset",
    "SubsetRandomSampler",
    "TensorDataset",
    "WeightedRandomSampler",
    "_DatasetKind",
    "default_collate",
    "default_convert",
    "get_worker_info",
    "random_split",
]

# Data pipes are rarely used and load a score of small modules.
_LAZY = {
    "DFIterDataPipe": "datapipes.datapipe",
    "DataChunk": "datapipes.datapipe",
    "IterDataPipe": "datapipes.datapipe",
    "MapDataPipe": "datapipes.datapipe",
    "argument_validation": "datapipes._decorator",
    "functional_datapipe": "datapipes._decorator",
    "guaranteed_datapipes_determinism": "datapipes._decorator",
    "non_deterministic": "datapipes._decorator",
    "runtime_validation": "datapipes._decorator",
    "runtime_validation_disabled": "datapipes._decorator",
}


def __getattr__(name: str) -> Any:
    if name in ("datapipes", "graph", "graph_settings", "workers"):
        return importlib.import_module(f"{__name__}.{name}")
    if name in _LAZY:
        return getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    raise AttributeError(f"module 'torch.utils.data' has no attribute '{name}'")
