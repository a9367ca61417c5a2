"""Names of ``torch.cuda`` by the module that defines them in PyTorch."""

from __future__ import annotations

from flowtorch.cuda import (
    get_rng_state as get_rng_state,
)
from flowtorch.cuda import (
    get_rng_state_all as get_rng_state_all,
)
from flowtorch.cuda import (
    initial_seed as initial_seed,
)
from flowtorch.cuda import (
    manual_seed as manual_seed,
)
from flowtorch.cuda import (
    manual_seed_all as manual_seed_all,
)
from flowtorch.cuda import (
    seed as seed,
)
from flowtorch.cuda import (
    seed_all as seed_all,
)
from flowtorch.cuda import (
    set_rng_state as set_rng_state,
)
from flowtorch.cuda import (
    set_rng_state_all as set_rng_state_all,
)
