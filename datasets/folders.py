"""Helpers that data sets share: choosing videos and frames, listing images and masks, and reporting what is missing."""

import os
import re
from collections.abc import Collection, Iterable, Sequence
from pathlib import Path
from typing import Literal, get_args

from vosbench.util.errors import HERE, UserError
from vosbench.util.text_files import read_lines
from vosbench.util.wording import some
from vosbench.video.folder_video import FolderVideo
from vosbench.video.formats import USUAL_FRAMES, is_frame, is_mask, unread_frames, unread_masks
from vosbench.video.leftovers import Leftovers, without_mask
from vosbench.video.video import Frames, check_max_frames

PAIR = re.compile(r"(\S.*?/[^/]+?\.\w+)\s+(\S.*/[^/]+\.\w+)")  # the paths of a frame and its mask


def scan_video(
    images: Path,
    labels: Path | None,
    *,
    max_frames: int | None = None,
    every: int = 1,
    frames: Frames = "all",
    binary: bool = False,
    late_objects: bool = False,
    any_size: bool = False,
    without: Collection[Path] = (),
) -> FolderVideo:
    """The video of a folder of images, in order of their names.

    labels   folder of masks of the same stems, if any
    every    keep every so many frames, from the first on
    without  files among the images that are no frames
    """
    paths, masks, leftovers = scan_folders(images, labels, without=without)
    if frames == "annotated":
        paths, leftovers = [path for path in paths if path.stem in masks], leftovers._replace(bare=())
    if not paths:
        kind = "annotated frames" if frames == "annotated" else f"images ({USUAL_FRAMES})"
        others = f", only {some(path.name for path in unread)}" if (unread := leftovers.unread_frames) else ""
        raise UserError(f"video folder {images} holds no {kind}{others}: add some or leave the video out")
    paths = cut(paths[::every], max_frames)
    kept = {path.stem: masks[path.stem] for path in paths if path.stem in masks}
    return FolderVideo(
        images.name,
        tuple(paths),
        kept,
        binary=binary,
        late_objects=late_objects,
        any_size=any_size,
        leftovers=leftovers,
    )


def scan_folders(
    images: Path, labels: Path | None, *, without: Collection[Path] = ()
) -> tuple[list[Path], dict[str, Path], Leftovers]:
    """The images of a folder, the masks of another, by stem, and what else there is."""
    found = [path for path in files(images) if path not in without]
    marked = [] if labels is None else files(labels)
    paths = _in_order(images, found)
    masks = {} if labels is None else by_stem(labels, filter(is_mask, marked))
    leftovers = _beside(marked, {path.stem for path in paths})
    unread = unread_frames(found)
    return paths, masks, leftovers._replace(unread_frames=unread, bare=without_mask(paths, masks))


def mask_leftovers(labels: Path, stems: Collection[str]) -> Leftovers:
    """What a folder of masks holds beside those of frames with these stems."""
    return _beside(files(labels), stems)


def _beside(found: Sequence[Path], stems: Collection[str]) -> Leftovers:
    orphans = tuple(path for path in found if is_mask(path) and path.stem not in stems)
    return Leftovers(unread_masks=unread_masks(found), orphans=orphans)


def list_images(folder: Path) -> list[Path]:
    """The frames of a folder in order of their names. Raises UserError if two of them have the same stem."""
    return _in_order(folder, files(folder))


def _in_order(folder: Path, found: Iterable[Path]) -> list[Path]:
    return sorted(by_stem(folder, filter(is_frame, found)).values(), key=_natural)


def list_masks(folder: Path) -> dict[str, Path]:
    """The masks of a folder by stem; empty if the folder does not exist. Raises UserError if two have the same stem."""
    return by_stem(folder, (path for path in files(folder) if is_mask(path)))


def by_stem(folder: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Images of a folder by stem. Raises UserError naming two with the same one."""
    found: dict[str, Path] = {}
    for path in paths:
        if (other := found.setdefault(path.stem, path)) is not path:
            names = f"{other.name} and {path.name}"
            raise UserError(f"folder {folder} has two images of one name ({names}): keep one of each")
    return found


def files(folder: Path) -> list[Path]:
    """The files of a folder, sorted, without hidden ones; none if it does not exist. A broken link is a file."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        return [folder / name for name in sorted(e.name for e in entries if e.name[0] != "." and not e.is_dir())]


def cut(paths: list[Path], max_frames: int | None) -> list[Path]:
    """The first `max_frames` paths, or all. Raises UserError if that leaves none."""
    check_max_frames(max_frames)
    return paths[:max_frames]


def read_list(path: Path, known: Collection[str] = ()) -> list[str]:
    """The names in a list file, each once: one name a line, or lines with paths of frames, such as DAVIS-2016's pairs
    of an image and its mask.

    known  the names of what is there. A line that is one of them stands for it, whatever it looks like

    Other lines are read without spaces around them, and those that are empty or begin with # are left out. Raises
    UserError for an empty list and for a file that is not in Unicode.
    """
    lines = [line for line in read_lines(path) if line in known or line.strip()[:1] not in ("", "#")]
    names = list(dict.fromkeys(_name_in(line, known) for line in lines))
    if not names:
        raise UserError(f"list file {path} is empty: write one sequence name a line")
    return names


def choose(
    names: Iterable[str],
    only: Sequence[str] | None,
    exclude: Sequence[str],
    *,
    where: str,
    kind: Literal["sequences", "images"] = "sequences",
) -> list[str]:
    """The names in order, restricted to `only` and without `exclude`. Raises UserError for an unknown name, or if
    none is left. `kind`: of the things named; images may be too many for a message to list."""
    names = list(names)
    known = set(names)
    if unknown := sorted({*(only or ()), *exclude} - known):
        if kind == "images":
            raise UserError(f"{where} has no images {some(unknown)}: it has, for example, {some(names)}")
        raise UserError(f"{where} has no sequences {', '.join(unknown)}: choose from {', '.join(names)}")
    wanted = (known if only is None else known & set(only)) - set(exclude)
    chosen = [name for name in names if name in wanted]
    if not chosen and kind == "images":
        raise UserError(
            f"{where}: no image with an object is left: check {HERE}sequences, {HERE}exclude and {HERE}least"
        )
    if not chosen:
        there = ", ".join(names) or "an empty folder"
        raise UserError(f"{where}: no video is left of {there}; check {HERE}sequences and {HERE}exclude")
    return chosen


def check_frames(frames: Frames, max_frames: int | None) -> None:
    """Raises UserError for an unknown choice of frames, or one that leaves none."""
    if frames not in get_args(Frames):
        raise UserError(f"{HERE}frames={frames}: give {' or '.join(get_args(Frames))}")
    check_max_frames(max_frames)


def check_present(names: Sequence[str], images: Path) -> None:
    """Raises UserError naming all videos that have no folder of images."""
    missing = sorted(set(names) - set(subfolders(images)))
    if missing:
        raise UserError(f"{len(missing)} listed videos are not in {images}: {', '.join(missing)}; add or unlist them")


def check_annotations(labels: Path) -> None:
    """Raises UserError if the folder of a user's own annotations does not exist."""
    if not labels.is_dir():
        raise UserError(f"annotations folder {labels} does not exist: give the folder of <sequence>/<frame>.png")


def check_root(root: Path, what: str = "data set root") -> None:
    """Raises UserError if the data set's root is no folder."""
    if root.exists() and not root.is_dir():
        raise UserError(f"{what} {root} is a file: set {HERE}root to a folder")
    if not root.is_dir():
        raise UserError(f"{what} {root} does not exist: set {HERE}root, or VOSBENCH_DATA to the folder above it")


def subfolders(path: Path) -> list[str]:
    """Names of a folder's sub-folders, sorted."""
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir() and entry.name[0] != ".")


def _name_in(line: str, known: Collection[str]) -> str:
    """The name that a line of a list stands for: the first of its readings that is known, else the likeliest."""
    text = line.strip()
    entry = pair[1] if (pair := PAIR.fullmatch(text)) else text
    parts = [part for part in re.split(r"[/\\]", entry) if part not in ("", ".")]
    if parts in ([], [text]):
        readings = [text]
    elif entry[-1] in "/\\":
        readings = parts[-1:]
    else:  # of a frame <video>/<frame>, or of an image
        readings = [*parts[-2:-1], parts[-1]]
    if parts and is_frame(Path(parts[-1])):
        readings.append(Path(parts[-1]).stem)
    return next((name for name in [line, text, *readings] if name in known), readings[0])


def _natural(path: Path) -> list[str | int]:
    """Sorts frame 2 before frame 10, padded with zeros or not."""
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", path.stem)]
