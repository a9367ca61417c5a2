"""Values as the messages that TensorBoard reads."""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np
from tensorboard.compat.proto.summary_pb2 import HistogramProto, Summary, SummaryMetadata
from tensorboard.compat.proto.tensor_pb2 import TensorProto
from tensorboard.compat.proto.tensor_shape_pb2 import TensorShapeProto


def array(x: Any) -> np.ndarray:
    """A tensor, a number or a sequence as a numpy array."""
    if hasattr(x, "detach"):
        x = x.detach().cpu()
        x = (x.float() if x.dtype.itemsize == 2 and x.dtype.is_floating_point else x).numpy()
    return np.asarray(x)


def number(x: Any) -> float:
    a = array(x)
    assert a.size == 1, "scalar should be 0D"
    return float(a.reshape(()))


def scalar(tag: str, value: Any, new_style: bool = False, double_precision: bool = False) -> Summary:
    """One number; ``new_style`` as a tensor of the plugin "scalars"."""
    value = number(value)
    if not new_style:
        return Summary(value=[Summary.Value(tag=tag, simple_value=value)])
    kind = {"dtype": "DT_DOUBLE", "double_val": [value]} if double_precision else {
        "dtype": "DT_FLOAT", "float_val": [value]}
    return Summary(value=[Summary.Value(tag=tag, tensor=TensorProto(**kind), metadata=_plugin("scalars"))])


def _plugin(name: str) -> SummaryMetadata:
    return SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name=name))


def text(tag: str, value: str) -> Summary:
    """A text, read as Markdown."""
    shape = TensorShapeProto(dim=[TensorShapeProto.Dim(size=1)])
    tensor = TensorProto(dtype="DT_STRING", string_val=[value.encode()], tensor_shape=shape)
    return Summary(value=[Summary.Value(tag=tag + "/text_summary", tensor=tensor, metadata=_plugin("text"))])


def default_bins() -> np.ndarray:
    """Edges that grow by a tenth from 1e-12 to 1e20, on both sides of zero."""
    positive = 1e-12 * 1.1 ** np.arange(int(np.ceil(np.log(1e32) / np.log(1.1))))
    return np.concatenate([-positive[::-1], [0.0], positive])


def histogram(tag: str, values: Any, bins: Any = "tensorflow", max_bins: int | None = None) -> Summary:
    """How often which sizes occur; ``bins`` are edges, or a rule of ``numpy.histogram``."""
    values = array(values).astype(np.float64).reshape(-1)
    if values.size == 0:
        raise ValueError("The input has no element.")
    counts, edges = np.histogram(values, default_bins() if isinstance(bins, str) and bins == "tensorflow" else bins)
    if max_bins is not None and len(counts) > max_bins:
        step = -(-len(counts) // max_bins)
        counts = np.add.reduceat(counts, np.arange(0, len(counts), step))
        edges = np.concatenate([edges[:-1:step], edges[-1:]])
    used = np.flatnonzero(counts)
    first, last = used[0], used[-1] + 1
    # An empty bucket in front: readers take the edge before the first count from it.
    buckets = counts[first:last] if first == 0 else np.concatenate([[0], counts[first:last]])
    limits = edges[first + 1:last + 1] if first == 0 else edges[first:last + 1]
    message = HistogramProto(min=values.min(), max=values.max(), num=values.size, sum=values.sum(),
                             sum_squares=values.dot(values), bucket_limit=limits.tolist(), bucket=buckets.tolist())
    return Summary(value=[Summary.Value(tag=tag, histo=message)])


def image(tag: str, value: Any, dataformats: str = "CHW") -> Summary:
    """A picture, or a grid of several; floats are in [0, 1], integers in [0, 255]."""
    pixels = array(value)
    scale = 1 if pixels.dtype == np.uint8 else 255
    pixels = np.clip(_height_width_channels(pixels, dataformats) * np.float32(scale), 0, 255).astype(np.uint8)
    height, width, channels = pixels.shape
    message = Summary.Image(height=height, width=width, colorspace=channels, encoded_image_string=png(pixels))
    return Summary(value=[Summary.Value(tag=tag, image=message)])


def _height_width_channels(a: np.ndarray, dataformats: str) -> np.ndarray:
    layout = dataformats.upper()
    if len(set(layout)) != len(layout) or set(layout) - set("NCHW"):
        raise AssertionError(f"You can not use the same dimension shordhand twice. input_format: {dataformats}")
    if a.ndim != len(layout):
        raise AssertionError(f"size of input tensor and input format are different. tensor shape: {a.shape}, "
                             f"input_format: {dataformats}")
    if "C" not in layout:
        a, layout = a[..., None], layout + "C"
    if "N" not in layout:
        a, layout = a[None], "N" + layout
    a = a.transpose([layout.index(c) for c in "NHWC"])
    columns = int(np.ceil(np.sqrt(len(a))))
    rows = -(-len(a) // columns)
    n, h, w, c = a.shape
    grid = np.zeros((rows * columns, h, w, c), a.dtype)
    grid[:n] = a
    grid = grid.reshape(rows, columns, h, w, c).swapaxes(1, 2).reshape(rows * h, columns * w, c)
    return grid.repeat(3, -1) if c == 1 else grid


def png(pixels: np.ndarray) -> bytes:
    """(H, W, 3 or 4) bytes as a PNG file."""
    height, width, channels = pixels.shape
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, {3: 2, 4: 6}[channels], 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def hparams(values: dict, metrics: list[str], domains: dict) -> list[Summary]:
    """A run's hyperparameters: what there is, that it began with these values, that it ended well."""
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    values = {k: number(v) if hasattr(v, "detach") else v for k, v in values.items() if v is not None}
    kinds = {bool: "DATA_TYPE_BOOL", str: "DATA_TYPE_STRING"}
    infos = []
    start = plugin_data_pb2.SessionStartInfo()
    for name, value in values.items():
        info = api_pb2.HParamInfo(name=name, type=api_pb2.DataType.Value(kinds.get(type(value), "DATA_TYPE_FLOAT64")))
        if name in domains:
            info.domain_discrete.extend(domains[name])
        infos.append(info)
        field = {bool: "bool_value", str: "string_value"}.get(type(value), "number_value")
        setattr(start.hparams[name], field, value)
    experiment = api_pb2.Experiment(
        hparam_infos=infos, metric_infos=[api_pb2.MetricInfo(name=api_pb2.MetricName(tag=m)) for m in metrics])
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS)
    content = ((metadata.EXPERIMENT_TAG, {"experiment": experiment}),
               (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
               (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}))
    found = []
    for tag, part in content:
        data = plugin_data_pb2.HParamsPluginData(version=0, **part).SerializeToString()
        plugin = SummaryMetadata(plugin_data=SummaryMetadata.PluginData(plugin_name="hparams", content=data))
        found.append(Summary(value=[Summary.Value(tag=tag, metadata=plugin)]))
    return found
