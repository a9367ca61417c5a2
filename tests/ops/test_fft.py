"""Fourier transforms, short-time transforms and windows like torch's."""

from __future__ import annotations

import numpy as np
import pytest
from against_torch import close, same, same_gradients

SETUP = """
fft, W = torch.fft, torch.signal.windows
rng = np.random.default_rng(5)
x, y = torch.from_numpy(rng.standard_normal((4, 6))), torch.from_numpy(rng.standard_normal((4, 6)))
z, i, v = torch.complex(x, y), torch.arange(5), x[0]
"""
ONE = [
    f"fft.{f}({a}{options})"
    for f, a in (("fft", "z"), ("ifft", "x"), ("rfft", "x"), ("irfft", "z"), ("hfft", "z"), ("ihfft", "x"))
    for options in ("", ", n=4", ", n=9, norm='ortho'", ", dim=0, norm='forward'", ", n=5, dim=0")
]
MANY = [
    f"fft.{f}({a}{options})"
    for f, a in (
        ("fft2", "z"),
        ("ifft2", "z"),
        ("rfft2", "x"),
        ("irfft2", "z"),
        ("hfft2", "z"),
        ("ihfft2", "x"),
        ("fftn", "x"),
        ("ifftn", "z"),
        ("rfftn", "x"),
        ("irfftn", "z"),
        ("hfftn", "z"),
        ("ihfftn", "x"),
    )
    for options in ("", ", s=(3, 8)", ", dim=(1, 0), norm='ortho'", ", s=(-1, 5), norm='forward'")
]
OTHER = [
    "fft.fft(i)",
    "fft.fft(x.float())",
    "fft.irfft(z.to(torch.complex64))",
    "fft.fftfreq(5, 0.5)",
    "fft.rfftfreq(6, dtype=torch.float64)",
    "fft.fftshift(x)",
    "fft.ifftshift(x, dim=1)",
    "fft.fftshift(fft.fftfreq(5))",
    "torch.stft(v, 4, return_complex=True)",
    "torch.stft(x, 4, 1, 3, torch.hann_window(3, dtype=torch.float64), return_complex=True)",
    "torch.stft(x, 4, 2, center=False, normalized=True, onesided=False, return_complex=True)",
    "torch.stft(z, 4)",
    "torch.istft(torch.stft(x, 4, return_complex=True), 4)",
    "torch.istft(z, 6, length=9)",
    "torch.istft(z, 6)",
    *[
        f"torch.{w}_window(7{p})"
        for w in ("hann", "hamming", "blackman", "bartlett", "kaiser")
        for p in ("", ", False")
    ],
    *[
        f"W.{w}(7{p})"
        for w in (
            "bartlett",
            "blackman",
            "cosine",
            "exponential",
            "gaussian",
            "hamming",
            "hann",
            "kaiser",
            "nuttall",
            "general_hamming",
        )
        for p in ("", ", sym=False", ", dtype=torch.float64")
    ],
    "W.general_cosine(6, a=[0.5, 0.3, 0.2])",
    "torch.hann_window(1)",
    "W.hann(0)",
]
ERRORS = [
    "fft.fft(x.half())",
    "fft.fft(x, n=0)",
    "fft.fft(x, dim=5)",
    "fft.fft(x, norm='x')",
    "fft.rfft(z)",
    "fft.ihfft(z)",
    "fft.fft(torch.tensor(1.0))",
    "fft.irfft(z[:, :1])",
    "fft.fft2(v)",
    "fft.fft2(x, dim=(0, 0))",
    "fft.fft2(x, s=(3,))",
    "fft.fftn(x, s=(1, 2, 3))",
    "fft.rfftn(z)",
    "fft.rfftn(x, dim=())",
    "fft.ihfftn(z)",
    "fft.fftfreq(5, dtype=torch.int64)",
    "torch.stft(v, 4)",
    "torch.stft(v, 0, return_complex=True)",
    "torch.stft(v, 4, 0, return_complex=True)",
    "torch.stft(v, 4, win_length=5, return_complex=True)",
    "torch.stft(z, 4, onesided=True)",
    "torch.istft(x, 4)",
    "torch.istft(z, 8)",
    "torch.hann_window(-1)",
    "W.hann(-1)",
    "W.gaussian(5, std=-1.0)",
    "W.hann(5, dtype=torch.int64)",
    "W.general_cosine(5, a=[])",
]


@pytest.mark.parametrize("source", ONE + MANY + OTHER)
def test_values(source):
    close(source, SETUP)


@pytest.mark.parametrize("source", ERRORS)
def test_errors(source):
    same(source, SETUP)


@pytest.mark.parametrize(
    "source",
    [
        "torch.fft.fft(a)",
        "torch.fft.rfft(a, n=5)",
        "torch.fft.irfft(torch.fft.rfft(a) ** 2, n=7)",
        "torch.fft.ihfft(a).abs()",
        "torch.fft.fftn(a * a)",
        "torch.fft.irfftn(torch.fft.rfftn(a) ** 3)",
        "torch.fft.hfft(torch.complex(a, a * a))",
        "torch.stft(a, 4, return_complex=True).abs().square()",
        "torch.istft(torch.stft(a, 4, return_complex=True) ** 2, 4)",
    ],
)
def test_gradients_twice(source):
    same_gradients(source, [np.random.default_rng(1).standard_normal((3, 6))], second=True)
