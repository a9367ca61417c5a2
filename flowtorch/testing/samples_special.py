"""Samples of the special functions, of Fourier transforms and of windows."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .samples import FLOATS, Maker, Named, Sample, samples

TRIED = ("float64", "float32", "int64")


def special(*names: str, second: bool = False, **options: Any) -> None:
    """Special functions of one or (``second``) two tensors."""

    # Both sides sum series and asymptotic expansions of their own: agreement to some dozens of units.
    @samples(*names, **{"dtypes": TRIED, "factor": 64, "double": False, **options})
    def _(make: Maker) -> Iterator[Sample]:
        if second:
            yield make.call(make(3, 4), make(3, 4))
            yield make.call(make(3, 1), make(4))
        else:
            yield make.call(make(3, 4))
            yield make.call(make())
            yield make.call(make(0, 3))


def named(*names: str) -> tuple[str, ...]:
    return tuple(f"special.{n}" for n in names)


special(
    "i0",
    *named("i0e", "i1", "i1e", "erfcx", "ndtr", "log_ndtr", "airy_ai", "modified_bessel_i0", "modified_bessel_i1"),
)
special(*named("bessel_j0", "bessel_j1", "spherical_bessel_j0"), domain=(0.2, 3.0))
special(
    *named(
        "bessel_y0",
        "bessel_y1",
        "modified_bessel_k0",
        "modified_bessel_k1",
        "scaled_modified_bessel_k0",
        "scaled_modified_bessel_k1",
        "entr",
    ),
    domain=(0.3, 4.0),
)
special(*named("ndtri"), domain=(0.05, 0.95))
special("igamma", "igammac", domain=(0.4, 4.0), second=True, gradient=False)
special(*named("zeta"), domain=(1.5, 4.0), second=True, gradient=False)
special(*named("xlog1py"), domain=(0.1, 3.0), second=True)


@samples(
    *named(
        *(f"{shift}chebyshev_polynomial_{k}" for shift in ("", "shifted_") for k in "tuvw"),
        "hermite_polynomial_h",
        "hermite_polynomial_he",
        "laguerre_polynomial_l",
        "legendre_polynomial_p",
    ),
    dtypes=TRIED,
    domain=(0.05, 0.95),
    factor=64,
    gradient=False,
)
def _polynomial(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), make.given([0, 1, 2, 5], grad=False))
    yield make.call(make(3), 3)


@samples("mvlgamma", dtypes=TRIED, domain=(2.2, 5.0), factor=16)
def _mvlgamma(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4), 1)
    yield make.call(make(3, 4), 3)


@samples("frexp", dtypes=(*FLOATS, "bfloat16", "int64"), gradient=False)
def _frexp(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make.given([0.0, 1.0, -2.0, 0.1]))


def transform(
    *names: str, given: Any, shape: tuple = (3, 6), dtypes: tuple = ("float64", "float32", "complex64", "int64")
) -> None:
    """Fourier transforms of one tensor."""

    @samples(*(f"fft.{n}" for n in names), dtypes=dtypes, factor=32)
    def _(make: Maker) -> Iterator[Sample]:
        for args in given:
            yield make.call(make(*shape), *args)
        yield make.call(make(*shape), norm="ortho")
        yield make.call(make(*shape), norm="forward")


ONE, MANY = [(), (4,), (8, 0), (None, -2)], [(), ((2, 4),), (None, (0,)), ((4, 8), (-2, -1))]
transform("fft", "ifft", given=ONE)
transform("rfft", "ihfft", given=ONE, dtypes=("float64", "float32", "int64", "complex64"))
transform("irfft", "hfft", given=ONE)
transform("fft2", "ifft2", "fftn", "ifftn", "irfft2", "irfftn", "hfft2", "hfftn", given=MANY)
transform("rfft2", "rfftn", "ihfft2", "ihfftn", given=MANY)


@samples("fft.fftshift", "fft.ifftshift")
def _fftshift(make: Maker) -> Iterator[Sample]:
    yield make.call(make(3, 4))
    yield make.call(make(3, 5), 1)


@samples("fft.fftfreq", "fft.rfftfreq", dtypes=FLOATS, factor=2)
def _fftfreq(make: Maker) -> Iterator[Sample]:
    yield make.call(6)
    yield make.call(5, 0.5, dtype=Named(make.dtype))


@samples(
    "bartlett_window", "blackman_window", "hann_window", "hamming_window", "kaiser_window", dtypes=FLOATS, factor=16
)
def _window(make: Maker) -> Iterator[Sample]:
    for n in (0, 1, 7):
        yield make.call(n, dtype=Named(make.dtype))
    yield make.call(8, False, dtype=Named(make.dtype))
    yield make.call(-1)


@samples("stft", "Tensor.stft", dtypes=FLOATS, factor=64)
def _stft(make: Maker) -> Iterator[Sample]:
    yield make.call(make(2, 24), 8, return_complex=True)
    yield make.call(make(24), 8, 4, 6, make(6, low=0.2), return_complex=True, center=False)
    yield make.call(make(24), 8)


@samples("istft", dtypes=("complex128", "complex64"), factor=64)
def _istft(make: Maker) -> Iterator[Sample]:
    yield make.call(
        make(5, 9), 8, window=make.given([1.0] * 8, "float64" if make.dtype == "complex128" else "float32")
    )
