"""What this build is made of and where it lies: answers to questions that PyTorch takes."""

from __future__ import annotations

import enum
from pathlib import Path

from flowtorch.backends import openmp

has_lapack = has_spectral = True  # numpy's and scipy's
has_mkl = False
has_openmp = openmp.is_available()


class AggregationType(enum.Enum):
    """How gradients of several processes are put together."""

    SUM = 0
    AVG = 1


SUM, AVG = AggregationType.SUM, AggregationType.AVG


class FatalError(Exception):
    """An error after which the process cannot go on."""


def get_file_path(*path_components: str) -> str:
    """A path below the directory that the package is installed in."""
    return str(Path(__file__).parent.parent.joinpath(*path_components))


def prepare_multiprocessing_environment(path: str) -> None:
    """Accepted for PyTorch's sake: processes need no preparation."""


def profiler_allow_cudagraph_cupti_lazy_reinit_cuda12() -> bool:
    """Whether the profiler may set up CUPTI anew after a CUDA graph: it never uses CUPTI."""
    return True
