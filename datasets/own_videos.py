"""A user's own videos with their initial masks: one, a part of one, or a folder of them."""

import logging
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from vosbench.datasets.folders import files, subfolders
from vosbench.datasets.video_folder import images_and_videos, open_video
from vosbench.util.errors import UserError
from vosbench.util.wording import some
from vosbench.video.formats import is_image
from vosbench.video.images import read_label_map, write_label_map
from vosbench.video.part import WHOLE, Part
from vosbench.video.video import Image, LabelMap, Video

log = logging.getLogger(__name__)


def check_input(path: str | None, mask: str | None, frames: str | None, typed: Sequence[str]) -> None:
    """Raises UserError for overrides (`typed`, with these three among them) that do not go together."""
    if path is None and mask is not None:
        raise UserError(f"mask={mask} belongs to a video: give input=<video or folder of frames>, too")
    if path is None and frames is not None:
        raise UserError("frames is a part of input=<video>: for a data set, set dataset.max_frames")
    of_data_set = [word for word in typed if re.match(r"dataset[.=]", word)]
    if path is not None and of_data_set:
        raise UserError(f"{of_data_set[0]} is for a data set, and input={path} is none: leave one of them out")


def open_videos(path: str | Path, mask: str | Path, part: Part = WHOLE) -> list[Video]:
    """The video of a file or a folder of frames; or all videos of a folder, of which each has a mask, or a folder of
    masks, of the same name in the folder `mask`. `open_video` says what a mask may be.

    Raises UserError naming all videos without a mask, and as `open_video` does.
    """
    path, mask = Path(path), Path(mask)
    entries = _videos_in(path)
    if not entries:
        return [open_video(path, mask, part)]
    if not mask.is_dir():
        raise UserError(f"{path} holds {len(entries)} videos: give mask=<folder> with a mask of the same name for each")
    masks = {entry: _mask_of(entry, mask) for entry in entries}
    if missing := [entry.name for entry, found in masks.items() if found is None]:
        expected = f"{Path(missing[0]).stem}.png"
        raise UserError(f"{mask} has no mask for {some(missing)}: add them (expected for example {expected})")
    return [open_video(entry, found, part) for entry, found in masks.items() if found is not None]


def write_first_mask(
    path: str | Path, labels: Callable[[Image], LabelMap], part: Part, folder: Path, elsewhere: str | None
) -> Path:
    """Writes `<video>-first-mask.png`: what `labels` makes of the video's first frame.

    Raises UserError if it would replace the mask of what was predicted there, unless `elsewhere` is None. It is what a
    user types to have it in another place.
    """
    video = open_video(path, None, part)
    mask, made = folder / f"{video.name}-first-mask.png", labels(video.frame(0))
    used = mask.exists() and (folder / video.name).exists()
    if elsewhere is not None and used and not np.array_equal(read_label_map(mask), made):
        what = f"{folder / video.name} was made with another mask, {mask}"
        raise UserError(f"{what}: set {elsewhere} to keep both, or overwrite=true to redo them")
    folder.mkdir(parents=True, exist_ok=True)
    write_label_map(mask, made)
    log.info("first mask: %s", mask)
    return mask


def _videos_in(path: Path) -> Sequence[Path]:
    """The video files and folders of frames in a folder that holds no frames itself. Raises UserError for a folder of
    frames and videos."""
    images, videos = images_and_videos(path)
    if images and videos:
        names = [some(file.name for file in found) for found in (images, videos)]
        raise UserError(f"{path} holds images ({names[0]}) and videos ({names[1]}): move either elsewhere")
    if images or not path.is_dir():
        return []
    inside = [path / name for name in subfolders(path) if any(is_image(file) for file in files(path / name))]
    return sorted([*inside, *videos])


def _mask_of(video: Path, masks: Path) -> Path | None:
    name = video.name if video.is_dir() else video.stem
    return next((place for place in (masks / f"{name}.png", masks / name) if place.exists()), None)
