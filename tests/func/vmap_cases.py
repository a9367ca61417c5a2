"""Functions of tensors to transform: (name, function of a namespace, shapes of its float inputs)."""


def simple(name, *shapes):
    return (name, lambda F, *xs: getattr(F, name)(*xs), shapes)


UNARY = [
    "neg",
    "exp",
    "log1p",
    "sqrt",
    "tanh",
    "sin",
    "cos",
    "sigmoid",
    "abs",
    "square",
    "reciprocal",
    "rsqrt",
    "erf",
    "expm1",
    "floor",
    "sign",
    "relu",
    "log2",
    "atan",
    "sinh",
]
BINARY = ["add", "sub", "mul", "div", "pow", "maximum", "minimum", "atan2", "hypot", "logaddexp", "fmax"]

POINTWISE = [
    *[simple(name, (3, 2)) for name in UNARY],
    *[simple(name, ()) for name in UNARY[:4]],
    *[
        simple(name, *shapes)
        for name in BINARY
        for shapes in (((3, 2), (3, 2)), ((3, 2), (2,)), ((), (3, 2)))
    ],
    ("clamp", lambda F, x: x.clamp(0.2, 0.8), [(3, 2)]),
    ("lerp", lambda F, x, y, w: F.lerp(x, y, w), [(3,), (3,), ()]),
    ("addcmul", lambda F, x, y, z: F.addcmul(x, y, z, value=2), [(2, 3), (3,), (1,)]),
    ("where", lambda F, x, y: F.where(x > y, x, y * 2), [(3, 2), (2,)]),
    ("where number", lambda F, x: F.where(x > 0.5, x, 0.0), [(3, 2)]),
    ("python numbers", lambda F, x: (2 - x) / 3 + x**2, [()]),
    ("mixed dtypes", lambda F, x: x + F.tensor(2.0, dtype=F.float64), [(3,)]),
    ("double scalar", lambda F, x, y: x.double() * y, [(), (3,)]),
]

REDUCTIONS = [
    *[
        (f"{name} {args}", lambda F, x, n=name, a=args: getattr(x, n)(*a), [(2, 3, 2)])
        for name in ("sum", "mean", "amax", "amin", "logsumexp", "var", "std", "prod", "norm")
        for args in ((), (1,), (-1,), (0, True))
        if not (name in ("logsumexp",) and args == ())
        if not (name in ("amax", "amin") and args == ())
        and not (name in ("var", "std") and args == (0, True))
        if not (name == "norm" and args)
    ],
    ("sum of dims", lambda F, x: x.sum((0, 2), True), [(2, 3, 2)]),
    ("sum of a scalar", lambda F, x: x.sum(), [()]),
    ("argmax", lambda F, x: x.argmax(), [(2, 3)]),
    ("argmax keepdim", lambda F, x: x.argmax(keepdim=True), [(2, 3)]),
    ("argmin dim", lambda F, x: x.argmin(1), [(2, 3)]),
    ("max dim", lambda F, x: tuple(x.max(0)), [(2, 3)]),
    ("any", lambda F, x: (x > 0.5).any(), [(2, 3)]),
    ("all dim", lambda F, x: (x > 0.5).all(1), [(2, 3)]),
    ("count_nonzero", lambda F, x: F.count_nonzero(x > 0.5, dim=0), [(2, 3)]),
    ("median", lambda F, x: x.median(), [(5,)]),
    ("softmax", lambda F, x: x.softmax(0), [(3, 2)]),
    ("log_softmax", lambda F, x: x.log_softmax(-1), [(3, 2)]),
    ("cumsum", lambda F, x: x.cumsum(0), [(3, 2)]),
    ("cumprod", lambda F, x: x.cumprod(-1), [(3, 2)]),
    ("sort", lambda F, x: tuple(x.sort(0, descending=True)), [(4, 2)]),
    ("topk", lambda F, x: tuple(x.topk(2)), [(2, 5)]),
    ("softmax of a scalar", lambda F, x: x.softmax(0), [()]),
    ("flip", lambda F, x: x.flip((0, 1)), [(2, 3)]),
    ("roll", lambda F, x: x.roll(1) + x.roll(1, 0), [(2, 3)]),
]

VIEWS = [
    (name, function, [(2, 3, 4)])
    for name, function in {
        "view": lambda F, x: x.view(6, -1),
        "reshape": lambda F, x: x.transpose(0, 1).reshape(-1),
        "permute": lambda F, x: x.permute(2, 0, 1),
        "transpose": lambda F, x: x.transpose(-1, 0),
        "mT": lambda F, x: x.mT,
        "expand": lambda F, x: x[:1].expand(5, 2, -1, 4),
        "unsqueeze": lambda F, x: x.unsqueeze(-2),
        "squeeze": lambda F, x: x[:1].squeeze(),
        "squeeze dim": lambda F, x: x[:, :1].squeeze(1),
        "select": lambda F, x: x.select(1, -1),
        "narrow": lambda F, x: x.narrow(2, 1, 2),
        "unfold": lambda F, x: x.unfold(2, 2, 1),
        "diagonal": lambda F, x: x.diagonal(1, 1, 2),
        "unbind": lambda F, x: x.unbind(1),
        "split": lambda F, x: x.split(2, -1),
        "chunk": lambda F, x: x.chunk(2, 1),
        "index": lambda F, x: x[1, None, ::2, ..., 1:],
        "movedim": lambda F, x: x.movedim(0, -1),
        "flatten": lambda F, x: x.flatten(1),
        "unflatten": lambda F, x: x.unflatten(2, (2, 2)),
        "as_strided": lambda F, x: x.as_strided((2, 2), (1, 3)),
        "swapaxes_": lambda F, x: x.clone().swapaxes_(0, 2),
        "tril": lambda F, x: x.tril(1),
        "repeat": lambda F, x: x.repeat(2, 1, 1, 2),
        "diag_embed": lambda F, x: F.diag_embed(x),
        "rot90": lambda F, x: F.rot90(x, 1, (0, 2)),
        "pad": lambda F, x: F.nn.functional.pad(x, (1, 2)),
        "float64": lambda F, x: x.to(F.float64),
    }.items()
]

PRODUCTS = [
    *[
        (f"matmul {a} {b}", lambda F, x, y: x @ y, [a, b])
        for a, b in (
            ((3,), (3,)),
            ((2, 3), (3,)),
            ((3,), (3, 4)),
            ((2, 3), (3, 4)),
            ((5, 2, 3), (3, 4)),
            ((2, 3), (5, 3, 4)),
            ((3,), (5, 3, 4)),
            ((5, 2, 3), (3,)),
        )
    ],
    ("linear", lambda F, x, w, b: F.nn.functional.linear(x, w, b), [(4, 3), (2, 3), (2,)]),
    ("linear vector", lambda F, x, w, b: F.nn.functional.linear(x, w, b), [(3,), (2, 3), (2,)]),
    ("addmm", lambda F, x, y, z: F.addmm(x, y, z, beta=2, alpha=3), [(4,), (2, 3), (3, 4)]),
    ("baddbmm", lambda F, x, y, z: F.baddbmm(x, y, z), [(4,), (2, 2, 3), (2, 3, 4)]),
    ("addbmm", lambda F, x, y, z: F.addbmm(x, y, z), [(4,), (2, 2, 3), (2, 3, 4)]),
    ("addmm beta 0", lambda F, x, y, z: F.addmm(x, y, z, beta=0), [(4,), (2, 3), (3, 4)]),
    ("einsum", lambda F, x, y: F.einsum("ij,kj->ik", x, y), [(2, 3), (4, 3)]),
    ("outer", lambda F, x, y: F.outer(x, y), [(2,), (3,)]),
    ("cat", lambda F, x, y: F.cat([x, y], 1), [(2, 3), (2, 1)]),
    ("stack", lambda F, x, y: F.stack([x, y], -1), [(2, 3), (2, 3)]),
    ("inv", lambda F, x: F.linalg.inv(x @ x.mT + F.eye(3)), [(3, 3)]),
    ("cholesky", lambda F, x: F.linalg.cholesky(x @ x.mT + F.eye(3)), [(3, 3)]),
    ("det", lambda F, x: F.linalg.det(x), [(3, 3)]),
]

INDEXING = [
    ("index", lambda F, x: x[F.tensor([0, 2, 1])], [(4, 3)]),
    ("index second", lambda F, x: x[:, F.tensor([0, 2])], [(4, 3)]),
    ("index two", lambda F, x: x[F.tensor([0, 2]), :, F.tensor([1, 0])], [(4, 3, 2)]),
    ("mask", lambda F, x: x[F.tensor([True, False, True, False])], [(4, 3)]),
    ("argsort index", lambda F, x: x[x.argsort()], [(5,)]),
    ("argsort columns", lambda F, x: x[:, x[0].argsort()], [(4, 3)]),
    ("argsort around", lambda F, x: x[x[:, 0, 0].argsort()[:2], :, x[0, 0].argsort()], [(4, 3, 2)]),
    ("gather", lambda F, x: x.gather(1, x.argsort(1)), [(4, 3)]),
    ("scatter", lambda F, x: x.scatter(0, x.argsort(0), x * 2), [(4, 3)]),
    ("scatter_add", lambda F, x: x.scatter_add(1, x.argsort(1), x), [(4, 3)]),
    ("index_select", lambda F, x: x.index_select(1, F.tensor([2, 0])), [(4, 3)]),
    ("index_select own", lambda F, x: x.index_select(0, x[:, 0].argsort()), [(4, 3)]),
    ("index_add", lambda F, x: x.index_add(1, F.tensor([2, 0]), x[:, :2]), [(4, 3)]),
    ("index_add own", lambda F, x: x.index_add(1, x[0].argsort()[:2], x[:, :2], alpha=2), [(4, 3)]),
    ("index_copy own", lambda F, x: x.index_copy(0, x[:, 0].argsort()[:2], x[:2] * 2), [(4, 3)]),
    ("index_fill own", lambda F, x: x.index_fill(0, x[:, 0].argsort()[:2], 3.0), [(4, 3)]),
    ("masked_fill", lambda F, x: x.masked_fill(x > 0.5, -1.0), [(4, 3)]),
    ("take", lambda F, x: x.take(x.flatten().argsort()), [(4, 3)]),
    ("embedding", lambda F, w: F.nn.functional.embedding(F.tensor([0, 2, 2]), w), [(4, 3)]),
    ("in place", lambda F, x: x.clone().mul_(2).add_(x[0]), [(4, 3)]),
    ("assign", lambda F, x: assigned(x.clone(), (slice(None), 1), x[:, 0]), [(4, 3)]),
    ("assign at tensor", lambda F, x: assigned(x.clone(), F.tensor([0, 2]), x[:1] * 3), [(4, 3)]),
    ("index_put", lambda F, x: x.index_put((F.tensor([0, 0, 1]),), x[:3], accumulate=True), [(4, 3)]),
]


def assigned(x, at, value):
    x[at] = value
    return x


LAYERS = [
    ("conv1d", lambda F, x, w, b: F.nn.functional.conv1d(x, w, b, padding=1), [(2, 2, 5), (4, 2, 3), (4,)]),
    ("conv2d", lambda F, x, w: F.nn.functional.conv2d(x, w, stride=2), [(1, 2, 5, 5), (4, 2, 3, 3)]),
    ("conv2d groups", lambda F, x, w: F.nn.functional.conv2d(x, w, groups=2), [(1, 2, 5, 5), (4, 1, 3, 3)]),
    (
        "conv_transpose2d",
        lambda F, x, w: F.nn.functional.conv_transpose2d(x, w),
        [(1, 2, 3, 3), (2, 3, 2, 2)],
    ),
    ("max_pool2d", lambda F, x: F.nn.functional.max_pool2d(x, 2), [(1, 2, 4, 4)]),
    ("avg_pool2d", lambda F, x: F.nn.functional.avg_pool2d(x, 2), [(1, 2, 4, 4)]),
    ("layer_norm", lambda F, x, w, b: F.nn.functional.layer_norm(x, (3,), w, b), [(2, 3), (3,), (3,)]),
    ("batch_norm", lambda F, x: F.nn.functional.batch_norm(x, None, None, training=True), [(4, 3)]),
    ("cross_entropy", lambda F, x: F.nn.functional.cross_entropy(x, F.tensor([0, 2])), [(2, 3)]),
    (
        "cross_entropy sum",
        lambda F, x, w: F.nn.functional.cross_entropy(x, F.tensor([0, 2]), w, reduction="sum"),
        [(2, 3), (3,)],
    ),
    (
        "nll_loss",
        lambda F, x: F.nn.functional.nll_loss(x.log_softmax(1), F.tensor([0, 2]), ignore_index=2),
        [(2, 3)],
    ),
    ("mse_loss", lambda F, x, y: F.nn.functional.mse_loss(x, y), [(2, 3), (2, 3)]),
    (
        "attention",
        lambda F, q, k, v: F.nn.functional.scaled_dot_product_attention(q, k, v),
        [(2, 3, 4), (2, 5, 4), (2, 5, 4)],
    ),
    ("gelu", lambda F, x: F.nn.functional.gelu(x), [(2, 3)]),
    ("interpolate", lambda F, x: F.nn.functional.interpolate(x, scale_factor=2), [(1, 2, 3, 3)]),
]

CASES = POINTWISE + REDUCTIONS + VIEWS + PRODUCTS + INDEXING + LAYERS
