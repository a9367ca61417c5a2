"""An eager, PyTorch-compatible tensor library in Python."""
