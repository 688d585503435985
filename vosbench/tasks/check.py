"""`vosbench check`: lists every problem of a data set at once, with remedies. It writes nothing.

Problems (exit status 1) keep the data set from being predicted or scored correctly; notes are for information. If two
people get the same hash, they have the same frames and annotations.

With `method=` it tries a method on a made-up scene instead, and says which of its promises it keeps.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.progress import track

from vosbench.audit.findings import Finding, Note, Problem, VideoFacts, lines
from vosbench.audit.inspection import inspect, visible
from vosbench.audit.method_checks import Subject
from vosbench.audit.promises import tried
from vosbench.evaluation.protocols.protocol import Protocol, protocol_named
from vosbench.settings.making import made
from vosbench.settings.options import Placed, Positive, Where
from vosbench.util import errors
from vosbench.util.errors import UserError
from vosbench.util.terminal import Terminal
from vosbench.util.wording import rows_columns
from vosbench.util.workers import shared_out
from vosbench.video.video import Dataset, Video

SHORT = 2  # number of frames: too few to show any tracking


@dataclass(frozen=True, kw_only=True)
class Options:
    """The top-level keys of conf/check.yaml, which explains them."""

    dataset: Placed[dict[str, Any]]
    method: dict[str, Any] | None
    memory: dict[str, Any]
    inference: dict[str, Any]
    optimizer: dict[str, Any] | None
    overrides: Where[list[str]]
    stride: Positive
    full: bool
    workers: int


def run(options: Options) -> None:
    """Raises errors.Problems for a data set or a method that has problems, and UserError for a data set that cannot be
    read at all."""
    console = Terminal(highlight=False, soft_wrap=True)  # whole lines in a log
    if options.method is None:
        _check_dataset(options, console)
    elif any(re.match(r"dataset\b", word) for word in options.overrides):
        raise UserError("method= and dataset= are checked one at a time: leave one of them out")
    else:
        _check_method(options, options.method, console)


def _check_method(options: Options, method: dict[str, Any], console: Terminal) -> None:
    subject = Subject.of(method, options.memory, options.inference, options.optimizer)
    for name, found, kept in tried(subject):
        if not kept:
            raise UserError(f"{name}: {found}")
        console.print(f"  {name:<16}{found}")
    console.print("all promises kept: see vosbench/method.py for what they are")


def _check_dataset(options: Options, console: Terminal) -> None:
    dataset: Dataset = made(options.dataset, "dataset")
    protocol = protocol_named(dataset.protocol)
    whole = not any(options.dataset.get(key) for key in ("sequences", "exclude"))
    jobs = [
        (video, folder, options.full)
        for video, folder in zip(dataset.videos, _label_folders(dataset.videos), strict=True)
    ]
    every = shared_out(_inspect, jobs, options.workers)
    bar = track(every, "checking", len(jobs), console=console, transient=True, disable=not console.is_terminal)
    facts = sorted(bar, key=lambda video: video.name)
    found = [finding for video in facts for finding in video.found]
    found += [*_found_in_set(facts, protocol, options.stride), *_found_beside(dataset.videos, whole)]
    console.print(summary(dataset, facts, options), end="")
    if notes := lines(Note, found, len(facts), protocol.advice):
        console.print("notes\n" + "\n".join(f"  - {line}" for line in notes))
    if problems := lines(Problem, found, len(facts), protocol.advice):
        raise errors.Problems(f"problems with {dataset.name} {dataset.split}", problems)
    console.print("no problems found")


def _inspect(job: tuple[Video, Path | None, bool]) -> VideoFacts:
    return inspect(*job)


def _label_folders(videos: Sequence[Video]) -> list[Path | None]:
    """The folder of each video's annotations; for a video without any, where the others' layout would put it."""
    above = next((video.mask_folder.parent for video in videos if video.mask_folder), None)
    return [video.mask_folder or (above and above / video.name) for video in videos]


def _found_in_set(facts: Sequence[VideoFacts], protocol: Protocol, stride: int) -> Iterator[Finding]:
    """Findings that depend on the other videos, the protocol or the stride."""
    labelled = any(video.annotated for video in facts)
    for video in facts:
        if video.frames and not video.annotated:
            yield Finding(Problem.NO_START if labelled else Note.UNLABELLED, video.name, video.name)
        if video.annotated and 0 < video.frames < protocol.fewest_frames:
            yield Finding(Problem.TOO_SHORT, f"{video.name} {video.frames}", video.name)
        elif 0 < video.frames <= SHORT:
            yield Finding(Note.SHORT, f"{video.name} {video.frames}", video.name)
        if video.size and _is_padded(video.size, stride):
            yield Finding(Note.STRIDE, f"{video.name} {rows_columns(video.size)}", video.name)


def _found_beside(videos: Sequence[Video], whole: bool) -> Iterator[Finding]:
    """Stray entries beside the folders of videos and annotations. `whole`: no videos were left out on purpose."""
    paths = [video.path for video in videos if video.path]
    for folder in sorted({path.parent for path in paths}):
        for path in visible(folder):
            if path.is_symlink() and not path.exists():
                yield Finding(Problem.BROKEN_LINK, _place(path))
            elif path not in paths and whole:
                yield Finding(Note.LEFT_OUT if path.is_dir() else Note.STRAY, _place(path))
    with_images = {path.name for folder in {path.parent for path in paths} for path in visible(folder)}
    for folder in sorted({labels.parent for labels in _label_folders(videos) if labels}):
        for path in visible(folder):
            if path.name not in with_images or not path.is_dir():
                yield Finding(Note.STRAY, _place(path))


def _place(path: Path) -> str:
    """A path below the data set's root, such as Annotations/480p/bear."""
    return "/".join(path.parts[-3:])


def _is_padded(size: tuple[int, int], stride: int) -> bool:
    return any(pixels % stride for pixels in size)


def summary(dataset: Dataset, facts: Sequence[VideoFacts], options: Options) -> str:
    """A summary of the data set, one fact per line."""
    sizes = Counter(video.size for video in facts if video.size)
    padded = sum(count for size, count in sizes.items() if _is_padded(size, options.stride))
    common = ", ".join(f"{rows_columns(size)} ({count})" for size, count in sizes.most_common(5))
    objects = [len(video.objects) for video in facts]
    digest = hashlib.sha256(
        "".join(f"{video.name} {video.digest}\n" for video in facts).encode(errors="surrogateescape")
    ).hexdigest()
    rows = {
        "root": options.dataset.get("root") or "none: generated",
        "videos": len(facts),
        "frames": f"{sum(v.frames for v in facts)}, {sum(v.annotated for v in facts)} annotated",
        "objects": f"{sum(objects)}, at most {max(objects, default=0)} in a video"
        if options.full
        else "not counted: full=false",
        "sizes": f"{len(sizes)}: {common}",
        "stride": f"{options.stride} divides the size of {len(facts) - padded} of {len(facts)} videos",
        "sha256": f"{digest} of names and {'contents' if options.full else 'file sizes, not contents: full=false'}",
    }
    head = f"{dataset.name} {dataset.split}, resolution {dataset.resolution}\n"
    return head + "".join(f"  {key:<10} {value}\n" for key, value in rows.items())
