"""What the folders of videos hold beside the frames and masks that are read, and saying so: nothing is passed over."""

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from vosbench.util.errors import one_or_all
from vosbench.util.wording import some
from vosbench.video.formats import USUAL_FRAMES
from vosbench.video.judgement import palette_fault

if TYPE_CHECKING:
    from vosbench.video.video import Video

log = logging.getLogger(__name__)


class Leftovers(NamedTuple):
    """Files of a video's folders.

    unread_frames, unread_masks  pictures in a format that is not read
    orphans                      masks of which there is no frame
    bare                         frames without a mask, in a video most of whose frames have one
    """

    unread_frames: tuple[Path, ...] = ()
    unread_masks: tuple[Path, ...] = ()
    orphans: tuple[Path, ...] = ()
    bare: tuple[Path, ...] = ()


NOTHING = Leftovers()


def without_mask(frames: Sequence[Path], masks: Mapping[str, Path]) -> tuple[Path, ...]:
    """The frames that lack a mask though at least two thirds have one, and more than two. Videos with fewer masks are
    annotated in part on purpose, such as every fifth frame."""
    bare = tuple(path for path in frames if path.stem not in masks)
    annotated = len(frames) - len(bare)
    return bare if annotated > 2 and 3 * annotated >= 2 * len(frames) else ()


def check_all_read(videos: Sequence["Video"], *, masks: bool = True) -> None:
    """Raises UserError naming pictures in the videos' folders that are not read, and warns of masks without a frame and
    of frames without a mask. `masks`: the videos' masks are used."""
    left = [video.leftovers for video in videos]
    frames = [path for each in left for path in each.unread_frames]
    labels = [path for each in left for path in each.unread_masks if masks]
    found = []
    if frames:
        remedy = f"convert them ({USUAL_FRAMES}), or move them elsewhere"
        found.append(f"{len(frames)} picture(s) that cannot be read as frames: {_examples(frames)}: {remedy}")
    if labels:
        remedy = "save object ids as indexed PNGs, or move them elsewhere"
        found.append(f"{len(labels)} picture(s) that cannot be read as masks: {_examples(labels)}: {remedy}")
    if found:
        raise one_or_all("some files in the folders of frames and masks are not read", found)
    if masks:
        _warn("%d mask(s) have no frame of their name and are not used: %s", [p for each in left for p in each.orphans])
        _warn("%d frame(s) have no mask, while most of their video have: %s", [p for each in left for p in each.bare])
        _tell_unlabelled(videos)


def tell_given_palettes(videos: Sequence["Video"]) -> None:
    """Warns of given masks whose palettes contradict their indices."""
    given = (
        video.mask_file(index)
        for video in videos
        for index in range(len(video.frame_names) if video.late_objects else 1)
        if video.mask_file(index) is not None and video.given(index) is not None
    )
    tell_palettes(palette_faults(path for path in given if path is not None))


def palette_faults(paths: Iterable[Path]) -> list[tuple[Path, str]]:
    """The masks whose palettes contradict their indices, and how."""
    return [(path, fault) for path in paths if (fault := palette_fault(path))]


def tell_palettes(found: Sequence[tuple[Path, str]]) -> None:
    """Warns once of masks whose palettes contradict their indices."""
    if found:
        log.warning(
            "%d mask(s) have a palette that contradicts their indices, which are read as ids: %s; if an optimizer of "
            "PNGs has renumbered them, save them anew",
            len(found),
            some((f"{path} ({fault})" for path, fault in found), 3),
        )


def _tell_unlabelled(videos: Sequence["Video"]) -> None:
    """Warns of videos without any mask in a data set whose other videos have some."""
    bare = [video.name for video in videos if video.path and video.path.is_dir() and video.mask_folder is None]
    if bare and any(video.mask_folder for video in videos):
        log.warning("%d of %d videos have no masks: %s", len(bare), len(videos), some(bare))


def _warn(message: str, paths: Sequence[Path]) -> None:
    if paths:
        log.warning(message, len(paths), _examples(paths))


def _examples(paths: Sequence[Path]) -> str:
    return some(paths, 3)
