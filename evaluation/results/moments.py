"""Moments of a video: frames spread over it, with their annotations and predictions as layers to lay over them.

Frames and annotations are the same bytes for every method, so that a page of several methods holds them once.
"""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from vosbench.drawing import encoding
from vosbench.drawing.layers import layer_bytes
from vosbench.evaluation.predictions.label_maps import LabelMaps, read_as_scored
from vosbench.evaluation.results.picture_index import Kind, Picture
from vosbench.util.files import replace_file
from vosbench.video.images import resize_image, resize_labels
from vosbench.video.video import LabelMap, Video

MOMENTS = 20  # most of a video
WIDTH = 384  # pixels; with 20 moments, a page of 20 videos and 5 methods stays below 15 MB
QUALITY = 55  # of JPEG: a frame takes 8 to 17 kB


def write_moments(video: Video, maps: LabelMaps | None, folder: Path) -> list[Picture]:
    """Writes the moments of a video into `moments/<video>/`: nothing if none of its frames has a prediction."""
    if maps is None or not any(name in maps.names for name in video.frame_names):
        return []
    return [picture for index in moments(video) for picture in _write(video, index, maps, folder)]


def moments(video: Video) -> list[int]:
    """Indices of frames, spread evenly. They do not depend on predictions, so that all methods show the same.

    The first frame, whose mask was given, is only shown if there is no other.
    """
    listed = [index for index, name in enumerate(video.frame_names) if index and video.is_listed(name)] or [0]
    return [listed[round(place)] for place in np.linspace(0, len(listed) - 1, min(MOMENTS, len(listed)))]


def _write(video: Video, index: int, maps: LabelMaps, folder: Path) -> list[Picture]:
    """Writes one moment. A frame without annotation or prediction has no such layer."""
    name, frame = video.frame_names[index], video.frame(index)
    shown = resize_image(frame, max(1, round(frame.shape[0] * WIDTH / frame.shape[1])), WIDTH)
    height, width = shown.shape[:2]
    contents: dict[Kind, bytes] = {"frame": encoding.jpeg_bytes(shown, QUALITY, progressive=True)}
    annotation = video.annotation(index)
    if annotation is not None:
        contents["annotation"] = _layer(annotation, height, width)
    if name in maps.names:
        contents["prediction"] = _layer(read_as_scored(maps, video, name), height, width)
    pictures = []
    for kind, content in contents.items():
        file = f"moments/{video.name}/{name}.jpg" if kind == "frame" else f"moments/{video.name}/{name}.{kind}.png"
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        replace_file(folder / file, content)
        pictures.append(Picture(kind, file, video.name, name))
    return pictures


def _layer(labels: UInt8[np.ndarray, "_ _"], height: int, width: int) -> bytes:
    resized: LabelMap = resize_labels(labels, height, width)
    return layer_bytes(resized)
