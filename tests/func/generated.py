"""The transforms on one sample call: derivatives against differences, vmap against a loop, and their compositions."""

import functools
import warnings

import numpy as np

from flowtorch.testing.samples import Array, find

# What the values must be for the function to be smooth in all directions that a difference takes.
HERMITIAN = {"linalg.cholesky", "cholesky", "linalg.cholesky_ex", "linalg.eigvalsh", "linalg.eigh"}
TRIANGULAR = {
    "cholesky_inverse": 0,
    "Tensor.cholesky_inverse": 0,
    "cholesky_solve": 1,
    "Tensor.cholesky_solve": 1,
}
SCALES = (1.0, 0.98, 0.96)  # the examples of a batch: the sample's values, and two like them
STEP = 1e-6


class Case:
    """A function of the differentiable tensors of a sample, in one library."""

    def __init__(self, library, name, sample):
        self.name, self.library, self.sample, self.inplace = (
            name,
            library,
            sample,
            name.endswith("_") and not name.endswith("__"),
        )
        self.function = find(library, name)
        self.inputs = [t for a, t in self.built() if a.grad]

    def built(self):
        """(Array, tensor) for every tensor argument."""
        made = []

        def note(a):
            t = a.build(self.library)
            made.append((a, t))
            return a

        self.sample.map_arrays(note)
        return made

    def __call__(self, *tensors):
        """The differentiable results for these inputs, as a tuple."""
        if self.name in HERMITIAN:
            tensors = [(t + t.mH) / 2 for t in tensors]
        if self.name in TRIANGULAR:
            tensors = [t.tril() if k == TRIANGULAR[self.name] else t for k, t in enumerate(tensors)]
        given = iter(tensors)
        args, kwargs = self.sample.map_arrays(functools.partial(self._argument, given=given)).build(self.library)
        args, kwargs = self._filled(args), self._filled(kwargs)
        out = self.function(*args, **kwargs)
        flat = tuple(flatten(out, self.library))
        return tuple(t for t in flat if t.is_floating_point() or t.is_complex()) or flat

    def _argument(self, a, given):
        return Given(next(given).clone()) if a.grad else a  # some functions write into their arguments

    def _filled(self, value):
        if isinstance(value, Given):
            return value.tensor
        if isinstance(value, (list, tuple)) and not hasattr(value, "_fields"):
            return type(value)(self._filled(v) for v in value)
        if isinstance(value, dict):
            return {k: self._filled(v) for k, v in value.items()}
        return value

    def batch(self):
        """The inputs of a few examples, stacked."""
        return [self.library.stack([t * s for s in SCALES]) for t in self.inputs]

    def example(self, batch, b):
        return [t[b] for t in batch]


class Given(Array):
    """A tensor in the place of a sample's array."""

    def __init__(self, tensor):
        super().__init__(0.0, "float64")
        self.tensor = tensor

    __slots__ = ("tensor",)

    def build(self, library, grad=False):
        return self


def flatten(value, library):
    if isinstance(value, library.Tensor):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from flatten(v, library)


def weights(outputs, library, seed=0):
    """Fixed numbers shaped like the outputs."""
    rng = np.random.default_rng(seed)
    made = []
    for o in outputs:
        w = rng.uniform(-1, 1, tuple(o.shape))
        if o.is_complex():
            w = w + 1j * rng.uniform(-1, 1, tuple(o.shape))
        made.append(library.from_numpy(np.asarray(w)).to(o.dtype))
    return made


def real_sum(outputs, w):
    """One real number that depends on every output."""
    total = 0
    for o, v in zip(outputs, w, strict=True):
        part = (o * v).sum()
        total = total + (part.real if part.is_complex() else part)
    return total


def array(t):
    return t.detach().resolve_conj().numpy() if not isinstance(t, np.ndarray) else t


def inner(a, b):
    return sum(float((array(x).conj() * array(y)).real.sum()) for x, y in zip(a, b, strict=True))


def close(a, b, tolerance):
    a, b = array(a), array(b)
    return a.shape == b.shape and np.allclose(a, b, rtol=tolerance, atol=tolerance, equal_nan=True)


def scalar_function(case, w):
    return lambda *xs: real_sum([o for o in case(*xs) if o.is_floating_point() or o.is_complex()], w)


class Check:
    """All checks of one case; each returns what is wrong, or None."""

    def __init__(self, case):
        self.case, self.T = case, case.library
        self.numbers = tuple(range(len(case.inputs)))
        outputs = case(*case.inputs)
        self.w = weights([o for o in outputs if o.is_floating_point() or o.is_complex()], self.T)
        self.directions = weights(case.inputs, self.T, 1)
        self.scalar = scalar_function(case, self.w)

    @functools.cached_property
    def differentiable(self):
        leaves = [t.detach().clone().requires_grad_() for t in self.case.inputs]
        try:
            value = self.scalar(*leaves) if self.w else None
        except RuntimeError:  # refused for tensors that require gradients, as resize_ is
            return False
        return value is not None and getattr(value, "requires_grad", False)

    def gradient(self, *xs):
        return self.T.func.grad(self.scalar, self.numbers)(*xs)

    def shifted(self, step):
        return [x + step * u for x, u in zip(self.case.inputs, self.directions, strict=True)]

    def smooth(self, f):
        """The derivative of a real function along the directions by differences; None where two steps disagree."""
        values = [(f(*self.shifted(s)) - f(*self.shifted(-s))) / (2 * s) for s in (STEP, 4 * STEP)]
        return None if not np.isclose(*values, rtol=1e-3, atol=1e-4) else values[0]

    def gradcheck(self):
        expected = self.smooth(lambda *xs: float(self.scalar(*xs)))
        got = inner(self.gradient(*self.case.inputs), self.directions)
        if expected is not None and not np.isclose(got, expected, rtol=1e-4, atol=1e-5):
            return f"gradient {got}, by differences {expected}"
        return None

    def forward(self):
        _, got = value = self.T.func.jvp(self.scalar, tuple(self.case.inputs), tuple(self.directions))
        if any(t.requires_grad for t in value):
            return "results of jvp require gradients, and no input does"
        expected = inner(self.gradient(*self.case.inputs), self.directions)
        return None if np.isclose(float(got), expected, rtol=1e-7, atol=1e-8) else f"jvp {float(got)}, grad {expected}"

    def _second(self):
        seconds = weights(self.case.inputs, self.T, 2)
        return seconds, lambda *xs: inner(self.gradient(*xs), seconds)

    def gradgradcheck(self):
        seconds, slope = self._second()

        def f(*xs):
            return real_sum(self.gradient(*xs), [s.conj() for s in seconds])

        expected = self.smooth(slope)
        got = inner(self.T.func.grad(f, self.numbers)(*self.case.inputs), self.directions)
        if expected is not None and not np.isclose(got, expected, rtol=1e-3, atol=1e-4):
            return f"second derivative {got}, by differences {expected}"
        return None

    def forward_over_reverse(self):
        seconds, slope = self._second()
        _, tangents = self.T.func.jvp(self.gradient, tuple(self.case.inputs), tuple(self.directions))
        expected, got = self.smooth(slope), inner(tangents, seconds)
        if expected is not None and not np.isclose(got, expected, rtol=1e-3, atol=1e-4):
            return f"forward over reverse {got}, by differences {expected}"
        return None

    def _looped(self, f):
        batch = self.case.batch()
        rows = [tuple(flatten(f(*self.case.example(batch, b)), self.T)) for b in range(len(SCALES))]
        return [self.T.stack(list(column)) for column in zip(*rows, strict=True)]

    def _compare(self, got, expected):
        got = tuple(flatten(got, self.T))
        if len(got) != len(expected):
            return f"{len(got)} results instead of {len(expected)}"
        for k, (g, e) in enumerate(zip(got, expected, strict=True)):
            if g.dtype != e.dtype or not close(g, e, 1e-9):
                return (
                    f"result {k}: {g.dtype} {tuple(g.shape)} {array(g).ravel()[:4]}, looped {e.dtype} "
                    f"{tuple(e.shape)} {array(e).ravel()[:4]}"
                )
        return None

    def vmap(self):
        return self._compare(self.T.vmap(self.case)(*self.case.batch()), self._looped(self.case))

    def vmap_of_grad(self):
        return self._compare(self.T.vmap(self.gradient)(*self.case.batch()), self._looped(self.gradient))

    def grad_of_vmap(self):
        def total(*batch):
            out = [o for o in self.T.vmap(self.case)(*batch) if o.is_floating_point() or o.is_complex()]
            return real_sum(out, [w.expand(o.shape) for o, w in zip(out, self.w, strict=True)])

        return self._compare(self.T.func.grad(total, self.numbers)(*self.case.batch()), self._looped(self.gradient))

    DERIVATIVES = ("gradcheck", "forward", "gradgradcheck", "forward_over_reverse", "vmap_of_grad", "grad_of_vmap")

    def one(self, name, fallback="ignore"):
        """What is wrong by one check, or None."""
        if name in self.DERIVATIVES and not self.differentiable:
            return None
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.filterwarnings(fallback, message="There is a performance drop")
                return getattr(self, name)()
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:300]}"


CHECKS = ("vmap", *Check.DERIVATIVES)


def problems(library, reference, name, sample, checks=CHECKS):
    """(check, what is wrong) for each check that fails and that the reference passes."""
    check = Check(Case(library, name, sample))
    for which in checks:
        problem = check.one(which, fallback="error")
        if problem is None:
            continue
        try:
            same = Check(Case(reference, name, sample)).one(which) is not None
        except Exception:
            same = True
        if not same:
            yield which, problem
