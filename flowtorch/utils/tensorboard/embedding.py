"""The files that TensorBoard's projector reads: points, their labels, their pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from tensorboard.plugins.projector.projector_config_pb2 import EmbeddingInfo

from .summaries import _height_width_channels, array, png


def write(
    logdir: str, mat: Any, metadata: Any, label_img: Any, step: int, tag: str, header: list[str] | None
) -> EmbeddingInfo:
    """Write the files of one set of points; what the projector must know of them."""
    points = array(mat)
    if points.ndim != 2:
        raise AssertionError("mat should be 2D, where mat.size(0) is the number of data points")
    if metadata is not None and len(metadata) != len(points):
        raise AssertionError("#labels should equal with #data points")
    if label_img is not None and len(label_img) != len(points):
        raise AssertionError("#images should equal with #data points")
    part = f"{step:05d}/{_escaped(tag)}"
    folder = Path(logdir, part)
    if folder.is_dir():
        print("warning: Embedding dir exists, did you set global_step for add_embedding()?")
    folder.mkdir(parents=True, exist_ok=True)
    info = EmbeddingInfo(tensor_name=f"{tag}:{step:05d}", tensor_path=f"{part}/tensors.tsv")
    (folder / "tensors.tsv").write_text(_lines(points.tolist()))
    if metadata is not None:
        (folder / "metadata.tsv").write_text(_labels(metadata, header))
        info.metadata_path = f"{part}/metadata.tsv"
    if label_img is not None:
        pictures = array(label_img)
        (folder / "sprite.png").write_bytes(png(_sprite(pictures)))
        info.sprite.image_path = f"{part}/sprite.png"
        info.sprite.single_image_dim.extend([pictures.shape[3], pictures.shape[2]])
    return info


def _escaped(tag: str) -> str:
    """A tag as the name of a folder."""
    for character in "%/\\":
        tag = tag.replace(character, f"%{ord(character):02x}")
    return tag


def _lines(rows: Any) -> str:
    return "".join("\t".join(map(str, row)) + "\n" for row in rows)


def _labels(metadata: Any, header: list[str] | None) -> str:
    if not header:
        return "".join(f"{label}\n" for label in metadata)
    if len(header) != len(metadata[0]):
        raise AssertionError("len of header must be equal to the number of columns in metadata")
    return _lines([header, *metadata])


def _sprite(pictures: np.ndarray) -> np.ndarray:
    """All pictures (N, C, H, W), floats in [0, 1], in one square."""
    grid = _height_width_channels(pictures.astype(np.float64), "NCHW")
    square = np.zeros((grid.shape[1], grid.shape[1], 3))
    square[: grid.shape[0]] = grid[..., :3]
    return (square * 255).clip(0, 255).astype(np.uint8)
