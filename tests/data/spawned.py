"""What spawned workers import: without torch, which would take most of their time."""

import time

import numpy as np

import flowtorch as ft
from flowtorch.utils.data import Dataset, IterableDataset, get_worker_info


class Rows(Dataset):
    def __init__(self, n=20, width=5, slow=0.0):
        self.n, self.width, self.slow = n, width, slow

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        time.sleep(self.slow)
        return ft.full((self.width,), float(i)), np.full(self.width, i), i, f"row {i}"


class Shard(IterableDataset):
    def __init__(self, n=10):
        self.n = n

    def __iter__(self):
        info = get_worker_info()
        return iter(range(info.id, self.n, info.num_workers))


def same_list(batch):
    return batch
