"""Inspects one video, in a worker of `vosbench check`: opens its files, decodes them, and reports what is odd.

A file counts as damaged if it is too short or a checksum in it is wrong. JPEG has no checksums, so a changed bit goes
unnoticed.
"""

import hashlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vosbench.audit.findings import Note, Problem, VideoFacts
from vosbench.audit.picture import Picture, read_picture
from vosbench.audit.timeline import Values, judge_layout, judge_numbers, judge_objects
from vosbench.audit.video_files import judge_file, judge_size
from vosbench.util.errors import UserError
from vosbench.util.reading import reading
from vosbench.util.wording import rows_columns
from vosbench.video.formats import is_frame, is_image, is_mask
from vosbench.video.judgement import contradiction
from vosbench.video.palette import PALETTE, VOID
from vosbench.video.video import Image, LabelMap, Video
from vosbench.video.video_file import OtherSize, VideoFile


def inspect(video: Video, labels: Path | None, full: bool) -> VideoFacts:
    """All facts and findings about one video. Nothing is raised for its problems.

    labels  the folder of its annotations, if any: unread files there are also found
    full    decode every frame and mask; otherwise only headers are read, or the first frame if frames are not files
    """
    facts = VideoFacts(video.name)
    try:
        if isinstance(video, VideoFile):
            judge_file(video, facts)
        facts.frames = len(video.frame_names)
    except OtherSize as error:
        judge_size(error, facts)
        return facts
    except UserError:  # the file is not a video
        facts.add(Problem.FRAME_UNREADABLE)
        return facts
    found = _Inspection(video, facts, full)
    masks = dict(found.masks())
    if video.path is not None and video.path.is_dir():
        _inspect_folders(video.path, labels, facts)
    facts.annotated = len(masks)
    facts.digest = hashlib.sha256("".join(found.records).encode(errors="surrogateescape")).hexdigest()
    judge_layout(video, masks, facts)
    if full:
        judge_objects(video, {index: values for index, values in masks.items() if values is not None}, facts)
    return facts


class _Inspection:
    """A pass over the frames and masks of a video. Image files are opened directly; other frames are decoded or
    rendered.

    Findings go to `facts`. `records` has a line about the content of each file, or about the pixels if there is no
    file.
    """

    def __init__(self, video: Video, facts: VideoFacts, full: bool) -> None:
        self.video, self.facts, self.full = video, facts, full
        self.records: list[str] = []

    def masks(self) -> Iterator[tuple[int, Values | None]]:
        """For each frame with a mask, the values of the mask; None if it is unusable."""
        path, frames = self.video.path, len(self.video.frame_names)
        one_file = path is not None and path.is_file()  # one file holds all frames
        if path is not None and one_file:
            self.records.append(f"{self._content(path)} {frames}\n")
        for index in range(1 if one_file and not self.full else frames):
            size = self._frame(index, recorded=one_file)
            mask = self.video.mask_file(index)
            if mask is not None:
                yield from self._mask_in_file(index, mask, size)
            elif size is not None:
                yield from self._mask(index)

    def _frame(self, index: int, *, recorded: bool) -> tuple[int, int] | None:
        """The (height, width) of a frame, or None if it cannot be read. `recorded`: its pixels need no record."""
        path, facts = self.video.frame_file(index), self.facts
        if path is None:
            size = self._decoded(index, recorded=recorded)
        else:
            picture = self._open(path, Problem.FRAME_UNREADABLE)
            size = picture.size if picture else None
            if picture and picture.deep:
                facts.add(Note.DEEP, f"/{path.name}")
        if size is None:
            return None
        facts.size = facts.size or size
        if size != facts.size:
            name = path.name if path else self.video.frame_names[index]
            facts.add(Problem.FRAME_SIZE, f"/{name} is {rows_columns(size)}, not {rows_columns(facts.size)}")
        return size

    def _decoded(self, index: int, *, recorded: bool) -> tuple[int, int] | None:
        """The same for a frame without a file of its own."""
        name = self.video.frame_names[index]
        try:
            frame = self.video.frame(index)
        except OtherSize as error:
            judge_size(error, self.facts)
            return None
        except UserError:
            self.facts.add(Problem.FRAME_UNREADABLE, f"/{name}")
            return None
        if not recorded:
            self.records.append(_record(name, frame))
        return frame.shape[0], frame.shape[1]

    def _mask_in_file(
        self, index: int, path: Path, size: tuple[int, int] | None
    ) -> Iterator[tuple[int, Values | None]]:
        """The mask in a file. `size`: of its frame, if that can be read."""
        mask = self._open(path, Problem.MASK_UNREADABLE)
        yield index, self._usable(mask, path.name) if mask else None
        if mask and size and mask.size != size and not self.video.any_size:
            sizes = f"{rows_columns(mask.size)}, not {rows_columns(size)}"
            self.facts.add(Problem.MASK_SIZE, f"/{path.name} is {sizes}")

    def _mask(self, index: int) -> Iterator[tuple[int, Values]]:
        """The mask of a frame, if any, that is not simply the pixels of a file."""
        name = self.video.frame_names[index]
        try:
            labels = self.video.annotation(index)
        except UserError as error:
            self.facts.add(Problem.MASK_UNREADABLE, f"/{name} ({error})")
            return
        if labels is not None:
            self.records.append(_record(name, labels))
            yield index, Values(np.unique(labels).tolist())

    def _content(self, path: Path) -> str:
        """A file's name with the hash of its content, or with its size unless `full`."""
        if not self.full:
            return f"{path.name} {path.stat().st_size}"
        with path.open("rb") as file:
            return f"{path.name} {hashlib.file_digest(file, 'sha256').hexdigest()}"

    def _open(self, path: Path, kind: Problem) -> Picture | None:
        """The image in a file. A file that cannot be opened is noted as a problem."""
        if path.is_symlink() and not path.exists():
            self.facts.add(Problem.BROKEN_LINK, f"/{path.name}")
            return None
        try:
            with reading(path, "", ""):
                self.records.append(f"{self._content(path)}\n")
            picture = read_picture(path, self.full, binary=self.video.binary)
        except UserError as error:
            reason = getattr(error.__cause__, "strerror", None) if error.__cause__ else str(error)
            self.facts.add(kind, f"/{path.name}" + (f" {reason}" if reason else ""))
            return None
        if picture.turned:
            self.facts.add(Note.TURNED, f"/{path.name}")
        return picture

    def _usable(self, mask: Picture, name: str) -> Values | None:
        """The values of a mask if they can be read as ids, else None, noting a problem. Oddities are also noted."""
        facts, binary = self.facts, self.video.binary
        if mask.mode.startswith(("I", "F")):
            facts.add(Problem.SIXTEEN_BIT, f"/{name}")
            if max(mask.values, default=0) > VOID:
                facts.add(Problem.ABOVE_254, f"/{name} id {max(mask.values)}")
            return None
        if mask.mode not in ("1", "L", "P"):
            facts.add(Problem.COLOUR, f"/{name} {mask.mode}")
            return None
        if mask.scaled:
            facts.add(Problem.LOW_BIT, f"/{name}")
            return None
        ids = sorted(mask.values - {0, VOID})
        if mask.levels:
            facts.add(Problem.ANTIALIASED, f"/{name}")
            return None
        if mask.lossy and ids:
            facts.add(Problem.UNREAD, f"/{name} is a JPEG")
            return None
        if binary and len(ids) > 1:
            facts.add(Note.MERGED, f"/{name}")
        if mask.mode == "L" and not binary and (ids or not self.full):
            facts.add(Note.GREY, f"/{name}")
        if fault := contradiction(mask.palette, mask.values):
            facts.add(Note.CONTRADICTED, f"/{name} {fault}")
        elif mask.palette and any(_colour(mask.palette, id_) != _colour(bytes(PALETTE), id_) for id_ in ids):
            facts.add(Note.PALETTE, f"/{name}")
        return mask.values


def _colour(palette: bytes, id_: int) -> bytes:
    return palette[3 * id_ : 3 * id_ + 3]


def _record(name: str, pixels: Image | LabelMap) -> str:
    return f"{name} {pixels.shape} {hashlib.sha256(pixels.tobytes()).hexdigest()}\n"


def _inspect_folders(images: Path, labels: Path | None, facts: VideoFacts) -> None:
    """Checks the names in a video's two folders: files that are not read, and the order of frame numbers."""
    stems: set[str] = set()
    for path in visible(images):
        if is_frame(path):
            stems.add(path.stem)
        else:
            facts.add(Problem.UNREAD if is_image(path) else Note.STRAY, f"/{path.name}")
    judge_numbers(stems, facts)
    for path in visible(labels) if labels else []:
        if not is_mask(path):
            facts.add(Problem.UNREAD if is_image(path) else Note.STRAY, f"/{path.name}")
        elif path.stem not in stems:
            facts.add(Problem.ORPHAN, f"/{path.name}")


def visible(folder: Path) -> list[Path]:
    """The entries of a folder, sorted, without hidden files, which are never read."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []
