"""Anomaly detection by the module that defines it in PyTorch."""

from __future__ import annotations

from flowtorch.autograd.anomaly import detect_anomaly as detect_anomaly
from flowtorch.autograd.anomaly import set_detect_anomaly as set_detect_anomaly
