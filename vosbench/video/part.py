"""A part of a video, by the numbers of its frames."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from vosbench.util.errors import UserError

T = TypeVar("T")


@dataclass(frozen=True)
class Part:
    """Frames `start` to `stop` - 1 of a video, counted from 0. stop: None: to its end."""

    start: int = 0
    stop: int | None = None

    @classmethod
    def parse(cls, text: str | None) -> "Part":
        """Of 100:200, 100: or :200; None: all of it. Raises UserError for anything else, and for a part without
        frames."""
        if text is None:
            return cls()
        found = re.fullmatch(r"(\d*):(\d*)", text)
        if found is None or text == ":":
            raise UserError(f"frames={text}: give the first frame and the one after the last, such as frames=100:200")
        part = cls(int(found[1] or 0), int(found[2]) if found[2] else None)
        if part.length is not None and part.length < 1:
            raise UserError(f"frames={text} has no frame: give the first one and the one after the last")
        return part

    @property
    def length(self) -> int | None:
        return None if self.stop is None else self.stop - self.start

    def of(self, frames: Sequence[T], path: Path) -> tuple[T, ...]:
        """Raises UserError if there are none of these frames at `path`."""
        if not (kept := tuple(frames[self.start : self.stop])):
            last = len(frames) - 1
            raise UserError(
                f"{path} has {last + 1} frames, and none from {self.start} on: give frames= from 0 to {last}"
            )
        return kept


WHOLE = Part()
