"""Video files with random access to their frames."""

from __future__ import annotations

import copy
import hashlib
import json
import shlex
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns
from vosbench.video.container import named_errors
from vosbench.video.digests import digest_of_file
from vosbench.video.frame_index import FrameIndex
from vosbench.video.frame_reader import FrameReader
from vosbench.video.images import read_label_map, size_of_short_side
from vosbench.video.video import Image, LabelMap, Video, check_max_frames, check_size, initial_masks

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class OtherSize(UserError):
    """Frame `name` of a video file has another `size` than the `first` one; both are (height, width)."""

    def __init__(self, path: Path, name: str, size: tuple[int, int], first: tuple[int, int]) -> None:
        self.path, self.name, self.size, self.first = path, name, size, first
        sizes = f"is {rows_columns(size)} (rows×columns), the first frame {rows_columns(first)}"
        super().__init__(f"{path} frame {name} {sizes}: bring its frames to one size, for example {_converting(path)}")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.name, self.size, self.first)


class VideoFile(Video):
    """A video file with random access. What FFmpeg decodes from its best video stream is the video: frames are named
    00000, 00001, … in the order in which the decoder gives them, and are turned and mirrored as the file says.

    Reading frames in order continues decoding; any other frame is decoded from the key frame before it. Each process
    opens the file when it first needs it: neither pickling nor forking shares an open file. Where packets are not sure
    to tell which frames there are, the file is decoded once to find out; pickling keeps what was found.

    short_side   frames are decoded to this many pixels on their shorter side; None: to their own size
    start        the first frame to keep, counted from 0
    max_frames   keep at most this many frames; None: all
    annotations  mask files by frame name; an object is given where it first appears
    binary       every nonzero pixel of a mask is object 1

    Raises UserError for a short side or a number of frames below 1 and, on reading, for a damaged file and for a frame
    of another size than the first (before the first is read, where that is known).
    """

    late_objects = True

    def __init__(
        self,
        path: str | Path,
        short_side: int | None = None,
        max_frames: int | None = None,
        annotations: dict[str, Path] | None = None,
        binary: bool = False,
        start: int = 0,
    ) -> None:
        check_max_frames(max_frames)
        if short_side is not None and short_side < 1:
            raise UserError(f"short_side={short_side}: give 1 pixel or more, or null for the size of the file")
        self.path: Path = Path(path)
        self.name = self.path.stem
        self.short_side, self.start, self.max_frames = short_side, start, max_frames
        self._reader: FrameReader | None = None
        self._annotate(annotations or {}, binary)

    def _annotate(self, annotations: dict[str, Path], binary: bool) -> None:
        self.annotations, self.binary = annotations, binary
        self.mask_folder = next((mask.parent for mask in annotations.values()), None)

    def annotated(self, annotations: dict[str, Path], binary: bool) -> VideoFile:
        """The same video with these masks. Its frames are not looked for again."""
        video = copy.copy(self)
        video._annotate(annotations, binary)
        video.__dict__.pop("_given", None)
        return video

    @cached_property
    def frame_names(self) -> tuple[str, ...]:  # type: ignore[override]
        names = tuple(f"{index:05d}" for index in range(self.index.count))[: self._stop]
        for name, size in zip(names, self.index.sizes if self.index.sizes is not None else (), strict=False):
            self._check_frame(name, (int(size[0]), int(size[1])))
        if not names[self.start :]:
            raise UserError(f"{self.path} has {self.index.count} frames, and none from {self.start} on")
        return names[self.start :]

    @property
    def _stop(self) -> int | None:
        return None if self.max_frames is None else self.start + self.max_frames

    @cached_property
    def index(self) -> FrameIndex:
        """Which frames the file holds, and where decoding can begin."""
        return FrameIndex.read(self.path, self._stop)

    @property
    def rate(self) -> float | None:  # type: ignore[override]
        return self.index.rate or None

    def losses(self) -> str:
        found = self.index.lost or self.index.fewer
        return found and f"{self.path} is not whole: {found}"

    def frame(self, index: int) -> Image:
        if self._reader is None:
            self._reader = FrameReader(self.path, self.index)
        name = self.frame_names[index]
        frame = self._reader.read(self.start + index)
        if frame is None:
            damaged = f"cannot decode frame {self.start + index} of {self.path}: the file is damaged"
            raise UserError(f"{damaged}; restore it, or leave such frames out, for example {_converting(self.path)}")
        self._check_frame(name, self.index.turn.size(frame))
        return self._image(frame)

    def _check_frame(self, name: str, size: tuple[int, int]) -> None:
        if size != self.index.size:
            raise OtherSize(self.path, name, size, self.index.size)

    def frame_size(self, index: int) -> tuple[int, int]:
        """(height, width) of the first frame, which is decoded once: all frames of a file have one size."""
        return self._size

    def mask_file(self, index: int) -> Path | None:
        return self.annotations.get(self.frame_names[index])

    def annotation(self, index: int) -> LabelMap | None:
        path = self.mask_file(index)
        if path is None:
            return None
        labels = read_label_map(path, binary=self.binary)
        check_size(labels, path, self.size, self.path)
        return labels

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    def fingerprint(self) -> str:
        """sha256 over the frames' names, the content of the file, and the size that frames are decoded to."""
        content = [self.name, self.frame_names, digest_of_file(self.path), self.short_side]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def close(self) -> None:
        """Closes the file; the next frame opens it again."""
        if self._reader is not None:
            self._reader.close()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_reader": None}

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        return initial_masks(self)

    @cached_property
    def _size(self) -> tuple[int, int]:
        height, width, _ = self.frame(0).shape
        return height, width

    def _image(self, frame: VideoFrame) -> Image:
        height, width = frame.height, frame.width
        if self.short_side:
            height, width = size_of_short_side(height, width, self.short_side)
        with named_errors(self.path):
            image = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
        return self.index.turn.apply(image)


def _converting(path: Path) -> str:
    """The command that writes a sound copy of a file beside it, in which all frames have the first one's size."""
    return "with " + shlex.join(["ffmpeg", "-i", str(path), str(path.with_name(f"{path.stem}-converted.mp4"))])
