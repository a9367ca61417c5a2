"""Where flowtorch means to differ from torch, each with its reason.

(check, function, difference, reason): the first three are regular expressions; the first two must match wholly, the
third is searched for in the line that a check gives. An entry that explains nothing any more fails a test.
"""

DIFFERENCES = [
    (
        "errors",
        ".*",
        r"(text|None|list) for a tensor: .*expected TypeError.*got AttributeError",
        "a composite asks its argument for a method; a check of its type would cost every call",
    ),
    (
        ".*",
        ".*",
        r"expected RuntimeError\(Trying to resize storage that is not resizable\), got none",
        "memory that came from numpy is memory like any other here, and may be replaced by more",
    ),
    (
        "errors",
        "Tensor.view",
        r"too small: .*got none",
        "any negative size stands for the one to be found; a check would cost every view",
    ),
    (
        "errors",
        "broadcast_shapes|Tensor.__getitem__",
        r"text (among sizes|for a number): .*(RuntimeError|IndexError).*got TypeError",
        "torch compares the text with numbers, or takes it for a sequence of indices, before it refuses it",
    ),
    (
        "errors",
        "index_put_?",
        r"other shape: .*shape mismatch.*got IndexError",
        "of two faults in one call another is found first",
    ),
    (
        "errors",
        "topk",
        r"other shape: .*value",
        "torch promises no order among equal elements",
    ),
    (
        ".*",
        "(Tensor\\.)?(polygamma|digamma)|digamma",
        r"value: .*differ",
        "torch's digamma and trigamma have errors of many units; these are within a few (see the accuracy check)",
    ),
    (
        "layouts",
        "median|nanmedian",
        r"expanded.*dim=0.*value",
        "torch reads beyond the memory of an expanded tensor",
    ),
    (
        "first_gradients|double_gradients",
        "as_strided_scatter",
        r"value: .*differ",
        "torch's gradient of the input is that of the elements which were overwritten",
    ),
    (
        "layouts",
        "as_strided_scatter",
        r"offset.*value",
        "torch counts storage_offset from the start of the copied storage, which here begins with the tensor",
    ),
    (
        "layouts",
        "take_along_dim",
        r"view size is not compatible.*got none",
        "torch flattens by view(), which does not take every tensor",
    ),
    (
        "outs",
        "narrow_copy",
        r"out transposed .* value",
        "torch writes the elements one after the other, whatever the strides of out= are",
    ),
    (
        "outs",
        "nanmean|nansum",
        r"\[2, 0\], out=bool",
        "torch finds no wrong dtype where there is no element to add up",
    ),
    (
        "(first|double)_gradients",
        ".*",
        r"expected RuntimeError\((derivative for aten::.* is not impl|"
        r".* does not support automatic differentiation for outputs with complex).*got none",
        "a derivative that PyTorch does not have",
    ),
    (
        "(first|double)_gradients",
        "vander",
        "modified by an inplace opera.*got none",
        "a derivative that PyTorch destroys while it computes the powers in place",
    ),
    (
        "(first|double)_gradients",
        r"nn\.functional\.hardsigmoid",
        "value: .* differ",
        "PyTorch rounds the slope of 1 / 6 to float32 in every dtype",
    ),
    (
        "values",
        r"nn\.functional\.(avg_pool3d|glu|interpolate|multi_margin_loss|multilabel_margin_loss|pad)",
        r"expected NotImplementedError\(.* not implemented for .*got none",
        "a dtype that PyTorch has no kernel for",
    ),
    (
        "double_gradients",
        r"nn\.functional\.binary_cross_entropy",
        "value: .* differ",
        "PyTorch adds 1e-12 to the denominators of the second derivative",
    ),
]

# Public names that the matrix leaves out: they are not functions on values, and have tests of their own.
UNTESTED = {
    "Tensor.__dlpack__": "hands out memory",
    "Tensor.__dlpack_device__": "hands out memory",
    "from_dlpack": "takes memory",
    "Tensor.untyped_storage": "storages",
    "Tensor._typed_storage": "storages",
    "Tensor.storage": "storages",
    "Tensor.storage_type": "storages",
    "is_storage": "storages",
    "Tensor.set_": "storages",
    "Tensor.share_memory_": "processes",
    "Tensor.pin_memory": "devices",
    "Tensor.cuda": "devices",
    "from_numpy": "makes every tensor of the matrix",
    "frombuffer": "takes memory",
    "manual_seed": "generators",
    "seed": "generators",
    "initial_seed": "generators",
    "get_rng_state": "generators",
    "set_rng_state": "generators",
    "thread_safe_generator": "generators",
    "are_deterministic_algorithms_enabled": "settings",
    "use_deterministic_algorithms": "settings",
    "is_autocast_enabled": "settings",
    "typename": "names the library itself",
    "Tensor.getitem": "behind Tensor.__getitem__",
    "Tensor.getitem_backward": "behind Tensor.__getitem__",
    "Tensor.index": "behind Tensor.__getitem__",
    "Tensor.index_backward": "behind Tensor.__getitem__",
    "Tensor.embedding_dense_backward": "behind embedding",
    "copy": "behind Tensor.copy_",
    "expand": "Tensor.expand has samples",
    "slice": "behind Tensor.__getitem__",
    "unfold": "Tensor.unfold has samples",
    "Tensor.linalg_cross": "behind linalg.cross",
    "linear": "nn.functional.linear has samples",
    "_dirichlet_grad": "behind the distributions",
    "_standard_gamma_grad": "behind the distributions",
}

# Primitives that no sample reaches on the way of a public function.
UNTESTED_PRIMITIVES = {
    "_cross_entropy_backward": "only the second derivative of the fused form reaches it",
    "_layer_norm_adjoint": "only the second derivative of the fused form reaches it",
    "_view_dtype": "Tensor.view takes the dtype itself",
    "cross_map_lrn": "only nn.CrossMapLRN2d reaches it",
    "cross_map_lrn_backward": "only nn.CrossMapLRN2d reaches it",
    "linear_cross_entropy": "only large vocabularies are computed in chunks",
    "_where": "the scalar expression of where, for generated kernels",
    "segment_rows": "only packed embedding bags",
    "segment_sum": "only packed embedding bags",
}
