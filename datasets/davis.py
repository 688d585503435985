"""DAVIS-2016 and DAVIS-2017, and every folder laid out like them (Perazzi et al. 2016; Pont-Tuset et al. 2017)."""

import re
from collections.abc import Sequence
from pathlib import Path

from vosbench.videos import FolderVideo, Frames

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png")


class Davis:
    """Videos under `JPEGImages/<resolution>/<sequence>/`, `Annotations/…` alike, lists `ImageSets/<year>/<split>.txt`.

    root          folder that holds JPEGImages
    split         list file without .txt; None: every sequence folder
    year          folder of the list file: 2017, or 2016 (whose lists, of path pairs, may also lie in ImageSets/480p);
                  lists of other sets lie in ImageSets itself
    resolution    folder between JPEGImages and the sequences; None: there is none
    sequences     restrict to these; `exclude` leaves some out
    max_frames    keep the first so many frames of a video
    frames        "annotated": keep only frames that have an annotation
    annotations   folder of <sequence>/<frame>.png in place of the data set's own, for example pseudo-labels
    binary        any nonzero pixel is object 1; None: so for the own masks of 2016
    late_objects  objects that appear after the first frame are given where they first appear

    Only folders are listed here; a file is opened when its frame is asked for.
    Raises ValueError for a missing root or list file, and once for all sequences that are not there.
    """

    def __init__(
        self,
        root: str | Path,
        split: str | None = None,
        year: int | str | None = None,
        resolution: str | None = "480p",
        sequences: Sequence[str] | None = None,
        exclude: Sequence[str] = (),
        max_frames: int | None = None,
        frames: Frames = "all",
        annotations: str | Path | None = None,
        binary: bool | None = None,
        late_objects: bool = False,
        protocol: str = "davis",
        name: str | None = None,
    ) -> None:
        root = Path(root)
        self.name = name or (f"davis{year}" if year else root.name)
        self.split = split or "all"
        self.resolution = resolution or "original"
        self.frames: Frames = frames
        self.protocol = protocol
        images = _subfolder(root, "JPEGImages", resolution)
        labels = Path(annotations) if annotations else root / "Annotations" / (resolution or "")
        if annotations:
            check_annotations(labels)
        listed = subfolders(images) if split is None else read_list(_list_file(root, split, year, resolution))
        chosen = choose(listed, sequences, exclude, where=f"{self.name} {self.split}")
        check_present(chosen, images)
        if binary is None:
            binary = str(year) == "2016" and annotations is None
        self.videos = tuple(
            scan_video(
                images / sequence,
                labels / sequence,
                max_frames=max_frames,
                frames=frames,
                binary=binary,
                late_objects=late_objects,
                any_size=annotations is not None,
            )
            for sequence in chosen
        )


def scan_video(
    images: Path,
    labels: Path | None,
    *,
    max_frames: int | None = None,
    frames: Frames = "all",
    binary: bool = False,
    late_objects: bool = False,
    any_size: bool = False,
) -> FolderVideo:
    """The video of a folder of images, in order of their names. `labels`: folder of PNGs of the same stems, if any."""
    paths = list_images(images)
    masks = {} if labels is None else list_masks(labels)
    if frames == "annotated":
        paths = [path for path in paths if path.stem in masks]
    if not paths:
        kind = "annotated frames" if frames == "annotated" else f"images ({', '.join(IMAGE_SUFFIXES)})"
        raise ValueError(f"video folder {images} holds no {kind}: add some or leave the video out")
    paths = cut(paths, max_frames)
    kept = {path.stem: masks[path.stem] for path in paths if path.stem in masks}
    return FolderVideo(images.name, tuple(paths), kept, binary=binary, late_objects=late_objects, any_size=any_size)


def list_images(folder: Path) -> list[Path]:
    """The images of a folder in order of their names. Raises ValueError when two of them have one stem."""
    found = (path for path in folder.iterdir() if path.suffix.lower() in IMAGE_SUFFIXES and path.name[0] != ".")
    paths = sorted(found, key=_natural)
    if len({path.stem for path in paths}) < len(paths):
        raise ValueError(f"video folder {folder} has two images of one name (such as .jpg and .png): keep one of each")
    return paths


def list_masks(folder: Path) -> dict[str, Path]:
    """The PNGs of a folder by stem; none when there is no such folder."""
    return {path.stem: path for path in folder.glob("[!.]*.png")} if folder.is_dir() else {}


def cut(paths: list[Path], max_frames: int | None) -> list[Path]:
    """The first `max_frames` paths. Raises ValueError when that leaves none."""
    if max_frames is not None and max_frames < 1:
        raise ValueError(f"max_frames={max_frames}: keep 1 frame or more")
    return paths[:max_frames]


def read_list(path: Path) -> list[str]:
    """Sequence names of a list file: one name a line, or DAVIS-2016's lines of image and mask path of every frame."""
    first = (line.split()[0] for line in path.read_text().splitlines() if line.strip())
    names = list(dict.fromkeys(Path(entry).parent.name if "/" in entry else entry for entry in first))
    if not names:
        raise ValueError(f"list file {path} is empty: write one sequence name a line")
    return names


def choose(names: Sequence[str], only: Sequence[str] | None, exclude: Sequence[str], *, where: str) -> list[str]:
    """The names in order, restricted to `only` and without `exclude`. Raises ValueError for an unknown name."""
    unknown = sorted({*(only or ()), *exclude} - set(names))
    if unknown:
        raise ValueError(f"{where} has no sequences {', '.join(unknown)}: choose from {', '.join(names)}")
    chosen = [name for name in names if (only is None or name in only) and name not in exclude]
    if not chosen:
        raise ValueError(
            f"{where}: no video is left of {', '.join(names) or 'an empty folder'}; check sequences and exclude"
        )
    return chosen


def check_present(names: Sequence[str], images: Path) -> None:
    """Raises ValueError naming all those videos that have no folder of images."""
    missing = sorted(set(names) - set(subfolders(images)))
    if missing:
        raise ValueError(f"{len(missing)} listed videos are not in {images}: {', '.join(missing)}; add or unlist them")


def check_annotations(labels: Path) -> None:
    """Raises ValueError for a folder of a user's own annotations that is not there."""
    if not labels.is_dir():
        raise ValueError(f"annotations folder {labels} does not exist: give the folder of <sequence>/<frame>.png")


def check_root(root: Path) -> None:
    """Raises ValueError for a data set that is not there."""
    if not root.is_dir():
        raise ValueError(
            f"data set root {root} does not exist: set dataset.root, or VOSBENCH_DATA to the folder above it"
        )


def subfolders(path: Path) -> list[str]:
    """Names of a folder's sub-folders, sorted."""
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] != ".")


def _natural(path: Path) -> list[str | int]:
    """Sorts frame 2 before frame 10, padded with zeros or not."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]


def _subfolder(root: Path, kind: str, resolution: str | None) -> Path:
    check_root(root)
    if not (root / kind).is_dir():
        raise ValueError(f"data set root {root} has no folder {kind}: set the root to the folder that holds {kind}")
    folder = root / kind / (resolution or "")
    if not folder.is_dir():
        there = ", ".join(subfolders(root / kind)) or "none"
        raise ValueError(f"{root / kind} has no resolution {resolution}: set the resolution to one of: {there}")
    return folder


def _list_file(root: Path, split: str, year: int | str | None, resolution: str | None) -> Path:
    """Named by year, but DAVIS-2016 ships ImageSets/480p/<split>.txt and custom sets may have ImageSets/<split>.txt."""
    folders = [str(year)] if year else [""]
    if str(year) == "2016":
        folders += ["480p", resolution or ""]
    folders.append("")
    candidates = [root / "ImageSets" / folder / f"{split}.txt" for folder in folders]
    for candidate in candidates:
        if candidate.is_file():
            return candidate
    raise ValueError(f"list file {candidates[0]} does not exist: set split and year, or split=null for every folder")
