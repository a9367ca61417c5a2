"""Special functions (torch.special): those registered for this namespace, and further names of functions of torch."""
from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flowtorch import namespace

namespace.publish()
_ALIASES = {
    "digamma": "digamma",
    "erf": "erf",
    "erfc": "erfc",
    "erfinv": "erfinv",
    "exp2": "exp2",
    "expit": "sigmoid",
    "expm1": "expm1",
    "gammainc": "igamma",
    "gammaincc": "igammac",
    "gammaln": "lgamma",
    "i0": "i0",
    "log1p": "log1p",
    "log_softmax": "log_softmax",
    "logit": "logit",
    "logsumexp": "logsumexp",
    "multigammaln": "mvlgamma",
    "polygamma": "polygamma",
    "psi": "digamma",
    "round": "round",
    "sinc": "sinc",
    "softmax": "softmax",
    "xlogy": "xlogy",
}
globals().update(namespace.namespaces["special"])
globals().update({alias: namespace.namespaces["torch"][name] for alias, name in _ALIASES.items()})

if TYPE_CHECKING:
    def __getattr__(name: str) -> Any: ...
