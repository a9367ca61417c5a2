"""Quantised tensors: integers that stand for ``(integer - zero_point) * scale``, per tensor or per channel."""
