"""Plain video files and folders of frames: unlabelled training videos, and a user's own video with an initial mask."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from vosbench.datasets.folders import check_frames, check_root, choose, files, scan_video
from vosbench.datasets.own_masks import masks_among, masks_for
from vosbench.settings.options import Where
from vosbench.util.errors import UserError
from vosbench.util.files import name_of
from vosbench.util.wording import some
from vosbench.video.formats import is_image
from vosbench.video.images import read_label_map
from vosbench.video.leftovers import check_all_read
from vosbench.video.palette import VOID
from vosbench.video.part import WHOLE, Part
from vosbench.video.video import Frames, Video
from vosbench.video.video_file import VideoFile

log = logging.getLogger(__name__)

VIDEO_SUFFIXES = (
    *(".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".gif", ".ts", ".mts", ".m2ts", ".m2v"),
    *(".wmv", ".asf", ".flv", ".f4v", ".3gp", ".3g2", ".ogv", ".mxf", ".vob", ".y4m"),
)


class VideoFolder:
    """Every video file and every sub-folder of frames under `root`, sorted by name. They have no annotations.

    root              folder of the videos
    short_side        video files are decoded to this many pixels on their shorter side; None: to their own size
    sequences         only these; `exclude` leaves some out
    max_frames        keep at most this many frames of each video
    split, resolution what records call them
    frames            "all": there are no annotated frames to restrict to

    Reading a video file's frames in random order is slow, since each is decoded from the key frame before it;
    `vosbench prepare` makes folders of frames from it. Raises UserError for a missing or empty root, two entries with
    the same name, and numbers out of range.
    """

    def __init__(
        self,
        root: Where[str | Path],
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
        check_frames(frames, max_frames)
        if frames == "annotated":
            raise UserError(f"{name}: frames=annotated leaves nothing of videos without annotations: give all")
        if short_side is not None and short_side < 1:
            raise UserError(f"{name}: short_side={short_side}: give 1 pixel or more, or null for the size of the files")
        root = Path(root)
        self.name, self.split, self.resolution, self.protocol = name, split, resolution, protocol
        self.frames: Frames = frames
        check_root(root, "video folder")
        entries = sorted(path for path in root.iterdir() if path.is_dir() or path.suffix.lower() in VIDEO_SUFFIXES)
        by_name: dict[str, Path] = {}
        for path in (path for path in entries if path.name[0] != "."):
            if path.stem in by_name:
                raise UserError(f"{path} and {by_name[path.stem].name} would both be video {path.stem}: rename one")
            by_name[path.stem] = path
        loose = [path.name for path in files(root) if is_image(path) and path.stem not in by_name]
        if not by_name:
            also = f", only images: give the folder above it to read {root.name} as a video" if loose else ""
            raise UserError(f"video folder {root} holds no videos (.mp4, .mov, .mkv, …) and no frame folders{also}")
        if loose:
            log.warning("%s: %d images outside of frame folders are not read: %s", root, len(loose), some(loose, 3))
        self.whole = len(by_name)
        self.videos: tuple[Video, ...] = tuple(
            _unlabelled(by_name[key], short_side, max_frames)
            for key in choose(list(by_name), sequences, exclude, where=str(root))
        )


def _unlabelled(path: Path, short_side: int | None, max_frames: int | None) -> Video:
    if path.is_dir():
        return scan_video(path, None, max_frames=max_frames)
    return VideoFile(path, short_side=short_side, max_frames=max_frames)


def images_and_videos(folder: Path) -> tuple[list[Path], list[Path]]:
    """The images and the video files of a folder. A .gif is an image; a path that is no folder holds none."""
    inside = files(folder)
    videos = [path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES and not is_image(path)]
    return [path for path in inside if is_image(path)], videos


def open_video(path: str | Path, mask: str | Path | None = None, part: Part = WHOLE) -> Video:
    """A user's own video: a video file or a folder of frames, or a part of it, with a mask for its first frame.

    `mask`: a PNG for the first frame, or a folder of PNGs named like the frames (00000.png, …): objects may start late.
    It may lie among the frames: it is none of them. Masks with only 0 and 255 show one object. Raises UserError naming
    a file that is missing, unsuitable or not read.
    """
    path, mask = Path(path), None if mask is None else Path(mask)
    if not path.exists():
        raise UserError(f"video {path} does not exist: give a video file or a folder of frames")
    if mask is not None and not mask.exists():
        raise UserError(f"mask {mask} does not exist: give an indexed PNG of the first frame, or a folder of them")
    images, videos = images_and_videos(path)
    if videos and not images:
        raise UserError(f"{path} holds no frames but videos: give one of them, such as input={videos[0]}")
    among = masks_among(path, mask) if path.is_dir() and mask is not None else []
    if path.is_dir():
        folder = scan_video(path, None, without=among)
        every = folder.frame_names
        folder = replace(folder, frames=part.of(folder.frames, path))
        check_all_read([folder])
        masks = {} if mask is None else masks_for(mask, every, folder.frame_names[0], among)
        masks, binary = _judged(masks, folder.frame_names)
        return replace(folder, name=name_of(path), annotations=masks, binary=binary, late_objects=True)
    file = VideoFile(path, start=part.start, max_frames=part.length)
    every = file.frame_names if part == WHOLE else VideoFile(path).frame_names
    masks = {} if mask is None else masks_for(mask, every, file.frame_names[0])
    masks, binary = _judged(masks, file.frame_names)
    video = file.annotated(masks, binary)
    video.name = name_of(path)
    return video


def _judged(masks: dict[str, Path], frame_names: Sequence[str]) -> tuple[dict[str, Path], bool]:
    """The masks of these frames, and whether 255 in them means an object rather than void."""
    masks = {name: path for name, path in masks.items() if name in set(frame_names)}
    values = {int(value) for path in masks.values() for value in np.unique(read_label_map(path, judged=True))}
    binary = values in ({0, VOID}, {VOID})
    if VOID in values and not binary:
        log.warning("%s: 255 beside other ids is no object: number objects from 1 to 254", some(masks.values(), 1))
    return masks, binary
