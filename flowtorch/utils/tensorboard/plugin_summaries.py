"""Values as the messages of TensorBoard's plugins: curves, charts, meshes, sounds, films and whole tensors."""

from __future__ import annotations

import io
import json
import wave
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto

from .summaries import _height_width_channels, _plugin, array, png

_TENSOR_FIELDS = {
    "float16": ("DT_HALF", "half_val", lambda a: a.view(np.uint16)),
    "bfloat16": ("DT_BFLOAT16", "half_val", lambda a: a.view(np.uint16)),
    "float32": ("DT_FLOAT", "float_val", None),
    "float64": ("DT_DOUBLE", "double_val", None),
    "int8": ("DT_INT8", "int_val", None),
    "uint8": ("DT_UINT8", "int_val", None),
    "int16": ("DT_INT16", "int_val", None),
    "int32": ("DT_INT32", "int_val", None),
    "int64": ("DT_INT64", "int64_val", None),
    "bool": ("DT_BOOL", "bool_val", None),
    "complex64": ("DT_COMPLEX64", "scomplex_val", lambda a: a.view(np.float32)),
    "complex128": ("DT_COMPLEX128", "dcomplex_val", lambda a: a.view(np.float64)),
}


def _shape(shape: Any) -> TensorShapeProto:
    return TensorShapeProto(dim=[TensorShapeProto.Dim(size=n) for n in shape])


def tensor(tag: str, value: Any) -> Summary:
    """A whole tensor, in its dtype."""
    kind = str(value.dtype).rpartition(".")[2]
    if kind not in _TENSOR_FIELDS:
        raise ValueError(f"{tag} has unsupported tensor dtype {value.dtype}")
    dtype, field, view = _TENSOR_FIELDS[kind]
    data = np.ascontiguousarray(value.detach().cpu()._array)
    flat = (view(data) if view is not None and data.ndim else data).reshape(-1)
    if view is not None and not data.ndim:
        flat = view(data.reshape(1))
    message = TensorProto(dtype=dtype, tensor_shape=_shape(value.shape), **{field: flat.tolist()})
    return Summary(value=[Summary.Value(tag=tag, metadata=_plugin("tensor"), tensor=message)])


def histogram_raw(tag: str, limits: Any, counts: Any, **figures: float) -> Summary:
    """A distribution that has been counted: the buckets' upper limits, how many are in each, and its figures."""
    if len(limits) != len(counts):
        raise ValueError("len(bucket_limits) != len(bucket_counts), see the document.")
    message = HistogramProto(bucket_limit=limits, bucket=counts, **figures)
    return Summary(value=[Summary.Value(tag=tag, histo=message)])


def precision_recall(labels: Any, predictions: Any, thresholds: int, weights: Any = None) -> np.ndarray:
    """Six rows over the thresholds: true and false positives, true and false negatives, precision, recall."""
    weight = 1.0 if weights is None else array(weights)
    truth = array(labels).astype(np.float64)
    buckets = np.int32(np.floor(array(predictions) * (thresholds - 1)))

    def above(weighted: np.ndarray) -> np.ndarray:
        counts, _ = np.histogram(buckets, bins=thresholds, range=(0, thresholds - 1), weights=weighted)
        return np.cumsum(counts[::-1])[::-1]

    tp, fp = above(truth * weight), above((1.0 - truth) * weight)
    tn, fn = fp[0] - fp, tp[0] - tp
    return np.stack([tp, fp, tn, fn, tp / np.maximum(1e-7, tp + fp), tp / np.maximum(1e-7, tp + fn)])


def pr_curve(tag: str, rows: Any, thresholds: int) -> Summary:
    """A precision-recall curve from its six rows."""
    from tensorboard.plugins.pr_curve.plugin_data_pb2 import PrCurvePluginData

    data = np.stack([array(row) for row in rows])
    content = PrCurvePluginData(version=0, num_thresholds=min(thresholds, 127)).SerializeToString()
    plugin = SummaryMetadata.PluginData(plugin_name="pr_curves", content=content)
    message = TensorProto(dtype="DT_FLOAT", float_val=data.reshape(-1).tolist(), tensor_shape=_shape(data.shape))
    return Summary(value=[Summary.Value(tag=tag, metadata=SummaryMetadata(plugin_data=plugin), tensor=message)])


def custom_scalars(layout: dict) -> Summary:
    """Which scalars are drawn together: category -> title -> ("Multiline" or "Margin", tags)."""
    from tensorboard.plugins.custom_scalar import layout_pb2

    categories = []
    for category, titles in layout.items():
        charts = []
        for title, (kind, tags) in titles.items():
            if kind == "Margin":
                if len(tags) != 3:
                    raise AssertionError(f"Expected 3 tags, got {len(tags)}.")
                series = layout_pb2.MarginChartContent.Series(value=tags[0], lower=tags[1], upper=tags[2])
                drawn = {"margin": layout_pb2.MarginChartContent(series=[series])}
            else:
                drawn = {"multiline": layout_pb2.MultilineChartContent(tag=tags)}
            charts.append(layout_pb2.Chart(title=title, **drawn))
        categories.append(layout_pb2.Category(title=category, chart=charts))
    text = layout_pb2.Layout(category=categories).SerializeToString()
    message = TensorProto(dtype="DT_STRING", string_val=[text], tensor_shape=TensorShapeProto())
    value = Summary.Value(tag="custom_scalars__config__", tensor=message, metadata=_plugin("custom_scalars"))
    return Summary(value=[value])


def mesh(tag: str, vertices: Any, colors: Any, faces: Any, config: dict | None) -> Summary:
    """Meshes or point clouds: vertices (N, V, 3), colours (N, V, 3), triangles (N, F, 3)."""
    from tensorboard.plugins.mesh import metadata
    from tensorboard.plugins.mesh.plugin_data_pb2 import MeshPluginData

    text = "{}" if config is None else json.dumps(config, sort_keys=True)
    kinds = ((vertices, MeshPluginData.VERTEX), (faces, MeshPluginData.FACE), (colors, MeshPluginData.COLOR))
    given = [(array(value), kind) for value, kind in kinds if value is not None]
    components = metadata.get_components_bitmask([kind for _, kind in given])
    values = []
    for data, kind in given:
        about = metadata.create_summary_metadata(
            tag, None, kind, components, data.shape, None, json_config=text
        )
        message = TensorProto(dtype="DT_FLOAT", float_val=data.reshape(-1).tolist(), tensor_shape=_shape(data.shape))
        values.append(Summary.Value(tag=metadata.get_instance_name(tag, kind), tensor=message, metadata=about))
    return Summary(value=values)


def audio(tag: str, value: Any, sample_rate: int) -> Summary:
    """A sound of one channel, its samples in [-1, 1]."""
    samples = array(value).squeeze()
    if np.abs(samples).max() > 1:
        print("warning: audio amplitude out of range, auto clipped.")
        samples = samples.clip(-1, 1)
    if samples.ndim != 1:
        raise AssertionError("input tensor should be 1 dimensional.")
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(sample_rate)
        sound.writeframes((samples * np.iinfo(np.int16).max).astype("<i2").tobytes())
    message = Summary.Audio(
        sample_rate=sample_rate,
        num_channels=1,
        length_frames=len(samples),
        encoded_audio_string=file.getvalue(),
        content_type="audio/wav",
    )
    return Summary(value=[Summary.Value(tag=tag, audio=message)])


def video(tag: str, value: Any, fps: float) -> Summary:
    """Films (N, T, C, H, W), side by side, as a moving GIF; floats are in [0, 1]."""
    films = _bytes(array(value))
    if films.ndim != 5:
        raise AssertionError(f"add_video: expected a tensor of shape (N, T, C, H, W), got {films.shape}")
    frames = [_height_width_channels(films[:, t], "NCHW") for t in range(films.shape[1])]
    height, width, channels = frames[0].shape
    message = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=_gif(frames, fps))
    return Summary(value=[Summary.Value(tag=tag, image=message)])


def _bytes(pixels: np.ndarray) -> np.ndarray:
    scale = 1 if pixels.dtype == np.uint8 else 255
    return np.clip(pixels.astype(np.float32) * scale, 0, 255).astype(np.uint8)


def _pillow(what: str) -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError(f"{what} needs the package 'pillow', which is not installed (pip install pillow)") from None
    return Image


def _gif(frames: list[np.ndarray], fps: float) -> bytes:
    image = _pillow("SummaryWriter.add_video")
    first, *others = [image.fromarray(frame) for frame in frames]
    file = io.BytesIO()
    first.save(file, format="GIF", save_all=True, append_images=others, duration=1000 / fps, loop=0)
    return file.getvalue()


def image_with_boxes(tag: str, value: Any, boxes: Any, rescale: float, dataformats: str, labels: Any) -> Summary:
    """A picture with red boxes (left, top, right, bottom) drawn into it, and their labels."""
    image = _pillow("SummaryWriter.add_image_with_boxes")
    from PIL import ImageDraw

    drawn = image.fromarray(_bytes(_height_width_channels(array(value), dataformats)))
    pen = ImageDraw.Draw(drawn)
    for i, (left, top, right, bottom) in enumerate(array(boxes).tolist()):
        pen.line([(left, top), (left, bottom), (right, bottom), (right, top), (left, top)], width=2, fill="Red")
        if labels is not None:
            pen.text((left, max(top - 10, 0)), str(labels[i]), fill="Red")
    drawn = drawn.resize((int(drawn.width * rescale), int(drawn.height * rescale)))
    pixels = np.asarray(drawn)
    height, width, channels = pixels.shape
    message = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png(pixels))
    return Summary(value=[Summary.Value(tag=tag, image=message)])
