"""Annotated objects cut out once and kept on disk, for scoring many results against the same annotations.

A video is two files named by a hash of its annotations: `<hash>.npy`, an index with one row a region, and
`<hash>.bits`, the mask, boundary and near of each, one bit a pixel. Regions are read when asked for, so memory does not
grow with the video.
"""

import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64

from vosbench.evaluation.label_maps import hash_annotation
from vosbench.evaluation.metrics import Objects, Region
from vosbench.videos import LabelMap, Video

# A row: frame, its height and width, id, top, left, rows, columns, area, length, where its bits begin. Frames without
# an object have one row of id 0 and no bits.
COLUMNS = 11
Rows = Int64[np.ndarray, "r 11"]


class RegionCache:
    """The annotated objects of one video, made when they are not there yet: `with RegionCache(folder, video) as cache`.

    Raises ValueError naming an annotation that cannot be read; nothing is kept then.
    """

    def __init__(self, folder: Path, video: Video) -> None:
        self._video = video
        name = hash_annotation(video)
        index, bits = folder / f"{name}.npy", folder / f"{name}.bits"
        if not index.is_file():
            _write(video, index, bits)
        self._rows: Rows = np.load(index)
        self._bits: BinaryIO = bits.open("rb")

    def __enter__(self) -> "RegionCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._bits.close()

    def objects(self, index: int) -> Objects | None:
        """The annotated objects of a frame, or None when it has no annotation."""
        first, last = np.searchsorted(self._rows[:, 0], [index, index + 1])
        rows = {row[3]: row for row in self._rows[first:last].tolist()}
        if not rows:
            return None
        _, height, width, *_ = self._rows[first].tolist()
        ids = frozenset(rows) - {0}
        return Objects((height, width), ids, lambda: self._labels(index), lambda id_: self._cut(rows[id_]))

    def _labels(self, index: int) -> LabelMap:
        labels = self._video.annotation(index)
        assert labels is not None  # or it would not be in the index
        return labels

    def _cut(self, row: list[int]) -> Region:
        *_, top, left, height, width, area, length, offset = row
        size = -(-height * width // 8)
        self._bits.seek(offset)
        packed = np.frombuffer(self._bits.read(3 * size), np.uint8).reshape(3, size)
        mask, boundary, near = (
            np.unpackbits(plane, count=height * width).view(np.bool_).reshape(height, width) for plane in packed
        )
        return Region(top, left, mask, boundary, near, area, length)


def _write(video: Video, index: Path, bits: Path) -> None:
    """Both files, each written aside and renamed, the index last: where it is, all of it is."""
    index.parent.mkdir(parents=True, exist_ok=True)
    asides = [path.with_name(f".{path.name}.{os.getpid()}") for path in (bits, index)]
    rows: list[list[int]] = []
    try:
        with asides[0].open("wb") as file:
            for frame in range(len(video.frame_names)):
                if (labels := video.annotation(frame)) is not None:
                    rows += _write_frame(frame, Objects.of(labels), file)
        with asides[1].open("wb") as file:
            np.save(file, np.array(rows, np.int64).reshape(-1, COLUMNS))
        for aside, path in zip(asides, (bits, index), strict=True):
            aside.replace(path)
    finally:
        for aside in asides:
            aside.unlink(missing_ok=True)


def _write_frame(frame: int, objects: Objects, file: BinaryIO) -> list[list[int]]:
    rows = []
    for id_ in sorted(objects.ids):
        region = objects[id_]
        place = [region.top, region.left, *region.mask.shape, region.area, region.length, file.tell()]
        rows.append([frame, *objects.size, id_, *place])
        for plane in (region.mask, region.boundary, region.near):
            file.write(np.packbits(plane).tobytes())
    return rows or [[frame, *objects.size, *[0] * (COLUMNS - 3)]]
