"""The interface of data sets: named videos that yield RGB frames and integer label maps.

Nothing here imports torch, so that scoring workers start in a fraction of a second.
"""

import hashlib
import json
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from jaxtyping import Float, UInt8

from vosbench.util.errors import HERE, UserError, one_or_all
from vosbench.util.wording import rows_columns
from vosbench.video.digests import digest_of
from vosbench.video.leftovers import NOTHING, Leftovers

Image = UInt8[np.ndarray, "h w 3"]
LabelMap = UInt8[np.ndarray, "h w"]
Joints = Float[np.ndarray, "j 2"]  # positions (x, y); NaN: not known
log = logging.getLogger(__name__)


class Video(ABC):
    """One video: its RGB frames, and what is known about the objects in them. Frames are counted from 0.

    A video needs `name`, `frame_names` and `frame`. Everything else has a default, for a video without files and
    annotations.

    frame_names   stems under which label maps are saved ("00000", "00001", …), in time order
    listed        names of the frames to evaluate: only their label maps are saved and scored; None: all frames
    seen          by object id, whether its category occurs in the training set
    binary        there is one object, to which every nonzero pixel of a mask belongs
    late_objects  objects may first appear after frame 0; their masks are then given where they first appear
    starts        by object id, the first frame of the object; None: as the annotations show
    rate          frames per second; None: unknown, as for a folder of frames
    any_size      annotations may be smaller than their frames (pseudo-labels at feature resolution, to train on)
    path          the folder that holds this video's frames and no others, or its video file; None: neither
    mask_folder   the folder that holds its masks, if there is one
    leftovers     what its folders hold that is not read
    """

    name: str
    frame_names: tuple[str, ...]
    listed: frozenset[str] | None = None
    seen: Mapping[int, bool] = {}
    binary: bool = False
    late_objects: bool = False
    starts: Mapping[int, int] | None = None
    rate: float | None = None
    any_size: bool = False
    path: Path | None = None
    mask_folder: Path | None = None
    leftovers: Leftovers = NOTHING

    @abstractmethod
    def frame(self, index: int) -> Image:
        """RGB frame `index` (uint8). Raises UserError naming the file if it cannot be read."""

    def annotation(self, index: int) -> LabelMap | None:
        """The annotated label map of frame `index` (0 = background, 255 = void), or None if it has none."""
        return None

    def given(self, index: int) -> LabelMap | None:
        """The initial mask at frame `index`: the ids of objects that start there, 0 elsewhere; None if no object starts
        there. `initial_masks` makes it from annotations."""
        return None

    def joints(self, index: int) -> Joints | None:
        """The annotated positions of a person's joints in frame `index`, in pixels: 0 is the centre of the first one. A
        joint may lie outside of the picture. None if the frame has none. A video has either label maps or joints; those
        of frame 0 are given."""
        return None

    def frame_file(self, index: int) -> Path | None:
        """The image file that holds frame `index` alone, or None."""
        return None

    def mask_file(self, index: int) -> Path | None:
        """The image file whose pixels are the object ids of frame `index`, or None."""
        return None

    def frame_size(self, index: int) -> tuple[int, int]:
        """(height, width) of frame `index`. The default decodes the frame."""
        height, width, _ = self.frame(index).shape
        return height, width

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) of the frames, or of the first frame if they differ."""
        return self.frame_size(0)

    def size_fault(self) -> str | None:
        """One sentence about the first frame that is known to have another size than frame 0; None: no frame, or not
        known. No frame is decoded."""
        return None

    def is_listed(self, name: str) -> bool:
        """Whether a frame is evaluated, by its name."""
        return self.listed is None or name in self.listed

    def losses(self) -> str:
        """What its file promises and does not hold, in words that name the file; empty: nothing."""
        return ""

    def fingerprint(self) -> str:
        """sha256 over the frames: their names and the contents of their files, or their pixels if they have none."""
        files = [(name, self.frame_file(index)) for index, name in enumerate(self.frame_names)]
        whole = [(name, file) for name, file in files if file is not None]
        content = digest_of(whole) if len(whole) == len(files) else self._pixels
        return hashlib.sha256(json.dumps([self.name, self.frame_names, content]).encode()).hexdigest()

    def annotation_fingerprint(self) -> str:
        """sha256 over the annotations as `annotation` gives them."""
        digest = hashlib.sha256()
        for index, name in enumerate(self.frame_names):
            if (labels := self.annotation(index)) is not None:
                digest.update(f"{index} {name} {labels.shape}\n".encode(errors="surrogateescape") + labels.tobytes())
        return digest.hexdigest()

    @cached_property
    def _pixels(self) -> str:
        """sha256 over the pixels of all frames. They are read or rendered once: pickling keeps the result."""
        digest = hashlib.sha256()
        for index in range(len(self.frame_names)):
            frame = self.frame(index)
            digest.update(f"{frame.shape}".encode() + frame.tobytes())
        return digest.hexdigest()


def warn_of_losses(video: Video) -> None:
    """Logs a warning if the video is not whole. Only what is there is used."""
    if losses := video.losses():
        log.warning("%s: only what is there is used", losses)


def initial_masks(video: Video) -> dict[int, LabelMap]:
    """The given masks, made from annotations: for each frame, a label map of the objects that start there.

    Without `video.late_objects`, all objects start at frame 0, as in DAVIS, and no later annotation is read. Otherwise
    reading stops once all objects of `video.starts` are found. A warning names objects that no annotation shows. Raises
    UserError naming the video and frame if there is nothing to start from.
    """
    given: dict[int, LabelMap] = {}
    known, annotated = {0, 255}, None
    for index in range(len(video.frame_names) if video.late_objects else 1):
        if video.starts and known.issuperset(video.starts):
            break
        labels = video.annotation(index)
        if labels is None:
            continue
        annotated = index
        if new := sorted(set(np.unique(labels).tolist()) - known):
            _check_whole(video, index, labels)
            given[index] = np.where(np.isin(labels, new), labels, 0).astype(np.uint8)
            known.update(new)
    if given and (lost := sorted(set(video.starts or ()) - known)):
        log.warning("video %s: no annotation shows its objects %s: they stay unsegmented", video.name, lost)
    if not given:
        frame = "every frame" if video.late_objects else f"its first frame {video.frame_names[0]}"
        file = None if annotated is None else video.mask_file(annotated)
        problem = "no mask" if annotated is None else "an empty mask"
        hint = "label its objects 1, 2, … (0 is background, 255 void)"
        raise UserError(f"video {video.name} has {problem} in {frame}{f' ({file})' if file else ''}: {hint}")
    return given


def _check_whole(video: Video, index: int, labels: LabelMap) -> None:
    """Annotations to train on may be smaller than their frame; initial masks may not."""
    mask = video.mask_file(index)
    if video.any_size and mask is not None:
        frame = video.frame_file(index) or f"{video.name}/{video.frame_names[index]}"
        check_size(labels, mask, video.frame_size(index), frame)


def check_size(labels: LabelMap, path: Path, size: tuple[int, int], frame: Path | str) -> None:
    """Raises UserError if the label map at `path` does not have the (height, width) of its `frame`."""
    if labels.shape != size:
        sizes = f"mask {path} is {rows_columns(labels.shape)} (rows×columns), its frame {frame} is {rows_columns(size)}"
        raise UserError(f"{sizes}: give masks of the frame's size")


def check_sizes(videos: Iterable[Video]) -> None:
    """Raises UserError naming all videos whose frames are known to differ in size. No frame is decoded."""
    if found := [fault for video in videos if (fault := video.size_fault())]:
        raise one_or_all(f"{len(found)} videos have frames of several sizes", found)


Frames = Literal["all", "annotated"]


def check_max_frames(max_frames: int | None) -> None:
    """Raises UserError for a restriction that leaves no frame."""
    if max_frames is not None and max_frames < 1:
        raise UserError(f"{HERE}max_frames={max_frames}: keep 1 frame or more, or null for all")


class Dataset(Protocol):
    """What `dataset=` names: the videos of one split, and the protocol that scores them by default. `whole`: the number
    of videos before any were left out."""

    name: str
    split: str
    resolution: str
    frames: Frames
    protocol: str
    whole: int

    @property
    def videos(self) -> Sequence[Video]: ...
