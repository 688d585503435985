"""Videos whose frames are image files."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vosbench.util.wording import rows_columns
from vosbench.video.digests import digest_of
from vosbench.video.images import image_size, read_image, read_label_map
from vosbench.video.leftovers import NOTHING, Leftovers
from vosbench.video.palette import VOID
from vosbench.video.paths import light_list, light_mapping
from vosbench.video.video import Image, LabelMap, Video, check_size, initial_masks


@dataclass(frozen=True)
class FolderVideo(Video):
    """Frames as image files, annotations as image files of the same stems whose pixels are object ids.

    frames        the image files, in time order
    annotations   the masks by stem, of any subset of the frames
    binary        any nonzero annotated pixel is object 1 (DAVIS-2016, whose masks are 0/255)
    starts        pixels of an object before its start, and ids that are not listed, are ignored

    The other fields are those of every Video.
    """

    name: str
    frames: Sequence[Path]
    annotations: Mapping[str, Path]
    binary: bool = False
    late_objects: bool = False
    any_size: bool = False
    listed: frozenset[str] | None = None
    seen: Mapping[int, bool] = field(default_factory=dict)
    starts: Mapping[int, int] | None = None
    leftovers: Leftovers = NOTHING

    def __post_init__(self) -> None:
        object.__setattr__(self, "frames", light_list(self.frames))
        object.__setattr__(self, "annotations", light_mapping(self.annotations))

    @cached_property
    def frame_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(path.stem for path in self.frames)

    @cached_property
    def path(self) -> Path:  # type: ignore[override]
        return self.frames[0].parent

    @cached_property
    def mask_folder(self) -> Path | None:  # type: ignore[override]
        return next((path.parent for path in self.annotations.values()), None)

    def frame(self, index: int) -> Image:
        return read_image(self.frames[index])

    def frame_file(self, index: int) -> Path:
        return self.frames[index]

    def frame_size(self, index: int) -> tuple[int, int]:
        return image_size(self.frames[index])

    def size_fault(self) -> str | None:
        for path in self.frames:
            if (size := image_size(path)) != self.size:
                sizes = f"{path} is {rows_columns(size)}, the first frame {rows_columns(self.size)} (rows×columns)"
                return f"{sizes}: bring the frames of a video to one size, or put them into several folders"
        return None

    def mask_file(self, index: int) -> Path | None:
        return self.annotations.get(self.frame_names[index])

    def annotation(self, index: int) -> LabelMap | None:
        path = self.mask_file(index)
        if path is None:
            return None
        labels = read_label_map(path, binary=self.binary, judged=not self.any_size)
        if not self.any_size:
            check_size(labels, path, self.frame_size(index), self.frames[index])
        if self.starts is None:
            return labels
        existing = np.zeros(256, np.uint8)
        ids = [VOID, *(id_ for id_, start in self.starts.items() if start <= index)]
        existing[ids] = ids
        started: LabelMap = existing[labels]
        return started

    def annotation_fingerprint(self) -> str:
        """sha256 over the mask files' contents, and over how they are read: nothing is decoded."""
        kept = [(index, name) for index, name in enumerate(self.frame_names) if name in self.annotations]
        reading = f"{kept} {self.binary} {sorted((self.starts or {}).items())}\n"
        files = digest_of([(name, self.annotations[name]) for _, name in kept])
        return hashlib.sha256(reading.encode() + files.encode()).hexdigest()

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        return initial_masks(self)
