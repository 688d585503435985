"""Video files with random access to their frames."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from vosbench.util.errors import HERE, UserError
from vosbench.util.files import content_digest
from vosbench.video.images import read_label_map, size_of_short_side
from vosbench.video.video import Image, LabelMap, Video, check_max_frames, check_size, initial_masks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame


class VideoFile(Video):
    """A video file with random access. Frames are named 00000, 00001, … in order of presentation.

    Reading frames in order continues decoding; any other frame is decoded from the key frame before it. Each process
    opens the file when it first needs it: neither pickling nor forking shares an open file.

    short_side   frames are decoded to this many pixels on their shorter side; None: to their own size
    max_frames   keep at most this many frames; None: all
    annotations  mask files by frame name; an object is given where it first appears
    binary       every nonzero pixel of a mask is object 1

    Raises UserError for a short side or a number of frames below 1 and, on reading, for a damaged file.
    """

    late_objects = True

    _container: InputContainer | None
    _process: int  # that opened the container
    _frames: Iterator[VideoFrame]
    _position: int  # index of the next frame to be decoded

    def __init__(
        self,
        path: str | Path,
        short_side: int | None = None,
        max_frames: int | None = None,
        annotations: dict[str, Path] | None = None,
        binary: bool = False,
    ) -> None:
        check_max_frames(max_frames)
        if short_side is not None and short_side < 1:
            raise UserError(f"short_side={short_side}: give 1 pixel or more, or null for the size of the file")
        self.path: Path = Path(path)
        self.name = self.path.stem
        self.short_side, self.max_frames, self.binary = short_side, max_frames, binary
        self.annotations = annotations or {}
        self.mask_folder = next((mask.parent for mask in self.annotations.values()), None)
        self._forget()

    @cached_property
    def frame_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(f"{index:05d}" for index in range(len(self._times[0][: self.max_frames])))

    def frame(self, index: int) -> Image:
        times, keys = self._times
        key = int(keys[np.searchsorted(keys, index, side="right") - 1])
        if self._process != os.getpid() or not key <= self._position <= index:
            self._seek(key)
        frame = self._decode_until(times[index])
        if frame is None:  # some containers seek by decoding time and land after the frame: read from the start
            self._open()
            frame = self._decode_until(times[index])
        if frame is None:
            raise UserError(
                f"cannot decode frame {index} of {self.path}: the file is damaged; restore it or set {HERE}max_frames"
            )
        self._position = index + 1
        return self._image(frame)

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
        content = [self.name, self.frame_names, content_digest(self.path), self.short_side]
        return hashlib.sha256(json.dumps(content).encode()).hexdigest()

    def close(self) -> None:
        """Closes the file; the next frame opens it again."""
        if self._container is not None and self._process == os.getpid():
            self._container.close()
        self._forget()

    def _forget(self) -> None:
        self._container, self._frames = None, iter(())
        self._process = self._position = -1

    def __getstate__(self) -> dict[str, Any]:
        opened = ("_container", "_frames", "_position", "_process")
        return {key: value for key, value in self.__dict__.items() if key not in opened}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._forget()

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        return initial_masks(self)

    @cached_property
    def _size(self) -> tuple[int, int]:
        height, width, _ = self.frame(0).shape
        return height, width

    @cached_property
    def _times(self) -> tuple[list[int], Int[np.ndarray, " keys"]]:
        """Presentation time of every frame in stream units, ascending, and the indices of the key frames."""
        import av

        with _named_errors(self.path), av.open(self.path) as container:
            if not container.streams.video:
                raise UserError(f"{self.path} holds no video stream: give a video file")
            packets = container.demux(container.streams.video[0])
            found = sorted((p.pts, p.is_keyframe) for p in packets if p.pts is not None and not p.is_discard)
        if not found:
            raise UserError(f"{self.path} holds no frames with time stamps: convert it, for example to mp4")
        keys = np.flatnonzero([key for _, key in found])
        return [time for time, _ in found], keys if len(keys) and keys[0] == 0 else np.r_[0, keys]

    def _seek(self, index: int) -> None:
        container = self._container
        if container is None or self._process != os.getpid():
            container = self._open()
        with _named_errors(self.path):
            container.seek(self._times[0][index], stream=container.streams.video[0])
        self._frames = container.decode(container.streams.video[0])
        self._position = index

    def _open(self) -> InputContainer:
        """The file, at its start."""
        import av

        self.close()
        with _named_errors(self.path):
            self._container = av.open(self.path)
        self._process, self._position = os.getpid(), 0
        self._frames = self._container.decode(self._container.streams.video[0])
        return self._container

    def _decode_until(self, time: int) -> VideoFrame | None:
        """The frame at this time, or None if decoding has passed it or ends before it."""
        with _named_errors(self.path):
            for frame in self._frames:
                if frame.pts is not None and frame.pts >= time:
                    return frame if frame.pts == time else None
        return None

    def _image(self, frame: VideoFrame) -> Image:
        height, width = frame.height, frame.width
        if self.short_side:
            height, width = size_of_short_side(height, width, self.short_side)
        image = frame.to_ndarray(format="rgb24", width=width, height=height, interpolation="AREA")
        # Counter-clockwise: phones store upright video rotated. PyAV 13 does not expose this.
        turns = getattr(frame, "rotation", 0) // 90
        return np.ascontiguousarray(np.rot90(image, turns))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """Turns FFmpeg's errors into one UserError that names the file."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise UserError(f"cannot read video {path}: {error}; restore or remove this file") from error
