"""Short-time Fourier transforms."""
from __future__ import annotations

from typing import Any

from flowtorch.autograd.levels import unwrapped
from flowtorch.ops.arguments import need_int
from flowtorch.ops.fft import _fft_c2c, _fft_c2r, _fft_r2c
from flowtorch.ops.op import REGISTRY, composite


def _describe(name: str, kind: str, x: Any, n_fft: Any, hop: Any, win: Any, window: Any, tail: str) -> str:
    shown = "None" if window is None else f"torch.{window.dtype.label}Tensor{{{list(window.shape)}}}"
    return f"{name}({kind}{list(x.shape)}, n_fft={n_fft}, hop_length={hop}, win_length={win}, window={shown}, {tail})"


def _flag(value: Any) -> str:
    return "None" if value is None else str(int(value))


def _centred(window: Any, n_fft: int) -> Any:
    """``window`` with zeros around it up to ``n_fft`` elements."""
    from flowtorch.ops.join import cat

    missing = n_fft - window.shape[0]
    left = missing // 2
    return cat([window.new_zeros((left,)), window, window.new_zeros((missing - left,))]) if missing else window


@composite(name="stft")
def stft(input, n_fft, hop_length=None, win_length=None, window=None, center=True, pad_mode="reflect", normalized=False,
         onesided=None, return_complex=None, align_to_window=None):
    """The spectra of overlapping stretches of a signal: (batch, frequencies, frames)."""
    for k, n in ((2, n_fft), (3, hop_length), (4, win_length)):
        if isinstance(n, (float, str)):
            kinds = ", ".join(["Tensor", *[type(v).__name__ for v in (n_fft, hop_length, win_length)[:k - 1]]])
            raise TypeError(f"stft() received an invalid combination of arguments - got ({kinds}, ...), but expected "
                            "(Tensor input, int n_fft, int hop_length, int win_length, ...)")
    if center and align_to_window is not None:
        raise RuntimeError("stft align_to_window should only be set when center = false.")
    if center and input.dim() in (1, 2):
        from flowtorch.nn.functional import pad

        extra = n_fft // 2
        lifted = input.reshape((1,) * (3 - input.dim()) + tuple(input.shape))
        input = pad(lifted, (extra, extra), pad_mode).reshape((*input.shape[:-1], -1))
    complex_in = input.is_complex() or (window is not None and window.is_complex())
    if return_complex is None:
        if not complex_in:
            raise RuntimeError("stft requires the return_complex parameter be given for real inputs, and will further "
                               "require that "
                               "return_complex=True in a future PyTorch release.")
        return_complex = True
    hop = n_fft // 4 if hop_length is None else hop_length
    win = n_fft if win_length is None else win_length
    _check_stft(input, n_fft, hop, win, window, normalized, onesided, return_complex, align_to_window)
    onesided = not complex_in if onesided is None else onesided
    if onesided and complex_in:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    x = input.unsqueeze(0) if input.dim() == 1 else input
    frames = x.unfold(-1, n_fft, hop)
    if window is not None or win < n_fft:
        shape = x.new_ones((win,)) if window is None else window
        frames = frames * _centred(shape, n_fft)
    scale = n_fft ** -0.5 if normalized else 1.0
    last = (frames.dim() - 1,)
    if frames.is_complex():
        out = _fft_c2c(frames, last, scale, True)
    elif onesided:
        out = _fft_r2c(frames, last, scale)
    else:
        out = _fft_c2c(frames.to(frames.dtype.to_complex()), last, scale, True)
    out = out.transpose(1, 2)
    out = out.squeeze(0) if input.dim() == 1 else out
    return out if return_complex else REGISTRY["view_as_real"].public(out)


def _check_stft(x, n_fft, hop, win, window, normalized, onesided, return_complex, align):
    head = _describe("stft", f"torch.{x.dtype.label}Tensor", x, n_fft, hop, win, window,
                     f"normalized={_flag(normalized)}, onesided={_flag(onesided)}, "
                     f"return_complex={_flag(return_complex)}, "
                     f"align_to_window={_flag(align)}")
    if x.dtype.rank < 2:
        raise RuntimeError(f"{head} : expected a tensor of floating point or complex values")
    if x.dim() not in (1, 2):
        raise RuntimeError(f"{head} : expected a 1D or 2D tensor")
    length = x.shape[-1]
    if not 0 < n_fft <= length:
        raise RuntimeError(f"{head} : expected 0 < n_fft < {length}, but got n_fft={n_fft}")
    if hop <= 0:
        raise RuntimeError(f"{head} : expected hop_length > 0, but got hop_length={hop}")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{head} : expected 0 < win_length <= n_fft, but got win_length={win}")
    if window is not None and tuple(window.shape) != (win,):
        raise RuntimeError(f"{head} : expected a 1D window tensor of size equal to win_length={win}, but got window "
                           "with size "
                           f"{list(window.shape)}")


@composite(name="istft", method=True)
def istft(
    input,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    normalized=False,
    onesided=None,
    length=None,
    return_complex=False,
):
    """The signal whose ``stft`` is nearest to ``input``: frames overlap and are divided by the sum of the squared
    windows."""
    n_fft = need_int("istft", "n_fft", 2, n_fft)
    hop = n_fft // 4 if hop_length is None else need_int("istft", "hop_length", 3, hop_length)
    win = n_fft if win_length is None else need_int("istft", "win_length", 4, win_length)
    if not input.is_complex():
        raise RuntimeError("istft requires a complex-valued input tensor matching the output from stft with "
                           "return_complex=True.")
    head = _describe("istft", f"CPU{input.dtype.label}Type", input, n_fft, hop, win, window,
                     f"center={_flag(center)}, normalized={_flag(normalized)}, onesided={_flag(onesided)}, "
                     f"length={length}, return_complex={_flag(return_complex)}")
    if input.dim() == 1:
        raise IndexError("Dimension out of range (expected to be in range of [-1, 0], but got -3)")
    complex_window = window is not None and window.is_complex()
    if onesided is None:
        onesided = input.shape[-2] != n_fft
    _check_istft(head, input, n_fft, hop, win, window, onesided)
    if return_complex and onesided:
        raise RuntimeError("Cannot have onesided output if window or input is complex")
    if complex_window and not return_complex:
        raise RuntimeError("Complex windows are incompatible with return_complex=False")
    x = input.unsqueeze(0) if input.dim() == 2 else input
    frames, scale = x.transpose(1, 2), n_fft ** -0.5 if normalized else 1 / n_fft
    if return_complex:
        frames = _fft_c2c(frames, (2,), scale, False)
    else:                                                     # a whole spectrum counts by its first half
        frames = _fft_c2r(frames[:, :, :n_fft // 2 + 1], (2,), scale, n_fft)
    shape = frames.real.new_ones((win,)) if window is None else window
    shape = _centred(shape, n_fft)
    signal = _overlap(frames * shape, hop)                    # complex windows are not conjugated, nor here below
    weight = _overlap((shape * shape).expand(1, frames.shape[1], n_fft), hop)
    return _trimmed(head, signal, weight, n_fft, center, length, input.dim() == 2)


def _check_istft(head, x, n_fft, hop, win, window, onesided):
    if x.numel() == 0:
        raise RuntimeError(f"{head} : input tensor cannot be empty.")
    if x.dim() not in (2, 3):
        raise RuntimeError(f"{head} : expected a tensor with 2 or 3 dimensions, but got {x.dim()}")
    size = x.shape[-2]
    if onesided and n_fft // 2 + 1 != size:
        raise RuntimeError(f"{head} : expected the frequency dimension (3rd to the last) of the input tensor to match "
                           "n_fft / 2 + 1 "
                           f"when onesided=True, but got {size}")
    if not onesided and n_fft != size:
        raise RuntimeError(f"{head} : expected the frequency dimension (3rd to the last) of the input tensor to match "
                           "n_fft when "
                           f"onesided=False, but got {size}")
    if not 0 < hop <= win:
        raise RuntimeError(f"{head} : expected 0 < hop_length <= win_length")
    if not 0 < win <= n_fft:
        raise RuntimeError(f"{head} : expected 0 < win_length <= n_fft")
    if window is not None and tuple(window.shape) != (win,):
        raise RuntimeError(f"{head} : Invalid window shape. window has to be 1D and length of `win_length`")


def _overlap(frames: Any, hop: int) -> Any:
    """The sum of (batch, frame, n) frames laid ``hop`` apart."""
    from flowtorch.ops.factory import arange

    batch, count, n = frames.shape
    where = (arange(count).unsqueeze(-1) * hop + arange(n)).reshape(-1)
    total = frames.new_zeros((batch, hop * (count - 1) + n))
    return total.index_add(1, where, frames.reshape(batch, -1))


def _trimmed(head: str, signal: Any, weight: Any, n_fft: int, center: bool, length: Any, single: bool) -> Any:
    start = n_fft // 2 if center else 0
    size = signal.shape[-1]
    end = start + length if length is not None else size - n_fft // 2 if center else size
    stop = min(end, size)
    signal, weight = signal[:, start:stop], weight[:, start:stop]
    smallest = float(unwrapped(weight.detach()).abs().min())
    if not smallest > 1e-11:
        raise RuntimeError(f"{head} window overlap add min: 1")
    out = signal / weight
    if end > size:
        from flowtorch.ops.join import cat

        out = cat([out, out.new_zeros((out.shape[0], end - size))], -1)
    return out.squeeze(0) if single else out


@composite(namespace="Tensor", method="stft", name="stft")
def _stft_method(
    self,
    n_fft,
    hop_length=None,
    win_length=None,
    window=None,
    center=True,
    pad_mode="reflect",
    normalized=False,
    onesided=None,
    return_complex=None,
    align_to_window=None,
):
    """See ``torch.stft``."""
    return stft(
        self,
        n_fft,
        hop_length,
        win_length,
        window,
        center,
        pad_mode,
        normalized,
        onesided,
        return_complex,
        align_to_window,
    )
