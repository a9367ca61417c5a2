"""Measured configurations: architecture, family, class. Written by ``python -m flowtorch tune --write``."""

from __future__ import annotations

from typing import Any

MEASURED: dict[str, dict[str, dict[str, dict[str, Any]]]] = {}
