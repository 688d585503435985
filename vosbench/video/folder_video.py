"""Videos whose frames are image files."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np

from vosbench.video.images import VOID, image_size, read_image, read_label_map
from vosbench.video.video import Image, LabelMap, Video, check_size, given_masks


@dataclass(frozen=True)
class FolderVideo(Video):
    """Frames as image files, annotations as indexed PNGs of the same stems.

    `annotations` maps stems to PNG files (any subset of the frames). `binary`: any nonzero annotated pixel is object 1
    (DAVIS-2016, whose masks are 0/255). `late_objects`: objects that first appear after the first frame are given there
    too; otherwise only the first frame is given, which is the DAVIS protocol. `any_size`: annotations to train on may
    be smaller than their frames (pseudo-labels at feature resolution); given masks never are. `starts`: by object id,
    the index of the frame from which on the object exists, whatever annotations show; other ids do not exist.
    """

    name: str
    frames: tuple[Path, ...]
    annotations: dict[str, Path]
    binary: bool = False
    late_objects: bool = False
    any_size: bool = False
    listed: frozenset[str] | None = None
    seen: Mapping[int, bool] = field(default_factory=dict)
    starts: Mapping[int, int] | None = None

    @cached_property
    def frame_names(self) -> tuple[str, ...]:  # type: ignore[override]
        return tuple(path.stem for path in self.frames)

    def frame(self, index: int) -> Image:
        return read_image(self.frames[index])

    def annotation(self, index: int) -> LabelMap | None:
        frame = self.frames[index]
        path = self.annotations.get(frame.stem)
        if path is None:
            return None
        labels = read_label_map(path, binary=self.binary)
        if not self.any_size:
            check_size(labels, path, image_size(frame), frame)
        if self.starts is None:
            return labels
        there = np.zeros(256, np.uint8)
        ids = [VOID, *(id_ for id_, start in self.starts.items() if start <= index)]
        there[ids] = ids
        started: LabelMap = there[labels]
        return started

    def given(self, index: int) -> LabelMap | None:
        return self._given.get(index)

    def file_sizes(self) -> list[int]:
        return [path.stat().st_size for path in self.frames]

    @cached_property
    def _given(self) -> dict[int, LabelMap]:
        annotated = [i for i, name in enumerate(self.frame_names) if name in self.annotations]
        given = given_masks(self, annotated, late_objects=self.late_objects, expected=self.starts)
        for index, labels in given.items():
            frame = self.frames[index]
            check_size(labels, self.annotations[frame.stem], image_size(frame), frame)
        return given
