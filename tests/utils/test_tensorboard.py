"""SummaryWriter's files, read back by TensorBoard; without that package, an ImportError that names it."""

import importlib.util
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest

import flowtorch

HAVE = importlib.util.find_spec("tensorboard") is not None


@pytest.mark.skipif(HAVE, reason="tensorboard is installed")
def test_without_tensorboard_the_error_names_it():
    code = "import flowtorch.utils.tensorboard"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError" in done.stderr
    assert "package 'tensorboard'" in done.stderr


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


@pytest.mark.skipif(not HAVE, reason="needs tensorboard")
def test_what_is_written_is_read_back(tmp_path):
    from flowtorch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as w:
        for step in range(3):
            w.add_scalar("loss", flowtorch.tensor(1.0 / (step + 1), requires_grad=True), step)
        w.add_scalars("both", {"a": 1, "b": 2.5}, 7)
        w.add_histogram("weights", flowtorch.randn(1000).bfloat16(), 1)
        w.add_text("note", "**good**")
        w.add_image("picture", flowtorch.arange(24).view(1, 4, 6) / 24)
        w.add_images("pictures", flowtorch.zeros(3, 3, 4, 5, dtype=flowtorch.uint8))
        w.add_hparams({"lr": 0.1, "name": "x", "flag": True}, {"accuracy": 0.5}, run_name="run")
        with pytest.raises(NotImplementedError, match="add_mesh"):
            w.add_mesh("m")
    events = read(tmp_path)
    assert [(e.step, round(e.value, 5)) for e in events.Scalars("loss")] == [(0, 1), (1, 0.5), (2, 0.33333)]
    assert read(tmp_path / "both_b").Scalars("both")[0].value == 2.5
    h = events.Histograms("weights")[0].histogram_value
    assert h.num == 1000
    assert sum(h.bucket) == 1000
    assert np.all(np.diff(h.bucket_limit) > 0)
    image = events.Images("picture")[0]
    assert (image.width, image.height) == (6, 4)
    assert decode(image.encoded_image_string)[0, 1].tolist() == [10, 10, 10]
    assert (events.Images("pictures")[0].width, events.Images("pictures")[0].height) == (10, 8)
    assert b"**good**" in events.Tensors("note/text_summary")[0].tensor_proto.string_val[0]
    assert read(tmp_path / "run").Scalars("accuracy")[0].value == 0.5


def decode(png):
    """The pixels of an unfiltered PNG of three channels."""
    width, height = struct.unpack(">II", png[16:24])
    at = png.index(b"IDAT")
    (size,) = struct.unpack(">I", png[at - 4:at])
    rows = np.frombuffer(zlib.decompress(png[at + 4:at + 4 + size]), np.uint8).reshape(height, 1 + 3 * width)
    return rows[:, 1:].reshape(height, width, 3)
