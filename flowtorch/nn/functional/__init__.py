"""Functions of networks: those made of other ops stand here, the kernels come from ``flowtorch.ops``."""

from __future__ import annotations

from typing import Any

from ... import namespace
from ...dtypes import dtype as DType  # noqa: F401
from ...functional_nn import bilinear as bilinear
from ...functional_nn import channel_shuffle as channel_shuffle
from ...functional_nn import native_channel_shuffle as native_channel_shuffle
from ...functional_nn import pixel_shuffle as pixel_shuffle
from ...functional_nn import pixel_unshuffle as pixel_unshuffle
from ...ops.fold import fold as fold
from ...ops.fold import unfold as unfold
from ...overrides import handle_torch_function as handle_torch_function
from ...overrides import has_torch_function as has_torch_function
from .activation import *  # noqa: F403
from .attention import *  # noqa: F403
from .distance import *  # noqa: F403
from .dropout import *  # noqa: F403
from .embedding import *  # noqa: F403
from .interpolate import *  # noqa: F403
from .loss import *  # noqa: F403
from .margin import *  # noqa: F403
from .normalization import *  # noqa: F403
from .padding import *  # noqa: F403
from .pooling import *  # noqa: F403
from .vision import *  # noqa: F403

namespace.publish()


def __getattr__(name: str) -> Any:
    """A function that stands in ``flowtorch.ops``: of this namespace, or one that ``torch`` offers as well."""
    found = namespace.namespaces.get("nn.functional", {}).get(name) or namespace.namespaces["torch"].get(name)
    if found is None or name.startswith("_"):
        raise AttributeError(f"module 'torch.nn.functional' has no attribute '{name}'")
    globals()[name] = found
    return found
