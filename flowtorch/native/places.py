"""Where the native kernels go: ops whose body they replace, and functions of modules."""

# Pointwise ops of which some calls have a loop written by hand.
POINTWISE = ("pow",)

BODIES = (
    "_softmax",
    "_log_softmax",
    "_softmax_backward",
    "_log_softmax_backward",
    "cumsum",
    "_layer_norm",
    "_layer_norm_adjoint",
    "_batch_norm",
    "_batch_norm_adjoint",
    "_standardize",
    "_standardize_adjoint",
    "sum",
    "mean",
    "amax",
    "amin",
    "_vector_norm",
    "gather",
    "_cross_entropy",
    "_cross_entropy_backward",
    "_max_pool",
    "convolution",
    "convolution_input",
    "convolution_weight",
)
# kernel -> (module, name of the function that it replaces)
FUNCTIONS = {
    "astype": ("flowtorch.ops.families", "astype"),
    "normal_blocks": ("flowtorch.streams.normal", "pairs_of_blocks"),
    "fill_words": ("flowtorch.streams.words", "fill_words"),
    "fill_units": ("flowtorch.streams.uniform", "fill_units"),
    "softmax_of_scores": ("flowtorch.ops.attention", "softmax_of_scores"),
    "fill_heads": ("flowtorch.ops.attention", "fill_heads"),
    "fill_gradients": ("flowtorch.ops.attention", "fill_gradients"),
    "adjoint_of_scores": ("flowtorch.ops.attention", "adjoint_of_scores"),
    "select": ("flowtorch.array.select", "select"),
    "duplicate": ("flowtorch.array.copies", "duplicate"),
    "concatenate": ("flowtorch.array.copies", "concatenate"),
    "take": ("flowtorch.array.copies", "take"),
    "add_rows": ("flowtorch.array.scatter", "add_rows"),
    "accumulate": ("flowtorch.ops.gather", "accumulate"),
    "put_along": ("flowtorch.ops.gather", "put_along"),
    "flat_index": ("flowtorch.ops.gather", "flat_index"),
    "product_of_batches": ("flowtorch.ops.linear", "product_of_batches"),
    "stable_order": ("flowtorch.ops.sorting", "stable_order"),
    "swap_places": ("flowtorch.streams.integers", "swap_places"),
    **{
        f"{kind}_{way}": ("flowtorch.ops.recurrent_steps", f"{kind}_{way}")
        for kind in ("lstm", "gru", "rnn")
        for way in ("forward", "backward")
    },
}
