"""Helpers around tensors and modules, each in the place where PyTorch has it."""
