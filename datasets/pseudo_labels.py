"""Label maps that training makes from features of its own, and makes anew as it goes on."""

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

    A file DONE in `root/<epoch>` says that this update is whole. Which update a clip takes follows from its epoch
    alone, not from when it is read: so workers that prefetch, and resumed runs, read the same labels.

    every   epochs from one update to the next; null: there is but the first
    """

    root: Path
    every: int | None

    def update(self, epoch: int) -> int:
        """The epoch whose update clips of `epoch` take."""
        return 0 if self.every is None else epoch - epoch % self.every

    def folder(self, update: int) -> Path:
        return self.root / str(update)

    def done(self, update: int) -> Path:
        return self.folder(update) / "DONE"

    def read(self, epoch: int, video: str, frame: str) -> LabelMap:
        """A frame's segments, often smaller than the frame. A loader's worker that comes too early waits.

        Raises UserError naming the folder when its update is not whole and nobody is there to make it.
        """
        update = self.update(epoch)
        parent = os.getppid()
        while not self.done(update).is_file():
            if get_worker_info() is None or os.getppid() != parent:
                raise UserError(f"pseudo-labels in {self.folder(update)} are not whole: repeat the training command")
            time.sleep(POLL)
        return read_label_map(self.folder(update) / video / f"{frame}.png")
