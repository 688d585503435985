"""Pseudo-labels: label maps that a training makes from its own features and updates as it proceeds."""

import os
import time
from dataclasses import dataclass
from pathlib import Path

from torch.utils.data import get_worker_info

from vosbench.util.errors import UserError
from vosbench.video.images import read_label_map
from vosbench.video.video import LabelMap

POLL = 0.2  # seconds


@dataclass(frozen=True)
class PseudoLabels:
    """Updates of the pseudo-labels of all training videos: `root/<epoch>/<source>/<video>/<frame>.png`.

    A file DONE in `root/<epoch>` marks this update as complete. Which update a clip reads depends on its epoch alone,
    not on the time of reading, so that workers that prefetch and resumed runs read the same labels.

    every   epochs between updates; null: only one update
    """

    root: Path
    every: int | None

    def update(self, epoch: int) -> int:
        """The epoch of the update that clips of `epoch` read."""
        return 0 if self.every is None else epoch - epoch % self.every

    def folder(self, update: int) -> Path:
        return self.root / str(update)

    def done(self, update: int) -> Path:
        return self.folder(update) / "DONE"

    def read(self, epoch: int, video: str, frame: str) -> LabelMap:
        """A frame's segments, at a size that is often smaller than the frame's. A data-loading worker waits for the
        update.

        Raises UserError naming the folder if its update is incomplete and no training is there to complete it.
        """
        update = self.update(epoch)
        parent = os.getppid()
        while not self.done(update).is_file():
            if get_worker_info() is None or os.getppid() != parent:
                raise UserError(f"pseudo-labels in {self.folder(update)} are not whole: repeat the training command")
            time.sleep(POLL)
        return read_label_map(self.folder(update) / video / f"{frame}.png")
