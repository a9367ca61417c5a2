"""The former place of ``torch.hub.load_state_dict_from_url``."""

from __future__ import annotations

from typing import Any

from flowtorch.hub import load_state_dict_from_url

load_url = load_state_dict_from_url


def __getattr__(name: str) -> Any:
    from flowtorch import hub

    return getattr(hub, name)
