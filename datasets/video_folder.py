"""Plain video files and folders of frames: unlabelled training video, and a user's own video with a first mask."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Int

from vosbench.datasets.davis import choose, scan_video
from vosbench.images import read_label_map
from vosbench.videos import FolderVideo, Frames, Image, LabelMap, Video, check_size, given_masks

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif")


class VideoFolder:
    """Every video file and every sub-folder of frames under `root`, sorted by name; none of them has annotations.

    `short_side`: video files are decoded to this many pixels on their shorter side. Reading a video file's frames in
    random order decodes from the key frame before each, which is slow: `vosbench prepare` makes frame folders.
    Raises ValueError for a missing or empty root and for two entries of one name.
    """

    def __init__(
        self,
        root: str | Path,
        name: str = "video_folder",
        short_side: int | None = None,
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        split: str = "all",
        resolution: str = "original",
        frames: Frames = "all",
        protocol: str = "davis",
    ) -> None:
        root = Path(root)
        self.name, self.split, self.resolution, self.protocol = name, split, resolution, protocol
        self.frames: Frames = frames
        if not root.is_dir():
            raise ValueError(
                f"video folder {root} does not exist: set its root, or VOSBENCH_DATA to the folder above it"
            )
        entries = sorted(path for path in root.iterdir() if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)
        by_name: dict[str, Path] = {}
        for path in (path for path in entries if path.name[0] != "."):
            if path.stem in by_name:
                raise ValueError(f"{path} and {by_name[path.stem].name} would both be video {path.stem}: rename one")
            by_name[path.stem] = path
        if not by_name:
            raise ValueError(f"video folder {root} holds no videos ({', '.join(VIDEO_SUFFIXES)}) and no frame folders")
        self.videos: tuple[Video, ...] = tuple(
            _unlabelled(by_name[key], short_side, max_frames)
            for key in choose(list(by_name), sequences, exclude, where=str(root))
        )


def _unlabelled(path: Path, short_side: int | None, max_frames: int | None) -> Video:
    if path.is_dir():
        return scan_video(path, None, max_frames=max_frames)
    return VideoFile(path, short_side=short_side, max_frames=max_frames)


def open_video(path: str | Path, mask: str | Path | None = None, max_frames: int | None = None) -> Video:
    """A user's own video: a video file or a folder of frames, with a mask for its first frame.

    `mask`: a PNG for the first frame, or a folder of PNGs named like the frames (00000.png, …): objects may start late.
    Masks of nothing but 0 and 255 show one object. Raises ValueError naming the file that is missing or unfit.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(f"video {path} does not exist: give a video file or a folder of frames")
    if path.is_dir():
        folder = scan_video(path, None, max_frames=max_frames)
        masks, binary = _masks(mask, folder.frame_names)
        return FolderVideo(folder.name, folder.frames, masks, binary=binary, late_objects=True)
    file = VideoFile(path, max_frames=max_frames)
    masks, binary = _masks(mask, file.frame_names)
    return VideoFile(path, max_frames=max_frames, annotations=masks, binary=binary)


def _masks(mask: str | Path | None, frame_names: Sequence[str]) -> tuple[dict[str, Path], bool]:
    """Mask files by frame name, and whether 255 in them means an object rather than void."""
    if mask is None:
        return {}, False
    mask = Path(mask)
    if not mask.exists():
        raise ValueError(f"mask {mask} does not exist: give an indexed PNG of the first frame, or a folder of them")
    if mask.is_file():
        masks = {frame_names[0]: mask}
    else:
        masks = {path.stem: path for path in sorted(mask.glob("*.png")) if path.stem in set(frame_names)}
    if not masks:
        raise ValueError(
            f"mask folder {mask} holds no PNG named like a frame: expected for example {frame_names[0]}.png"
        )
    values = {int(value) for path in masks.values() for value in np.unique(read_label_map(path))}
    return masks, values == {0, 255} or values == {255}


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
            raise ValueError(f"max_frames={max_frames}: keep 1 frame or more")
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
            raise ValueError(
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
                raise ValueError(f"{self.path} holds no video stream: give a video file")
            packets = container.demux(container.streams.video[0])
            found = sorted((p.pts, p.is_keyframe) for p in packets if p.pts is not None and not p.is_discard)
        if not found:
            raise ValueError(f"{self.path} holds no frames with time stamps: convert it, for example to mp4")
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
        scale = self.short_side / min(frame.width, frame.height) if self.short_side else 1.0
        width, height = round(frame.width * scale), round(frame.height * scale)
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
        raise ValueError(f"cannot read video {path}: {error}; restore or remove this file") from error
