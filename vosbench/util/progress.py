"""Progress of long work: a bar in the terminal, and a line in the log now and then."""

import logging
import time
from collections.abc import Mapping
from typing import Any

from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from vosbench.util.wording import printable

PATIENCE = 60.0  # seconds between two lines
QUIETLY = {"quiet": True}  # marks lines that a terminal with a bar does not need

log = logging.getLogger(__name__)


class Bar(Progress):
    """Counts on one line, which disappears at the end. What it counts also stands in the log, every minute."""

    def __init__(self, unit: str) -> None:
        counted = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        super().__init__(*counted, _Speed(unit), TimeRemainingColumn(), transient=True)
        self._unit, self._said = unit, time.monotonic()

    def advance(self, task_id: TaskID, advance: float = 1) -> None:
        super().advance(task_id, advance)
        if time.monotonic() - self._said > PATIENCE:
            self._said = time.monotonic()
            task = next(each for each in self.tasks if each.id == task_id)
            fast = "" if task.speed is None else f", {speed(task.speed, self._unit)}"
            left = "" if task.time_remaining is None else f", {duration(task.time_remaining)} left"
            text = "%s: %d of %d %s%s%s"
            log.info(text, task.description, task.completed, task.total or 0, self._unit, fast, left, extra=QUIETLY)


class _Speed(ProgressColumn):
    """How many units are done in a second."""

    def __init__(self, unit: str) -> None:
        super().__init__()
        self._unit = unit

    def render(self, task: Task) -> Text:
        return Text("" if task.speed is None else speed(task.speed, self._unit), style="progress.percentage")


def progress_bar(unit: str = "frames") -> Bar:
    """A bar for work that is counted in `unit`."""
    return Bar(unit)


def is_loud(record: Any) -> bool:
    """A filter of log records: whether a terminal with a bar shows a line."""
    return not getattr(record, "quiet", False)


def speed(rate: float, unit: str) -> str:
    """A rate for people: 12 frames a second."""
    return f"{rate:.3g} {unit} a second"


def duration(seconds: float) -> str:
    """A time for people: 40 s, 12 min, 3 h 5 min, 2 days 4 h."""
    minutes = round(seconds / 60)
    if seconds < 90:
        return f"{seconds:.0f} s"
    if minutes < 60:
        return f"{minutes} min"
    if minutes < 48 * 60:
        return f"{minutes // 60} h {minutes % 60} min"
    return f"{minutes // 1440} days {minutes % 1440 // 60} h"


def tell(found: Mapping[str, str]) -> None:
    """Prints facts by name, one on a line."""
    width = max(map(len, found))
    for name, text in found.items():
        print(f"{name:<{width}}  {printable(text)}")
