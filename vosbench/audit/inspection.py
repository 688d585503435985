"""Looks at one video, in a worker of `vosbench check`: opens its files, decodes them, and says what is odd about them.

A file is found damaged when it is too short or its checksums are wrong; JPEG has none, so that a changed bit inside of
one goes unseen.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from vosbench.audit.findings import Note, Problem, VideoFacts, by
from vosbench.audit.timeline import MOST_OBJECTS, Values, judge_layout, judge_numbers, judge_objects
from vosbench.datasets.folders import IMAGE_SUFFIXES
from vosbench.video.folder_video import FolderVideo
from vosbench.video.images import PALETTE, VOID
from vosbench.video.video import Image, LabelMap, Video
from vosbench.video.video_file import VideoFile

OTHER_SUFFIXES = (".bmp", ".gif", ".tif", ".tiff", ".webp")  # images that no data set reads


@dataclass(frozen=True)
class Picture:
    """An image file: (height, width), Pillow's mode, bits a channel (0: not PNG), R, G, B by index, pixel values."""

    size: tuple[int, int]
    mode: str
    depth: int
    palette: tuple[int, ...]
    values: Values


def inspect(video: Video, labels: Path | None, full: bool) -> VideoFacts:
    """Everything about one video. Nothing is raised for what is wrong with it.

    labels  the folder of its annotations, if it has one: what lies there unused is found too
    full    decode every frame and mask; otherwise headers are read, or the first frame where frames are not files
    """
    facts = VideoFacts(video.name)
    records: list[str] = []
    try:
        facts.frames = len(video.frame_names)
    except ValueError:  # a file that is no video
        facts.add(Problem.FRAME_UNREADABLE)
        return facts
    if isinstance(video, FolderVideo):
        masks = dict(_inspect_files(video, facts, records, full))
        _inspect_folders(video.frames[0].parent, labels, facts)
    else:
        masks = dict(_inspect_frames(video, facts, records, full))
    facts.annotated = len(masks)
    facts.digest = hashlib.sha256("".join(records).encode()).hexdigest()
    judge_layout(video, masks, facts)
    if full:
        judge_objects(video, {index: values for index, values in masks.items() if values is not None}, facts)
    return facts


def _inspect_files(
    video: FolderVideo, facts: VideoFacts, records: list[str], full: bool
) -> Iterator[tuple[int, Values | None]]:
    """By frame that has a mask, the values of the mask; None when it is of no use."""
    for index, path in enumerate(video.frames):
        frame = _open(path, facts, records, Problem.FRAME_UNREADABLE, full)
        if frame:
            facts.size = facts.size or frame.size
            if frame.size != facts.size:
                facts.add(Problem.FRAME_SIZE, f"/{path.name} is {by(frame.size)}, not {by(facts.size)}")
        if path.stem not in video.annotations:
            continue
        mask_path = video.annotations[path.stem]
        mask = _open(mask_path, facts, records, Problem.MASK_UNREADABLE, full)
        yield index, _usable(mask, mask_path.name, video, facts, full) if mask else None
        if mask and frame and mask.size != frame.size and not video.any_size:
            facts.add(Problem.MASK_SIZE, f"/{mask_path.name} is {by(mask.size)}, not {by(frame.size)}")


def _open(path: Path, facts: VideoFacts, records: list[str], kind: Problem, full: bool) -> Picture | None:
    """The picture in a file and, in `records`, a line on its content. One that cannot be opened is a problem."""
    try:
        if full:
            with path.open("rb") as file:
                records.append(f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}\n")
        else:
            records.append(f"{path.name} {path.stat().st_size}\n")
        return _decode(path, full)
    except (OSError, SyntaxError, ValueError) as error:
        if path.is_symlink() and not path.exists():
            facts.add(Problem.BROKEN_LINK, f"/{path.name}")
        else:
            system = getattr(error, "strerror", None)
            facts.add(kind, f"/{path.name}" + (f" {system}" if system else ""))
    return None


def _decode(path: Path, full: bool) -> Picture:
    with path.open("rb") as file:
        head = file.read(25)
    with Pillow.open(path) as image:
        if full and image.format == "PNG":
            image.verify()  # checksums; the image cannot be read after it
    with Pillow.open(path) as image:
        size, mode, values = (image.height, image.width), image.mode, Values()
        palette = tuple(image.getpalette() or ()) if mode == "P" else ()
        if full:
            pixels = np.asarray(image)
            if pixels.ndim == 2:
                counts = np.bincount(pixels.ravel()) if pixels.dtype == np.uint8 else None
                values = Values(map(int, np.unique(pixels) if counts is None else np.flatnonzero(counts)))
    return Picture(size, mode, head[24] if head.startswith(b"\x89PNG") else 0, palette, values)


def _usable(mask: Picture, name: str, video: FolderVideo, facts: VideoFacts, full: bool) -> Values | None:
    """The values of a mask that can be read as ids, else None and a problem; what is odd about it is noted."""
    if mask.mode.startswith(("I", "F")):
        facts.add(Problem.SIXTEEN_BIT, f"/{name}")
        if max(mask.values, default=0) > VOID:
            facts.add(Problem.ABOVE_254, f"/{name} id {max(mask.values)}")
        return None
    if mask.mode not in ("1", "L", "P"):
        facts.add(Problem.COLOUR, f"/{name} {mask.mode}")
        return None
    if mask.mode == "L" and mask.depth in (2, 4):
        facts.add(Problem.LOW_BIT, f"/{name}")
        return None
    ids = sorted(mask.values - {0, VOID})
    if mask.mode == "L" and (len(ids) > MOST_OBJECTS or (VOID in mask.values and ids and ids[-1] > MOST_OBJECTS)):
        facts.add(Problem.ANTIALIASED, f"/{name}")
        return None
    if video.binary and len(ids) > 1:
        facts.add(Note.MERGED, f"/{name}")
    if mask.mode == "L" and not video.binary and (ids or not full):
        facts.add(Note.GREY, f"/{name}")
    if any(list(mask.palette[3 * id_ : 3 * id_ + 3]) != PALETTE[3 * id_ : 3 * id_ + 3] for id_ in ids if mask.palette):
        facts.add(Note.PALETTE, f"/{name}")
    return mask.values


def _inspect_frames(
    video: Video, facts: VideoFacts, records: list[str], full: bool
) -> Iterator[tuple[int, Values | None]]:
    """As for files, of a video that is decoded or generated: a record is of the video file or else of the pixels."""
    file = video.path if isinstance(video, VideoFile) else None
    if file:
        with file.open("rb") as stream:
            content = hashlib.file_digest(stream, "sha256").hexdigest() if full else file.stat().st_size
        records.append(f"{file.name} {content} {len(video.frame_names)}\n")
    for index, name in enumerate(video.frame_names[:1] if file and not full else video.frame_names):
        try:
            frame = video.frame(index)
        except ValueError:
            facts.add(Problem.FRAME_UNREADABLE, f"/{name}")
            continue
        facts.size = facts.size or frame.shape[:2]
        if not file:
            records.append(_record(name, frame))
        try:
            labels = video.annotation(index)
        except ValueError as error:
            facts.add(Problem.MASK_UNREADABLE, f"/{name} ({error})")
            continue
        if labels is not None:
            records.append(_record(name, labels))
            yield index, Values(np.unique(labels).tolist())


def _record(name: str, pixels: Image | LabelMap) -> str:
    return f"{name} {pixels.shape} {hashlib.sha256(pixels.tobytes()).hexdigest()}\n"


def _inspect_folders(images: Path, labels: Path | None, facts: VideoFacts) -> None:
    """The names in a video's two folders: what is not read, and whether frame numbers are in order."""
    stems: set[str] = set()
    for path in visible(images):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            stems.add(path.stem)
        else:
            facts.add(Problem.UNREAD if path.suffix.lower() in OTHER_SUFFIXES else Note.STRAY, f"/{path.name}")
    judge_numbers(stems, facts)
    for path in visible(labels) if labels else []:
        if path.suffix != ".png":
            image = path.suffix.lower() in (*IMAGE_SUFFIXES, *OTHER_SUFFIXES)
            facts.add(Problem.UNREAD if image else Note.STRAY, f"/{path.name}")
        elif path.stem not in stems:
            facts.add(Problem.ORPHAN, f"/{path.name}")


def visible(folder: Path) -> list[Path]:
    """What a folder holds, sorted, without hidden files, which nothing reads."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
