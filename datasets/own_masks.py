"""The masks that a user gives for a video of their own, which may lie among its frames."""

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from vosbench.datasets.folders import by_stem, files
from vosbench.util.errors import UserError
from vosbench.util.wording import some
from vosbench.video.formats import is_frame, is_mask, unread_masks

log = logging.getLogger(__name__)


def masks_among(folder: Path, mask: Path) -> list[Path]:
    """The files in a folder of frames that are masks: the one given, or of a folder that is given as both frames and
    masks, one of each two images of the same name.

    Raises UserError if the folder is given as both and no two images have the same name.
    """
    if mask.is_file():
        places = {mask.resolve(), mask.parent.resolve() / mask.name}
        return [path for path in files(folder) if {path.resolve(), folder.resolve() / path.name} & places]
    if mask.resolve() != folder.resolve():
        return []
    frames = {path.stem for path in files(folder) if is_frame(path) and not is_mask(path)}
    masks = [folder / path.name for path in files(folder) if is_mask(path) and path.stem in frames]
    if not masks:
        remedy = "move the masks to a folder of their own, or give the mask of the first frame as a file"
        raise UserError(f"mask={mask} is the folder of the frames, and no .png there is named like a .jpg: {remedy}")
    return masks


def masks_for(mask: Path, frame_names: Sequence[str], first: str, among: Iterable[Path] = ()) -> dict[str, Path]:
    """The masks by frame name.

    mask         a file for the first frame, or a folder of files named like frames
    frame_names  of the whole video
    first        the frame that a file is for
    among        the masks in the folder, if it holds the frames as well

    Raises UserError naming pictures in the folder that are no masks or belong to no frame.
    """
    if mask.is_file():
        if mask.stem in frame_names and mask.stem != first:
            log.warning("mask %s is taken for the first frame, %s: give its folder if it is not", mask, first)
        return {first: mask}
    found = list(among) or files(mask)
    if unread := unread_masks(found):
        what = f"mask folder {mask} holds pictures that cannot be read as masks"
        raise UserError(f"{what}: {_names(unread)}; save object ids as indexed PNGs, or move them elsewhere")
    masks = by_stem(mask, (path for path in found if is_mask(path)))
    if not masks:
        raise UserError(f"mask folder {mask} holds no PNG named like a frame: expected for example {first}.png")
    if orphans := [path for stem, path in masks.items() if stem not in set(frame_names)]:
        what = f"mask folder {mask} holds {len(orphans)} mask(s) not named like a frame: {_names(orphans)}"
        raise UserError(f"{what}; rename them (expected for example {first}.png), or move them elsewhere")
    return masks


def _names(paths: Iterable[Path]) -> str:
    return some(path.name for path in paths)
