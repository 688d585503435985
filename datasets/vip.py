"""VIP, human parts in video (Zhou et al. 2018): 20 classes with background, a test of label propagation.

The data set was not available when this was written: the layout of its release VIP_Fine follows instructions in
publications that use it.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from vosbench.datasets.folders import (
    check_annotations,
    check_frames,
    check_present,
    check_root,
    choose,
    cut,
    read_list,
    scan_video,
    subfolders,
)
from vosbench.settings.options import Content, Where
from vosbench.util.errors import HERE, Problems, UserError
from vosbench.video.folder_video import FolderVideo
from vosbench.video.video import Frames

LISTS = ("lists/{}_videos.txt", "lists/{}_id.txt", "lists/{}.txt", "{}.txt")


class Vip:
    """Videos in `Images/<video>/` (or JPEGImages), class masks `Annotations/Category_ids/<video>/<frame>.png`.

    root          the folder VIP_Fine
    split         list file lists/<split>_videos.txt, lists/<split>_id.txt, lists/<split>.txt or <split>.txt, of video
                  names or of <video>/<frame> paths; None: every video folder
    sequences     only these; `exclude` leaves some out
    max_frames    keep at most this many frames of each video
    frames        "annotated": the frames with a mask, about every 25th; "all": every image from the first annotated
                  one on, but label maps are saved and scored for annotated frames only
    annotations   folder of <sequence>/<frame>.png instead of the data set's own
    resolution    what records call the size of the images

    The classes of the first frame are given. Classes that first appear later are not, and count as missed. Only folders
    are listed here. Raises UserError for missing folders and lists, for numbers out of range, and once for all videos
    that have no masks.
    """

    def __init__(
        self,
        root: Where[str | Path],
        split: str | None = "val",
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        frames: Frames = "annotated",
        annotations: Content[str | Path | None] = None,
        resolution: str = "original",
        protocol: str = "vip",
        name: str = "vip",
    ) -> None:
        check_frames(frames, max_frames)
        root = Path(root)
        self.name, self.split, self.resolution, self.protocol = name, split or "all", resolution, protocol
        self.frames: Frames = frames
        images = _images(root)
        labels = Path(annotations) if annotations else root / "Annotations" / "Category_ids"
        check_annotations(labels)
        there = subfolders(images)
        names = there if split is None else read_list(_list_file(root, split), there)
        self.whole = len(names)
        chosen = choose(names, sequences, exclude, where=f"{name} {self.split}")
        check_present(chosen, images)
        every = [
            scan_video(images / sequence, labels / sequence, any_size=annotations is not None) for sequence in chosen
        ]
        if bare := [video.name for video in every if not video.annotations]:
            problems = [f"video {sequence} has no mask of a frame" for sequence in bare]
            raise Problems(f"{labels} lacks videos; add them, or leave them out with {HERE}exclude", problems)
        self.videos = tuple(_from_first_mask(video, frames, max_frames) for video in every)


def _from_first_mask(video: FolderVideo, frames: Frames, max_frames: int | None) -> FolderVideo:
    """The video from its first mask on: there is nothing to propagate before it."""
    start = min(index for index, stem in enumerate(video.frame_names) if stem in video.annotations)
    paths = [path for path in video.frames[start:] if frames == "all" or path.stem in video.annotations]
    paths = cut(paths, max_frames)
    kept = {path.stem: video.annotations[path.stem] for path in paths if path.stem in video.annotations}
    leftovers = video.leftovers._replace(bare=())
    return replace(video, frames=tuple(paths), annotations=kept, listed=frozenset(kept), leftovers=leftovers)


def _images(root: Path) -> Path:
    check_root(root)
    folders = [root / "Images", root / "JPEGImages"]
    for folder in folders:
        if folder.is_dir():
            return folder
    raise UserError(f"data set root {root} has no folder Images: set {HERE}root to the folder VIP_Fine")


def _list_file(root: Path, split: str) -> Path:
    candidates = [root / pattern.format(split) for pattern in LISTS]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise UserError(f"list file {candidates[0]} does not exist: set {HERE}split, or {HERE}split=null for every folder")
