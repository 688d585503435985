"""Video files with random access to their frames."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map, size_of_short_side
from vosbench.video.video import Image, LabelMap, Video, check_size, given_masks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame


class VideoFile(Video):
    """A video file with random access. Frames are named 00000, 00001, … in order of presentation.

    Reading onwards goes on decoding; any other frame is decoded from the key frame before it. The file is opened when
    first needed, by each process for itself: neither pickling nor forking shares an open file.
    """

    _container: InputContainer | None
    _process: int  # that opened the container
    _frames: Iterator[VideoFrame]
    _position: int  # index of the frame that decoding goes on with

    def __init__(
        self,
        path: str | Path,
        short_side: int | None = None,
        max_frames: int | None = None,
        annotations: dict[str, Path] | None = None,
        binary: bool = False,
    ) -> None:
        if max_frames is not None and max_frames < 1:
            raise UserError(f"max_frames={max_frames}: keep 1 frame or more")
        self.path = Path(path)
        self.name = self.path.stem
        self.short_side, self.max_frames, self.binary = short_side, max_frames, binary
        self.annotations = annotations or {}
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
        if frame is None:  # some containers seek by decoding time and land behind the frame: read from the start
            self._open()
            frame = self._decode_until(times[index])
        if frame is None:
            raise UserError(
                f"cannot decode frame {index} of {self.path}: the file is damaged; restore it or set max_frames"
            )
        self._position = index + 1
        return self._image(frame)

    def annotation(self, index: int) -> LabelMap | None:
        path = self.annotations.get(self.frame_names[index])
        if path is None:
            return None
        labels = read_label_map(path, binary=self.binary)
        height, width = self.frame(index).shape[:2]
        check_size(labels, path, (height, width), self.path)
        return labels

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    def file_sizes(self) -> list[int]:
        return [self.path.stat().st_size]

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
        annotated = [i for i, name in enumerate(self.frame_names) if name in self.annotations]
        return given_masks(self, annotated, late_objects=True)

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
        """The frame of this time, or None when decoding has passed it or ends before."""
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
        turns = (
            getattr(frame, "rotation", 0) // 90
        )  # counter-clockwise, how phones store upright video; PyAV 13 has none
        return np.ascontiguousarray(np.rot90(image, turns))


@contextmanager
def _named_errors(path: Path) -> Iterator[None]:
    """FFmpeg's errors as one ValueError that names the file."""
    from av.error import FFmpegError

    try:
        yield
    except FFmpegError as error:
        raise UserError(f"cannot read video {path}: {error}; restore or remove this file") from error
