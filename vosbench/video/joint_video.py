"""Videos whose frames are image files, with positions of joints in a MATLAB file."""

import hashlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
from jaxtyping import Float64

from vosbench.util.errors import HERE, UserError
from vosbench.util.reading import reading
from vosbench.video.folder_video import FolderVideo
from vosbench.video.video import Joints, LabelMap

REMEDY = f"unpack joint_positions again, or leave the video out with {HERE}exclude"


@dataclass(frozen=True)
class JointVideo(FolderVideo):
    """joints_file   its matrix `pos_img` (2 joints frames) has x and y in pixels from 1, as MATLAB counts

    Frames beyond the matrix have no joints. Raises UserError naming a file that cannot be read.
    """

    joints_file: Path = field(kw_only=True)

    def given(self, index: int) -> LabelMap | None:
        return None

    def joints(self, index: int) -> Joints | None:
        return self._joints[index] if index < len(self._joints) else None

    def annotation_fingerprint(self) -> str:
        """sha256 over the joints of the frames."""
        kept = self._joints[: len(self.frames)]
        return hashlib.sha256(f"{self.frame_names} {kept.shape}\n".encode() + kept.tobytes()).hexdigest()

    @cached_property
    def _joints(self) -> Float64[np.ndarray, "t j 2"]:
        from scipy.io import loadmat  # takes half a second, and only data sets with joints need it

        with reading(self.joints_file, "joints", REMEDY):
            found = loadmat(str(self.joints_file)).get("pos_img")
        if found is None or found.ndim != 3 or found.shape[0] != 2 or found.dtype.kind not in "fiu":
            raise UserError(f"joints {self.joints_file} have no matrix pos_img of x and y by joint and frame: {REMEDY}")
        return np.ascontiguousarray(found.transpose(2, 1, 0), np.float64) - 1
