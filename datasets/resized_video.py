"""A video at another size, with its annotations: some protocols score resized annotations. Imports no torch."""

import hashlib
from dataclasses import dataclass, fields
from typing import Literal

import cv2
import numpy as np

from vosbench.video.folder_video import FolderVideo
from vosbench.video.images import resize_labels
from vosbench.video.video import Image, LabelMap

Kernel = Literal["bilinear", "nearest"]
KERNELS = {"bilinear": cv2.INTER_LINEAR, "nearest": cv2.INTER_NEAREST_EXACT}


@dataclass(frozen=True, kw_only=True)
class ResizedVideo(FolderVideo):
    """A video whose frames and annotations are stretched to one size. Annotations are resized by nearest neighbour.

    original  the video itself, whose other fields are these
    to        (height, width)
    kernel    of frames
    """

    original: FolderVideo
    to: tuple[int, int]
    kernel: Kernel

    @classmethod
    def of(cls, video: FolderVideo, to: tuple[int, int], kernel: Kernel) -> "ResizedVideo":
        same = {field.name: getattr(video, field.name) for field in fields(FolderVideo)}
        return cls(**same, original=video, to=to, kernel=kernel)

    def frame(self, index: int) -> Image:
        frame = cv2.resize(self.original.frame(index), self.to[::-1], interpolation=KERNELS[self.kernel])
        return np.asarray(frame, np.uint8)

    def annotation(self, index: int) -> LabelMap | None:
        labels = self.original.annotation(index)
        return None if labels is None else resize_labels(labels, *self.to)

    def frame_size(self, index: int) -> tuple[int, int]:
        return self.to

    def size_fault(self) -> str | None:
        return None

    def fingerprint(self) -> str:
        return self._digest(super().fingerprint())

    def annotation_fingerprint(self) -> str:
        return self._digest(super().annotation_fingerprint())

    def _digest(self, content: str) -> str:
        return hashlib.sha256(f"{content} {self.to} {self.kernel}".encode()).hexdigest()
