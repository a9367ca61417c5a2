"""Uses of graphs that PyTorch calls experimental."""
