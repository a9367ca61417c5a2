"""Triton kernels rendered by the project: pointwise, reductions, softmax, matrix products.

This package needs triton and the standard library alone. It knows no tensors: callers pass addresses,
shapes, strides (counted in elements) and dtype names, so kernels can be tested and profiled by themselves.
"""
