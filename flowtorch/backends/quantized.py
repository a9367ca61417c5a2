"""Engines for quantised networks: flowtorch has none beyond its own operations on quantised tensors."""

from __future__ import annotations

engine = "none"
supported_engines = ["none"]
