"""A cache on disk of the regions of annotated objects, for scoring many results against the same annotations.

Each video has one file, `<hash>.regions`. The hash covers its annotations and the code that cuts out regions. The file
holds the mask, boundary and near map of each region, one bit per pixel; then the index, one row per region; then the
sizes of both. Regions are read when asked for, so memory does not grow with the video. A mark at the end shows that a
file is complete. An incomplete file is rewritten in place, by one process at a time, so leftovers of a killed process
do no harm. Where files cannot be locked, each process that finds none complete writes one aside. A complete file is
never written to.
"""

import fcntl
import os
from pathlib import Path
from typing import BinaryIO

import numpy as np
from jaxtyping import Int64

from vosbench.evaluation.metrics import Objects, Region
from vosbench.runs.claims import NO_LOCKS
from vosbench.runs.code import sources
from vosbench.runs.identity import digest
from vosbench.util.files import naming, replacing
from vosbench.video.video import LabelMap, Video

# A row: frame, its height and width, id, top, left, rows, columns, area, length, offset of its bits. A frame without
# objects has one row of id 0 and no bits.
COLUMNS = 11
Rows = Int64[np.ndarray, "r 11"]

MARK = int.from_bytes(b"regions1", "little")  # the last number of a complete file, after both sizes in bytes
END = 3 * 8


class RegionCache:
    """The annotated objects of one video, computed if not cached yet: `with RegionCache(folder, video) as cache`.

    Raises UserError naming an annotation that cannot be read; then nothing is cached. An OSError names the cache's
    file.
    """

    def __init__(self, folder: Path, video: Video) -> None:
        self._video = video
        self._file, self._rows = _open(folder / f"{_made_of(video)}.regions", video)

    def __enter__(self) -> "RegionCache":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def objects(self, index: int) -> Objects | None:
        """The annotated objects of a frame, or None if it has no annotation."""
        first, last = np.searchsorted(self._rows[:, 0], [index, index + 1])
        rows = {row[3]: row for row in self._rows[first:last].tolist()}
        if not rows:
            return None
        _, height, width, *_ = self._rows[first].tolist()
        ids = frozenset(rows) - {0}
        return Objects((height, width), ids, lambda: self._labels(index), lambda id_: self._cut(rows[id_]))

    def _labels(self, index: int) -> LabelMap:
        labels = self._video.annotation(index)
        assert labels is not None  # otherwise it would not be in the index
        return labels

    def _cut(self, row: list[int]) -> Region:
        *_, top, left, height, width, area, length, offset = row
        size = -(-height * width // 8)
        self._file.seek(offset)
        packed = np.frombuffer(self._file.read(3 * size), np.uint8).reshape(3, size)
        mask, boundary, near = (
            np.unpackbits(plane, count=height * width).view(np.bool_).reshape(height, width) for plane in packed
        )
        return Region(top, left, mask, boundary, near, area, length)


def _made_of(video: Video) -> str:
    """A digest of the annotations and of the code that cuts out regions."""
    return digest([video.annotation_fingerprint(), sources(["vosbench.evaluation.metrics"])])


def _open(path: Path, video: Video) -> tuple[BinaryIO, Rows]:
    """The video's complete file and its index."""
    if path.is_file():
        file: BinaryIO = path.open("rb")
        if (rows := _index(file)) is not None:
            return file, rows
        file.close()
    path.parent.mkdir(parents=True, exist_ok=True)
    with naming(path):
        return _fill(path, video)


def _fill(path: Path, video: Video) -> tuple[BinaryIO, Rows]:
    """The same for a missing or incomplete file. Another process may fill it while this one waits for the lock."""
    file = path.open("a+b")
    try:
        if not _locked(file):
            file.close()
            return _fill_aside(path, video)
        rows = _index(file)
        if rows is None:
            rows = _write(file, video)
        fcntl.flock(file, fcntl.LOCK_UN)
    except BaseException:
        path.unlink(missing_ok=True)
        file.close()
        raise
    return file, rows


def _locked(file: BinaryIO) -> bool:
    """Waits for the lock of a file. False: its disk has no locks."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        return False
    return True


def _fill_aside(path: Path, video: Video) -> tuple[BinaryIO, Rows]:
    """The same where files cannot be locked."""
    with replacing(path) as aside:
        file = aside.open("w+b")
        try:
            return file, _write(file, video)
        except BaseException:
            file.close()
            raise


def _index(file: BinaryIO) -> Rows | None:
    """The index of a complete file, or None."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(size - END, 0))
    if len(end := file.read(END)) < END:
        return None
    bits, rows, mark = np.frombuffer(end, np.int64).tolist()
    if mark != MARK or bits + rows + END != size:
        return None
    file.seek(bits)
    return np.frombuffer(file.read(rows), np.int64).reshape(-1, COLUMNS)


def _write(file: BinaryIO, video: Video) -> Rows:
    """Writes the complete file. The mark at the end is written only when everything else is on disk."""
    file.truncate(0)
    file.seek(0)
    found: list[list[int]] = []
    for frame in range(len(video.frame_names)):
        if (labels := video.annotation(frame)) is not None:
            found += _write_frame(frame, Objects.of(labels), file)
    rows, bits = np.array(found, np.int64).reshape(-1, COLUMNS), file.tell()
    file.write(rows.tobytes())
    file.flush()
    os.fsync(file.fileno())
    file.write(np.array([bits, rows.nbytes, MARK], np.int64).tobytes())
    file.flush()
    return rows


def _write_frame(frame: int, objects: Objects, file: BinaryIO) -> list[list[int]]:
    rows = []
    for id_ in sorted(objects.ids):
        region = objects[id_]
        place = [region.top, region.left, *region.mask.shape, region.area, region.length, file.tell()]
        rows.append([frame, *objects.size, id_, *place])
        for plane in (region.mask, region.boundary, region.near):
            file.write(np.packbits(plane).tobytes())
    return rows or [[frame, *objects.size, *[0] * (COLUMNS - 3)]]
