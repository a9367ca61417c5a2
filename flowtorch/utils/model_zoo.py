"""The former place of ``torch.hub.load_state_dict_from_url``."""

from __future__ import annotations

from flowtorch.hub import load_state_dict_from_url

load_url = load_state_dict_from_url
