"""What a data set is to the rest of vosbench: named videos that yield RGB frames and integer label maps.

Nothing here imports torch, so that scoring workers start in a fraction of a second.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from jaxtyping import UInt8

from vosbench.util.errors import UserError

Image = UInt8[np.ndarray, "h w 3"]
LabelMap = UInt8[np.ndarray, "h w"]
log = logging.getLogger(__name__)


class Video(ABC):
    """One video: RGB frames by index, and the label maps known for them.

    `frame_names` are the stems under which label maps are saved ("00000", "00001", …), in time order. `listed`: only
    these are asked for, saved and scored; None: all. `seen`: by object id, whether its category is one of training.
    `binary`: it has one object, which any nonzero pixel of a mask is.
    """

    name: str
    frame_names: tuple[str, ...]
    listed: frozenset[str] | None = None
    seen: Mapping[int, bool] = {}
    binary: bool = False

    @abstractmethod
    def frame(self, index: int) -> Image:
        """RGB frame `index` (uint8). Raises UserError naming the file when it cannot be read."""

    def annotation(self, index: int) -> LabelMap | None:
        """The true label map of frame `index` (0 = background, 255 = void), or None when there is none."""
        return None

    def given(self, index: int) -> LabelMap | None:
        """What a user gives at frame `index`: objects that start there, 0 elsewhere; None when nothing starts."""
        return None

    def is_listed(self, name: str) -> bool:
        """Whether the label map of this frame is asked for."""
        return self.listed is None or name in self.listed

    def file_sizes(self) -> list[int]:
        """Bytes of the files that hold the frames, which tell a changed video; none for a video that is generated."""
        return []


def given_masks(
    video: Video, annotated: Sequence[int], *, late_objects: bool, expected: Collection[int] | None = None
) -> dict[int, LabelMap]:
    """What a user gives, by frame index: a label map of the objects that start there.

    `annotated`: the frames that have an annotation, in order; only as many are read as the protocol needs.
    `late_objects`: objects that first appear later are given there too; otherwise all start at frame 0, as in DAVIS.
    `expected`: the objects there are, where that is known: no more is read once they are found, and a warning names
    those that no annotation shows. Raises UserError naming the video and frame when there is nothing to start from.
    """
    given: dict[int, LabelMap] = {}
    known = {0, 255}
    for index in annotated if late_objects else [i for i in annotated if i == 0]:
        if expected is not None and known.issuperset(expected):
            break
        labels = video.annotation(index)
        new = [] if labels is None else sorted(set(np.unique(labels).tolist()) - known)
        if labels is not None and new:
            given[index] = np.where(np.isin(labels, new), labels, 0).astype(np.uint8)
        known.update(new)
    if given and (lost := sorted(set(expected or ()) - known)):
        log.warning("video %s: no annotation shows its objects %s: they stay unsegmented", video.name, lost)
    if not given:
        frame = "any frame" if late_objects else f"its first frame {video.frame_names[0]}"
        problem = "an empty mask" if annotated and (late_objects or annotated[0] == 0) else "no mask"
        hint = "label its objects 1, 2, … (0 is background, 255 void)"
        raise UserError(f"video {video.name} has {problem} at {frame}: {hint}")
    return given


def check_size(labels: LabelMap, path: Path, size: tuple[int, int], frame: Path) -> None:
    """Raises UserError when the label map at `path` has not the (height, width) of its `frame`."""
    if labels.shape != size:
        rows, columns = labels.shape
        sizes = f"mask {path} is {rows}×{columns} (rows×columns), its frame {frame} is {size[0]}×{size[1]}"
        raise UserError(f"{sizes}: give masks of the frame's size, or the resolution folder that matches")


Frames = Literal["all", "annotated"]


class Dataset(Protocol):
    """What `dataset=` names: the videos of one split, and how they are scored by default. `whole`: the number of videos
    before any were left out."""

    name: str
    split: str
    resolution: str
    frames: Frames
    protocol: str
    whole: int

    @property
    def videos(self) -> Sequence[Video]: ...
