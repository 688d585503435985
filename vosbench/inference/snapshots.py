"""A propagation's state inside a video, saved now and then: a process that is killed loses a minute of work."""

import os
from collections.abc import Callable
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from vosbench.util.files import replacing

EVERY = 60.0  # seconds between two snapshots
SHARE = 50  # and at least so many times what writing the last one took


class Snapshots:
    """The latest state of one video's propagation, in a file.

    The state is pickled, since memory holds classes of the method's own. It is read only if this user wrote it.

    path  of the file. What the state was made from is part of its name, so that no other state is ever read
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._last, self._pause = monotonic(), EVERY

    def read(self, device: torch.device) -> tuple[int, dict[str, Any]] | None:
        """The number of frames that are done, and the state after them; None if there is no state to go on from."""
        if not self.path.is_file() or self.path.stat().st_uid != os.getuid():
            return None
        found = torch.load(self.path, map_location=device, weights_only=False)
        return found["frames"], found["state"]

    def offer(self, frames: int, state: Callable[[], dict[str, Any]]) -> None:
        """Saves the state after so many frames, if it is time. Their label maps must be written."""
        started = monotonic()
        if started - self._last < self._pause:
            return
        with replacing(self.path) as aside:
            torch.save({"frames": frames, "state": state()}, aside)
        self._last = monotonic()
        self._pause = max(EVERY, SHARE * (self._last - started))
