"""Products made of matmul: inner, chains of matrices, tensordot, einsum, kron."""
from __future__ import annotations

import functools
import warnings
from typing import Any

import numpy as np

from flowtorch import overrides
from flowtorch.errors import c_name
from flowtorch.ops.families import normalize_dim
from flowtorch.ops.linear import matmul
from flowtorch.ops.op import composite
from flowtorch.tensor import Tensor

# ---------------------------------------------------------------- inner, tensordot, kron


@composite(method=True, out=True)
def inner(input, other):
    """Sums of products over the last dimensions; plain multiplication if one operand is 0-d."""
    if input.dim() == 0 or other.dim() == 0:
        return input * other
    if input.dtype is not other.dtype:
        raise RuntimeError("both inputs should have same dtype")
    if input.size(-1) != other.size(-1):
        raise RuntimeError("inner() the last dimension must match on both input tensors but got shapes "
                           f"{list(input.shape)} and {list(other.shape)}")
    if input.dim() == other.dim() == 1:
        return input.dot(other)
    return tensordot(input, other, ([-1], [-1]))


def _dims(dims: Any, a: Any, b: Any) -> tuple[list, list]:
    """The contracted dimensions of both operands."""
    if isinstance(dims, Tensor):
        if dims.numel() == 1:
            dims = int(dims)
        elif dims.dim() == 2:
            dims = dims.tolist()
    if isinstance(dims, (tuple, list)):
        first, second = ([d] if isinstance(d, int) else list(d) for d in dims)
        return first, second
    if not isinstance(dims, int):
        raise RuntimeError("tensordot expects dims to be int or tuple[list[int], list[int]] or list[list[int]] "
                           "containing two "
                           f"lists, but got dims={dims}")
    if dims < 0:
        raise RuntimeError(f"tensordot expects dims >= 0, but got dims={dims}")
    if dims > min(a.dim(), b.dim()):
        raise RuntimeError(f"tensordot expects dims < ndim_a or ndim_b, but got dims={dims}")
    return list(range(-dims, 0)), list(range(dims))


@composite(out=True)
def tensordot(a, b, dims=2):
    """Sum the products of two tensors over pairs of dimensions: the last of ``a`` with the first of ``b``, or those
    listed."""
    if a.dtype is not b.dtype:
        raise RuntimeError("both inputs should have same dtype")
    given_a, given_b = _dims(dims, a, b)
    if len(given_a) != len(given_b):
        raise RuntimeError("both dimension lists should have same length")
    first, second = [normalize_dim(d, a.dim()) for d in given_a], [normalize_dim(d, b.dim()) for d in given_b]
    for d, e, x, y in zip(first, second, given_a, given_b, strict=True):
        n, m = a.size(d), b.size(e)
        if m == 1 and n != 1:
            a = a.sum(d, keepdim=True, dtype=a.dtype)
        elif n == 1 and m != 1:
            b = b.sum(e, keepdim=True, dtype=b.dtype)
        elif n != m:
            raise RuntimeError(f"contracted dimensions need to match, but first has size {n} in dim {x} and second "
                               f"has size {m} "
                               f"in dim {y}")
    rest_a = [d for d in range(a.dim()) if d not in first]
    rest_b = [d for d in range(b.dim()) if d not in second]
    shape_a, shape_b = [a.size(d) for d in rest_a], [b.size(d) for d in rest_b]
    k = int(np.prod([a.size(d) for d in first], dtype=np.int64))
    rows, columns = (int(np.prod(s, dtype=np.int64)) for s in (shape_a, shape_b))
    left = a.permute(rest_a + first).reshape(rows, k)
    right = b.permute(second + rest_b).reshape(k, columns)
    if not rest_a and not rest_b and a.dtype.is_floating_point:
        return left.reshape(-1).dot(right.reshape(-1))
    return matmul(left, right).reshape(shape_a + shape_b)


@composite(method=True, out=True)
def kron(input, other):
    """The Kronecker product: every element of ``input`` times all of ``other``, as blocks."""
    n = max(input.dim(), other.dim())
    a = [1] * (n - input.dim()) + list(input.shape)
    b = [1] * (n - other.dim()) + list(other.shape)
    left = input.reshape([x for s in a for x in (s, 1)])
    right = other.reshape([x for s in b for x in (1, s)])
    return (left * right).reshape([x * y for x, y in zip(a, b, strict=True)])


# ---------------------------------------------------------------- chains of matrices

def _best_order(sizes: list) -> list:
    """split[i][j]: where to divide the chain of matrices i..j so that the fewest multiplications are needed."""
    n = len(sizes) - 1
    cost = [[0] * n for _ in range(n)]
    split = [[0] * n for _ in range(n)]
    for length in range(1, n):
        for i in range(n - length):
            j = i + length
            options = [(cost[i][k] + cost[k + 1][j] + sizes[i] * sizes[k + 1] * sizes[j + 1], k) for k in range(i, j)]
            cost[i][j], split[i][j] = min(options)
    return split


def _chain(tensors: list, split: list, i: int, j: int) -> Any:
    if i == j:
        return tensors[i]
    k = split[i][j]
    return matmul(_chain(tensors, split, i, k), _chain(tensors, split, k + 1, j))


@composite(namespace="linalg", out=True)
def multi_dot(tensors):
    """The product of a chain of matrices in the cheapest order; the first and the last may be vectors."""
    n = len(tensors)
    if n < 2:
        raise RuntimeError(f"multi_dot(): expected at least 2 tensors but got {n}")
    for k, name in ((0, "first"), (n - 1, "last")):
        if tensors[k].dim() not in (1, 2):
            raise RuntimeError(f"multi_dot(): the {name} tensor must be 1D or 2D but got {tensors[k].dim()}D")
    for k in range(1, n - 1):
        if tensors[k].dim() != 2:
            raise RuntimeError(f"multi_dot(): tensor {k} must be 2D but got {tensors[k].dim()}D")
    chain = list(tensors)
    if chain[0].dim() == 1:
        chain[0] = chain[0].unsqueeze(0)
    if chain[-1].dim() == 1:
        chain[-1] = chain[-1].unsqueeze(1)
    for k in range(n - 1):
        if tensors[k].dtype is not tensors[k + 1].dtype:
            raise RuntimeError(f"multi_dot(): all tensors must have be the same dtype but tensor {k} is "
                               f"{c_name(tensors[k].dtype)} and tensor {k + 1} "
                               f"{c_name(tensors[k + 1].dtype)}")
        if tensors[k].device != tensors[k + 1].device:
            raise RuntimeError(f"multi_dot(): all tensors must be on the same device but tensor {k} is on "
                               f"{tensors[k].device} and tensor {k + 1} on {tensors[k + 1].device}")
        if chain[k].size(1) != chain[k + 1].size(0):
            raise RuntimeError(f"multi_dot(): tensors {k} and {k + 1} with shapes {list(tensors[k].shape)} and "
                               f"{list(tensors[k + 1].shape)} cannot be multiplied")
    sizes = [chain[0].size(0), *[t.size(1) for t in chain]]
    result = _chain(chain, _best_order(sizes), 0, n - 1)
    if tensors[0].dim() == 1:
        result = result.squeeze(0)
    if tensors[-1].dim() == 1:
        result = result.squeeze(-1)
    return result


@composite(out=True)
def chain_matmul(*matrices):
    """The product of matrices in the cheapest order (deprecated: ``linalg.multi_dot``)."""
    warnings.warn("torch.chain_matmul is deprecated and will be removed in a future PyTorch release. Use "
                  "torch.linalg.multi_dot instead, which accepts a list of two or more tensors rather than multiple "
                  "parameters.",
                  stacklevel=2)
    if len(matrices) == 1 and isinstance(matrices[0], (tuple, list)):
        matrices = tuple(matrices[0])
    if len(matrices) == 1:
        return matrices[0]
    return multi_dot(matrices)


# ---------------------------------------------------------------- einsum

def _letters_of(numbers: Any) -> str:
    text = ""
    for n in numbers:
        if n is ...:
            text += "..."
        elif 0 <= n < 52:
            text += chr(65 + n) if n < 26 else chr(71 + n)
        else:
            raise ValueError("einsum(): subscript in subscript list is not within the valid range [0, 52)")
    return text


def _arguments(args: tuple) -> tuple[str, list]:
    """(equation, operands) from the string format or from operands with lists of subscripts."""
    if len(args) < 2:
        raise ValueError("einsum(): must specify the equation string and at least one operand, or at least one "
                         "operand and its "
                         "subscripts list")
    if isinstance(args[0], str):
        operands = list(args[1:])
        if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
            operands = list(operands[0])
        return args[0], operands
    pairs, rest = args[:len(args) // 2 * 2], args[len(args) // 2 * 2:]
    equation = ",".join(_letters_of(s) for s in pairs[1::2])
    if rest:
        equation += "->" + _letters_of(rest[0])
    return equation, list(pairs[::2])


@functools.lru_cache(512)
def _parse(equation: str, ranks: tuple) -> tuple:
    """(labels of each operand, labels of the result) with the ellipsis spelled out as negative numbers."""
    text, arrow, right = equation.partition("->")
    terms: list[list[Any]] = [[]]
    dots = [False]
    i = 0
    while i < len(text):
        c = text[i]
        if c == ",":
            terms.append([])
            dots.append(False)
            if len(terms) > len(ranks):
                raise RuntimeError("einsum(): fewer operands were provided than specified in the equation")
        elif c == ".":
            if dots[-1]:
                raise RuntimeError(f"einsum(): found '.' for operand {len(terms) - 1} for which an ellipsis was "
                                   "already found")
            if text[i:i + 3] != "...":
                raise RuntimeError(f"einsum(): found '.' for operand {len(terms) - 1} that is not part of any ellipsis")
            dots[-1] = True
            terms[-1].append(...)
            i += 2
        elif c.isascii() and c.isalpha():
            terms[-1].append(c)
        elif c != " ":
            raise RuntimeError(f"einsum(): invalid subscript given at index {i} in the equation string, subscripts "
                               "must be in "
                               "[a-zA-Z]")
        i += 1
    if len(terms) < len(ranks):
        raise RuntimeError("einsum(): more operands were provided than specified in the equation")
    width = 0
    for k, (term, rank) in enumerate(zip(terms, ranks, strict=True)):
        named = len(term) - dots[k]
        if named > rank or (named != rank and not dots[k]):
            raise RuntimeError(f"einsum(): the number of subscripts in the equation ({named}) "
                               f"{'is more than' if dots[k] else 'does not match'} the number of dimensions ({rank}) "
                               "for operand "
                               f"{k}{'' if dots[k] else ' and no ellipsis was given'}")
        width = max(width, rank - named)
    ellipsis = list(range(-width, 0))
    spelled = []
    for term, rank in zip(terms, ranks, strict=True):
        n = rank - sum(x is not ... for x in term)
        spelled.append([y for x in term for y in (ellipsis[width - n:] if x is ... else [x])])
    return spelled, _result_labels(right if arrow else None, terms, spelled, ellipsis, len(text) + 2)


def _result_labels(right: str | None, terms: list, spelled: list, ellipsis: list, offset: int) -> list:
    seen = [x for term in terms for x in term if x is not ...]
    if right is None:
        return ellipsis + sorted(x for x in set(seen) if seen.count(x) == 1)
    result: list[Any] = []
    i = 0
    found = False
    while i < len(right):
        c = right[i]
        if c == ".":
            if found:
                raise RuntimeError("einsum(): found '.' for output but an ellipsis (...) was already found")
            if right[i:i + 3] != "...":
                raise RuntimeError("einsum(): found '.' for output that is not part of any ellipsis (...)")
            found = True
            result += ellipsis
            i += 2
        elif c.isascii() and c.isalpha():
            if c in result:
                raise RuntimeError(f"einsum(): output subscript {c} appears more than once in the output")
            if c not in seen:
                raise RuntimeError(f"einsum(): output subscript {c} does not appear in the equation for any input "
                                   "operand")
            result.append(c)
        elif c != " ":
            raise RuntimeError(f"einsum(): invalid subscript given at index {offset + i} in the equation string, "
                               "subscripts must "
                               "be in [a-zA-Z]")
        i += 1
    return result


def _diagonals(x: Any, labels: list, k: int) -> tuple[Any, list]:
    """Repeated labels of one operand made one: their diagonal."""
    labels = list(labels)
    i = 0
    while i < len(labels):
        j = next((j for j in range(i + 1, len(labels)) if labels[j] == labels[i]), None)
        if j is None:
            i += 1
            continue
        if x.size(i) != x.size(j):
            raise RuntimeError(f"einsum(): subscript {labels[i]} is repeated for operand {k} but the sizes don't "
                               "match, "
                               f"{x.size(j)} != {x.size(i)}")
        x = x.diagonal(0, i, j).movedim(-1, i)
        del labels[j]
    return x, labels


def _drop(x: Any, labels: list, keep: set, sizes: dict, last: bool = False) -> tuple[Any, list]:
    """Sum over labels that nobody else has; forget those of size 1 that are larger elsewhere."""
    gone = [i for i, label in enumerate(labels) if label not in keep]
    if gone:
        x = x.sum(gone) if last else x.sum(gone, dtype=x.dtype)
        labels = [label for i, label in enumerate(labels) if i not in gone]
    single = [i for i, label in enumerate(labels) if x.size(i) == 1 and sizes[label] != 1]
    if single:
        x = x.squeeze(tuple(single))
        labels = [label for i, label in enumerate(labels) if i not in single]
    return x, labels


def _aligned(x: Any, labels: list, order: list) -> Any:
    """``x`` with its dimensions in ``order``, size 1 where it has none of that label."""
    x = x.permute([labels.index(label) for label in order if label in labels])
    for i, label in enumerate(order):
        if label not in labels:
            x = x.unsqueeze(i)
    return x


def _pair(a: Any, la: list, b: Any, lb: list, keep: set, wanted: list, sizes: dict, last: bool) -> tuple[Any, list]:
    """The product of two operands, summed over the labels that are not to be kept."""
    both = [x for x in la if x in lb]
    batch, summed = [x for x in both if x in keep], [x for x in both if x not in keep]
    only_a, only_b = [x for x in la if x not in lb], [x for x in lb if x not in la]
    if not summed:
        order = [x for x in wanted if x in la or x in lb] + [x for x in la + only_b if x not in wanted]
        return _aligned(a, la, order) * _aligned(b, lb, order), order

    def count(labels: list) -> int:
        n = 1
        for x in labels:
            n *= sizes[x]
        return n

    # The left factor is the one whose own labels come first in the result, so that no transposition follows.
    if last and only_a and only_b and only_a[0] in wanted and only_b[0] in wanted and (
            wanted.index(only_b[0]) < wanted.index(only_a[0])):
        a, la, only_a, b, lb, only_b = b, lb, only_b, a, la, only_a
    if a.dtype is not b.dtype and overrides.state.autocast is None:
        raise RuntimeError(f"expected scalar type {a.dtype.label} but found {b.dtype.label}")
    if a.dtype.name == "bool":
        raise NotImplementedError('"bmm" not implemented for \'Bool\'')
    left = a.permute([la.index(x) for x in batch + only_a + summed]).reshape(count(batch), count(only_a), count(summed))
    right = b.permute([lb.index(x) for x in batch + summed + only_b]).reshape(
        count(batch), count(summed), count(only_b)
    )
    out = matmul(left.squeeze(0), right.squeeze(0)) if count(batch) == 1 else matmul(left, right)
    labels = batch + only_a + only_b
    return out.reshape([sizes[x] for x in labels]), labels


def _next_pair(operands: list, keep_all: list, sizes: dict) -> tuple[int, int]:
    """Which two operands to multiply next: those with the smallest product."""
    if len(operands) <= 2:
        return 0, 1
    best = None
    for i in range(len(operands)):
        for j in range(i + 1, len(operands)):
            others = {x for k, (_, labels) in enumerate(operands) if k not in (i, j) for x in labels} | set(keep_all)
            union = dict.fromkeys(operands[i][1] + operands[j][1])
            size = 1
            for x in union:
                size *= sizes[x] if x in others else 1
            shared = any(x in operands[j][1] for x in operands[i][1])
            cost = (not shared, size, i, j)
            if best is None or cost < best:
                best = cost
    assert best is not None
    return best[2], best[3]


@functools.lru_cache(1024)
def _product_plan(equation: str, shape_a: tuple, shape_b: tuple) -> tuple | None:
    """How one matmul computes the equation, if no label needs more than that: (permutation, shape) of both operands,
    shape
    and permutation of the result, None where nothing is to be done."""
    (la, lb), result = _parse(equation, (len(shape_a), len(shape_b)))
    sizes: dict = {}
    for labels, shape in ((la, shape_a), (lb, shape_b)):
        if len(set(labels)) != len(labels):
            return None
        for label, n in zip(labels, shape, strict=True):
            if sizes.setdefault(label, n) != n:
                return None
    batch, summed = [x for x in la if x in lb and x in result], [x for x in la if x in lb and x not in result]
    rows, columns = [x for x in la if x not in lb], [x for x in lb if x not in la]
    if not summed or any(x not in result for x in rows + columns):
        return None
    swap = bool(rows and columns) and result.index(columns[0]) < result.index(rows[0])
    if swap:                                       # so that the result needs no transposition
        la, lb, rows, columns = lb, la, columns, rows

    def step(labels: list, order: list, parts: list) -> tuple:
        permutation = [labels.index(x) for x in order]
        shape = [int(np.prod([sizes[x] for x in part], dtype=np.int64)) for part in parts]
        return (None if permutation == list(range(len(order))) else permutation,
                None if shape == [sizes[x] for x in order] else shape)

    groups = [batch] if batch else []
    out = batch + rows + columns
    order = [out.index(x) for x in result]
    shape = [sizes[x] for x in out]
    return (swap, *step(la, batch + rows + summed, [*groups, rows, summed]),
            *step(lb, batch + summed + columns, [*groups, summed, columns]),
            None if len(out) == len(batch) + 2 and len(batch) < 2 and rows and columns else shape,
            None if order == list(range(len(out))) else order)


def _planned(plan: tuple, a: Any, b: Any) -> Any:
    swap, permute_a, shape_a, permute_b, shape_b, shape, order = plan
    if swap:
        a, b = b, a
    a = a if permute_a is None else a.permute(permute_a)
    a = a if shape_a is None else a.reshape(shape_a)
    b = b if permute_b is None else b.permute(permute_b)
    b = b if shape_b is None else b.reshape(shape_b)
    out = matmul(a, b)
    out = out if shape is None else out.reshape(shape)
    return out if order is None else out.permute(order)


@composite
def einsum(*args):
    """Multiply the operands and sum over the subscripts that the result does not have.

    ``"ij,jk->ik"`` is a matrix product; without ``->`` the result has, in alphabetical order, the subscripts that
    occur once. ``...`` stands for dimensions that broadcast. RuntimeError if sizes under one subscript differ.

    >>> a, b = torch.ones(2, 3), torch.ones(3, 4)
    >>> torch.einsum("ij,jk->ik", a, b).shape
    torch.Size([2, 4])
    >>> torch.einsum("ii", torch.eye(3))
    tensor(3.)
    """
    if len(args) == 3 and isinstance(args[0], str):
        equation, a, b = args
        if isinstance(a, Tensor) and isinstance(b, Tensor) and a.dtype is b.dtype and a.dtype.name != "bool":
            plan = _product_plan(equation, tuple(a.shape), tuple(b.shape))
            if plan is not None:
                return _planned(plan, a, b)
    equation, tensors = _arguments(args)
    for k, t in enumerate(tensors):
        if not isinstance(t, Tensor):
            raise TypeError(f"expected Tensor as element {k} in argument 1, but got {type(t).__name__}")
    terms, result = _parse(equation, tuple([t.dim() for t in tensors]))
    operands = [_diagonals(t, labels, k) if len(set(labels)) != len(labels) else (t, labels)
                for k, (t, labels) in enumerate(zip(tensors, terms, strict=True))]
    sizes: dict = {}
    for k, (x, labels) in enumerate(operands):
        for label, n in zip(labels, x.shape, strict=True):
            if sizes.setdefault(label, n) == 1:
                sizes[label] = n
            elif n not in (1, sizes[label]):
                raise RuntimeError(f"einsum(): subscript {'...' if isinstance(label, int) else label} has size {n} "
                                   f"for operand {k} "
                                   f"which does not broadcast with previously seen size {sizes[label]}")
    while len(operands) > 1:
        i, j = _next_pair(operands, result, sizes)
        rest = [operands[k] for k in range(len(operands)) if k not in (i, j)]
        needed = set(result).union(*[labels for _, labels in rest])
        (a, la), (b, lb) = operands[i], operands[j]
        a, la = _drop(a, la, needed.union(lb), sizes)
        b, lb = _drop(b, lb, needed.union(la), sizes)
        if any(x not in needed and x not in lb for x in la):          # b lost a label of size 1
            a, la = _drop(a, la, needed.union(lb), sizes)
        operands = [_pair(a, la, b, lb, needed, result, sizes, last=not rest), *rest]
    x, labels = operands[0]
    x, labels = _drop(x, labels, set(result), dict.fromkeys(labels, 1), last=len(tensors) == 1)
    if labels == result:
        return x if len(tensors) > 1 or x is not tensors[0] else x.permute(list(range(x.dim())))
    x = _aligned(x, labels, result)
    return (
        x if all(x.size(i) == sizes[label] for i, label in enumerate(result)) else x.expand([sizes[y] for y in result])
    )
