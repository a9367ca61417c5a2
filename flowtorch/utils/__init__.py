"""Helpers around tensors and modules, each in the place where PyTorch has it."""

from .swap import swap_tensors as swap_tensors
