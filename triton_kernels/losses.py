"""Cross entropy of class indices over dense rows of logits, forward and backward.

Places whose target is to be ignored weigh nothing. A target outside the classes is reported through the fault word.
"""

import triton
import triton.language as tl
from triton.language.extra import libdevice


@triton.jit
def _log_sum(x_ptr, row, rows, classes, STATE: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr):
    """(largest logit, logarithm of the sum of exponentials relative to it) of each row."""
    at = x_ptr + (row.to(tl.int64) * classes)[:, None]
    top = tl.full((ROWS, COLS), float("-inf"), STATE)
    sums = tl.zeros((ROWS, COLS), STATE)
    for first in range(0, classes, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < classes)[None, :]
        x = tl.load(at + col[None, :], mask=mask, other=float("-inf")).to(STATE)
        peak = tl.maximum(top, x)
        scaled = sums * libdevice.exp(top - peak) + libdevice.exp(x - peak)
        sums = tl.where((peak == float("-inf")) & (x == x), sums, scaled)
        top = peak
    peak = tl.max(top, 1)
    parts = tl.where((top == float("-inf")) & (sums == sums), 0.0, sums * libdevice.exp(top - peak[:, None]))
    return peak, libdevice.log(tl.sum(parts, 1))


@triton.jit
def _weights(t_ptr, w_ptr, fault_ptr, row, rows, classes, ignore, code, STATE: tl.constexpr, WEIGHT: tl.constexpr):
    """(target, its weight) of each row; 0 where nothing counts."""
    target = tl.load(t_ptr + row, mask=row < rows, other=0)
    counts = (row < rows) & (target != ignore)
    inside = (target >= 0) & (target < classes)
    tl.store(fault_ptr + row * 0, code, mask=counts & (inside == 0))
    counts = counts & inside
    target = tl.where(counts, target, 0)
    if WEIGHT:
        weight = tl.load(w_ptr + target, mask=counts, other=0).to(STATE)
    else:
        weight = counts.to(STATE)
    return target, weight


@triton.jit
def cross_entropy(
    x_ptr, t_ptr, w_ptr, loss_ptr, total_ptr, fault_ptr, rows, classes, ignore, code,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """The weighted loss and the weight of each row."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    target, weight = _weights(t_ptr, w_ptr, fault_ptr, row, rows, classes, ignore, code, STATE, WEIGHT)
    peak, log_sum = _log_sum(x_ptr, row, rows, classes, STATE, ROWS, COLS)
    picked = tl.load(x_ptr + row.to(tl.int64) * classes + target, mask=row < rows, other=0).to(STATE)
    loss = tl.where(weight == 0, 0.0, (log_sum - (picked - peak)) * weight)
    tl.store(loss_ptr + row, loss.to(loss_ptr.dtype.element_ty), mask=row < rows)
    tl.store(total_ptr + row, weight.to(total_ptr.dtype.element_ty), mask=row < rows)


@triton.jit
def cross_entropy_backward(
    g_ptr, x_ptr, t_ptr, w_ptr, total_ptr, d_ptr, fault_ptr, rows, classes, ignore, code, step,
    STATE: tl.constexpr, WEIGHT: tl.constexpr, MEAN: tl.constexpr, ROWS: tl.constexpr, COLS: tl.constexpr,
):  # fmt: skip
    """d = (softmax - one-hot) * weight * g, over the total weight for a mean; g has one element or one per row."""
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    target, weight = _weights(t_ptr, w_ptr, fault_ptr, row, rows, classes, ignore, code, STATE, WEIGHT)
    peak, log_sum = _log_sum(x_ptr, row, rows, classes, STATE, ROWS, COLS)
    scale = tl.load(g_ptr + row * step, mask=row < rows, other=0).to(STATE) * weight
    if MEAN:
        scale = scale / tl.load(total_ptr).to(STATE)
    at = (row.to(tl.int64) * classes)[:, None]
    for first in range(0, classes, COLS):
        col = first + tl.arange(0, COLS)
        mask = (row < rows)[:, None] & (col < classes)[None, :]
        x = tl.load(x_ptr + at + col[None, :], mask=mask, other=0).to(STATE)
        share = libdevice.exp(x - peak[:, None] - log_sum[:, None])
        d = (share - (col[None, :] == target[:, None]).to(STATE)) * scale[:, None]
        d = tl.where((weight == 0)[:, None], 0.0, d)
        tl.store(d_ptr + at + col[None, :], d.to(d_ptr.dtype.element_ty), mask=mask)
