"""DAVIS-2016 and DAVIS-2017 (Perazzi et al. 2016; Pont-Tuset et al. 2017), and any folder with their layout."""

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from vosbench.datasets.davis_attributes import attributes_in
from vosbench.datasets.folders import (
    check_annotations,
    check_frames,
    check_present,
    check_root,
    choose,
    read_list,
    scan_video,
    subfolders,
)
from vosbench.datasets.resized_video import Kernel, ResizedVideo
from vosbench.settings.options import Content, Placed, Positive, Where
from vosbench.util.errors import HERE, UserError
from vosbench.util.files import name_of
from vosbench.video.folder_video import FolderVideo
from vosbench.video.video import Frames


class Davis:
    """Videos in `JPEGImages/<resolution>/<sequence>/`, masks likewise in `Annotations/`, lists
    `ImageSets/<year>/<split>.txt`.

    root          folder that holds JPEGImages
    split         list file without .txt; None: every sequence folder
    year          folder of the list file: 2017, or 2016 (whose lists, of path pairs, may also be in ImageSets/480p);
                  lists of other data sets are directly in ImageSets
    resolution    folder between JPEGImages and the sequences; None: no such folder
    sequences     only these; `exclude` leaves some out
    max_frames    keep at most this many frames of each video
    every         keep every so many frames, from the first on: 5 is a video of a fifth of the rate
    frames        "annotated": keep only frames that have an annotation
    annotations   folder of <sequence>/<frame>.png instead of the data set's own, for example pseudo-labels
    binary        every nonzero pixel is object 1; None: true for DAVIS-2016's own masks, else false
    resized       [height, width] to which frames and annotations are stretched: scores are then not comparable with
                  those at the original size. `resized_frames`: the kernel of frames
    late_objects  objects that appear after the first frame are given where they first appear

    Only folders are listed here; a file is opened when its frame is asked for. Raises UserError for a missing root or
    list file, for numbers out of range, and once for all missing sequences.
    """

    def __init__(
        self,
        root: Where[str | Path],
        split: str | None = None,
        year: int | str | None = None,
        resolution: str | None = "480p",
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        every: Placed[Positive] = 1,  # the fingerprint of the videos tells it
        frames: Frames = "all",
        annotations: Content[str | Path | None] = None,
        binary: bool | None = None,
        late_objects: bool = False,
        resized: Sequence[int] | None = None,
        resized_frames: Kernel = "bilinear",
        protocol: str = "davis",
        name: str | None = None,
    ) -> None:
        check_frames(frames, max_frames)
        size = None if resized is None else _size(resized)
        self.root = root = Path(root)
        self.name = name or (f"davis{year}" if year else name_of(root))
        self.split = split or "all"
        self.resolution = resolution or "original"
        self.frames: Frames = frames
        self.protocol = protocol
        images = _subfolder(root, "JPEGImages", resolution)
        labels = Path(annotations) if annotations else root / "Annotations" / (resolution or "")
        if annotations:
            check_annotations(labels)
        there = subfolders(images)
        listed = there if split is None else read_list(_list_file(root, split, year, resolution), there)
        self.whole = len(listed)
        chosen = choose(listed, sequences, exclude, where=f"{self.name} {self.split}")
        check_present(chosen, images)
        self.videos: tuple[FolderVideo, ...] = tuple(
            scan_video(
                images / sequence,
                labels / sequence,
                max_frames=max_frames,
                every=every,
                frames=frames,
                binary=str(year) == "2016" and annotations is None if binary is None else binary,
                late_objects=late_objects,
                any_size=annotations is not None,
            )
            for sequence in chosen
        )
        if size is not None:
            self._resize(size, resized_frames)

    def _resize(self, size: tuple[int, int], frames: Kernel) -> None:
        self.resolution += f", all resized to {size[0]}×{size[1]}"
        self.videos = tuple(ResizedVideo.of(video, size, frames) for video in self.videos)

    @cached_property
    def attributes(self) -> dict[str, list[str]]:
        """What makes each sequence hard, if the data set says so."""
        return attributes_in(self.root)


def _size(resized: Sequence[int]) -> tuple[int, int]:
    if len(resized) != 2 or min(resized) < 1:
        raise UserError(f"{HERE}resized={list(resized)}: give [height, width] in pixels, or null")
    return resized[0], resized[1]


def _subfolder(root: Path, kind: str, resolution: str | None) -> Path:
    check_root(root)
    if not (root / kind).is_dir():
        raise UserError(f"data set root {root} has no folder {kind}: set {HERE}root to the folder that holds {kind}")
    folder = root / kind / (resolution or "")
    if not folder.is_dir():
        there = ", ".join(subfolders(root / kind)) or "none"
        raise UserError(f"{root / kind} has no resolution {resolution}: set {HERE}resolution to one of: {there}")
    return folder


def _list_file(root: Path, split: str, year: int | str | None, resolution: str | None) -> Path:
    """The list file: in the year's folder, in ImageSets/480p (as DAVIS-2016 ships it) or directly in ImageSets."""
    folders = [str(year)] if year else [""]
    if str(year) == "2016":
        folders += ["480p", resolution or ""]
    folders.append("")
    candidates = [root / "ImageSets" / folder / f"{split}.txt" for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    remedy = f"set {HERE}split and {HERE}year, or {HERE}split=null for every folder"
    raise UserError(f"list file {candidates[0]} does not exist: {remedy}")
