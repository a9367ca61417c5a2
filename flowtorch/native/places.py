"""Which ops get a native kernel in the place of their body."""

BODIES = (
    "_softmax",
    "_log_softmax",
    "_softmax_backward",
    "_log_softmax_backward",
    "cumsum",
    "_layer_norm",
    "_layer_norm_adjoint",
    "_standardize",
    "_standardize_adjoint",
)
