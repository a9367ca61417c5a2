"""SummaryWriter's files, read back by TensorBoard; without that package, an ImportError that names it."""

import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import torch

import flowtorch


def test_without_tensorboard_the_error_names_it():
    code = "import sys; sys.modules['tensorboard'] = None; import flowtorch.utils.tensorboard"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert "ImportError" in done.stderr
    assert "package 'tensorboard'" in done.stderr


def read(folder):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(folder), size_guidance={"images": 0, "histograms": 0, "tensors": 0})
    events.Reload()
    return events


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
        with pytest.raises(NotImplementedError, match="ONNX"):
            w.add_onnx_graph("m")
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


def write_all(library, folder):
    """One event of every kind that is written through a plugin."""
    from importlib import import_module

    t = library.tensor
    rng = np.random.default_rng(0)
    writer = import_module(f"{library.__name__}.utils.tensorboard").SummaryWriter(folder)
    labels, scores = t((rng.random(50) > 0.5).astype("int64")), t(rng.random(50).astype("float32"))
    writer.add_pr_curve("pr", labels, scores, 3)
    writer.add_pr_curve("weighted", labels, scores, num_thresholds=10, weights=rng.random(50))
    writer.add_pr_curve_raw("raw", *(t([1.0, 2.0]) for _ in range(6)), num_thresholds=2)
    writer.add_custom_scalars({"c": {"title": ["Multiline", ["a", "b"]], "m": ["Margin", ["a", "b", "c"]]}})
    points = t(rng.random((1, 5, 3)).astype("float32"))
    faces = t([[[0, 1, 2], [2, 3, 4]]])
    writer.add_mesh("mesh", points, t(np.full((1, 5, 3), 9)), faces, {"camera": {"fov": 1}}, 2)
    writer.add_audio("sound", t(np.sin(np.arange(30)).astype("float32")), sample_rate=8000)
    writer.add_tensor("whole", t([[1, 2], [3, 4]]), 5)
    writer.add_tensor("double", t(1.5).double())
    writer.add_histogram_raw("counted", 0.0, 2.0, 3, 3.0, 5.0, [1.0, 2.0], [1, 2], 4)
    pictures = t(rng.random((3, 3, 4, 4)).astype("float32"))
    writer.add_embedding(points[0, :3], ["a", "b", "c"], pictures, 7, "set/one")
    writer.add_embedding(points[0], [["a", 1]] * 5, metadata_header=["name", "number"])
    writer.close()


def records(folder):
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

    (file,) = folder.glob("events*")
    summaries = [e.summary.SerializeToString() for e in EventFileLoader(str(file)).Load() if e.HasField("summary")]
    files = {str(f.relative_to(folder)): f for f in folder.rglob("*") if f.is_file() and f != file}
    return summaries, files


def test_events_are_pytorchs(tmp_path):
    write_all(flowtorch, tmp_path / "ours")
    ours, our_files = records(tmp_path / "ours")
    write_all(torch, tmp_path / "theirs")
    theirs, their_files = records(tmp_path / "theirs")
    assert len(ours) == len(theirs) == 9
    assert ours == theirs
    assert our_files.keys() == their_files.keys()
    for name, file in our_files.items():
        if not name.endswith(".png"):
            assert file.read_text() == their_files[name].read_text()


def test_graphs_know_modules_and_shapes(tmp_path):
    from tensorboard.compat.proto.graph_pb2 import GraphDef

    from flowtorch import nn
    from flowtorch.utils.tensorboard import SummaryWriter

    model = nn.Sequential(nn.Linear(3, 4), nn.Sequential(nn.ReLU(), nn.Dropout()))
    with SummaryWriter(tmp_path) as w:
        w.add_graph(model, flowtorch.ones(2, 3))
    assert model.training and model[1][1].training
    graph = GraphDef.FromString(read(tmp_path).Graph().SerializeToString())
    nodes = {node.name: node for node in graph.node}
    linear = next(n for n in graph.node if n.op == "aten::linear")
    assert linear.name.startswith("Sequential/Linear[0]/")
    assert list(linear.input) == ["input/input", "Sequential/Linear[0]/weight", "Sequential/Linear[0]/bias"]
    assert [d.size for d in linear.attr["_output_shapes"].list.shape[0].dim] == [2, 4]
    relu = next(n for n in graph.node if n.op == "aten::relu")
    assert relu.name.startswith("Sequential/Sequential[1]/ReLU[0]/")
    assert list(relu.input) == [linear.name]
    assert list(nodes["output/output.1"].input) == [relu.name]
    assert all(name in nodes for node in graph.node for name in node.input)


def test_films_are_gifs(tmp_path):
    from flowtorch.utils.tensorboard import SummaryWriter

    with SummaryWriter(tmp_path) as w:
        w.add_video("film", flowtorch.rand(2, 3, 3, 4, 6), fps=2)
        w.add_image_with_boxes("boxes", flowtorch.zeros(3, 8, 8), flowtorch.tensor([[1, 1, 5, 5]]), labels="b")
    film = read(tmp_path).Images("film")[0]
    assert (film.width, film.height) == (12, 4)
    assert film.encoded_image_string[:3] == b"GIF"
    assert read(tmp_path).Images("boxes")[0].width == 8
