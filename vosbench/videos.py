"""What a data set is to the rest of vosbench: named videos that yield RGB frames and integer label maps.

Nothing here imports torch, so that scoring workers start in a fraction of a second.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from jaxtyping import UInt8

from vosbench.images import read_image, read_label_map

Image = UInt8[np.ndarray, "h w 3"]
LabelMap = UInt8[np.ndarray, "h w"]


class Video(ABC):
    """One video: RGB frames by index, and the label maps known for them.

    `frame_names` are the stems under which label maps are saved ("00000", "00001", …), in time order.
    """

    name: str
    frame_names: tuple[str, ...]

    @abstractmethod
    def frame(self, index: int) -> Image:
        """RGB frame `index` (uint8). Raises ValueError naming the file when it cannot be read."""

    def annotation(self, index: int) -> LabelMap | None:
        """The true label map of frame `index` (0 = background, 255 = void), or None when there is none."""
        return None

    def given(self, index: int) -> LabelMap | None:
        """What a user gives at frame `index`: objects that start there, 0 elsewhere; None when nothing starts."""
        return None


@dataclass(frozen=True)
class FolderVideo(Video):
    """Frames as image files, annotations as indexed PNGs of the same stems.

    `annotations` maps stems to PNG files (any subset of the frames). `binary`: any nonzero annotated pixel is object 1
    (DAVIS-2016, whose masks are 0/255). `late_objects`: objects that first appear after the first annotated frame are given
    there too; otherwise only the first annotated frame is given, which is the DAVIS protocol.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: dict[str, Path]
    binary: bool = False
    late_objects: bool = False

    @cached_property
    def frame_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(path.stem for path in self.frames)

    def frame(self, index: int) -> Image:
        return read_image(self.frames[index])

    def annotation(self, index: int) -> LabelMap | None:
        path = self.annotations.get(self.frames[index].stem)
        return None if path is None else read_label_map(path, binary=self.binary)

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        """Label maps of new objects by frame index: read once, and only as many PNGs as the protocol needs."""
        given: dict[int, LabelMap] = {}
        known: set[int] = {0, 255}
        for index in (i for i, name in enumerate(self.frame_names) if name in self.annotations):
            labels = self.annotation(index)
            assert labels is not None
            labels = np.where(labels == 255, 0, labels).astype(np.uint8)
            new = set(np.unique(labels).tolist()) - known
            if new or not given:
                given[index] = np.where(np.isin(labels, list(new)), labels, 0).astype(np.uint8)
            known |= new
            if not self.late_objects:
                break
        return given


Frames = Literal["all", "annotated"]


class Dataset(Protocol):
    """What `dataset=` names: the videos of one split, and how they are scored by default."""

    name: str
    split: str
    resolution: str
    frames: Frames
    protocol: str

    @property
    def videos(self) -> Sequence[Video]: ...
