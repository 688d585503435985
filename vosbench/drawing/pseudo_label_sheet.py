"""Contact sheets of the pseudo-labels that a training made."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from vosbench.drawing.overlays import (
    Picture,
    overlay,
)
from vosbench.drawing.sheets import Folders, Shown, chosen, sheet
from vosbench.util.errors import UserError
from vosbench.util.wording import some
from vosbench.video.images import read_label_map, resize_labels
from vosbench.video.video import Video


def pseudo_labels(labels: str, names: Sequence[str]) -> Mapping[str, Folders]:
    """For each video, the folders of its label maps in the first and the last complete update.

    `labels` is the run folder of a training, or its folder `labels` with `<epoch>/<source>/<video>/<frame>.png` and
    `<epoch>/DONE`. If several sources have a video, the first one counts. Raises UserError if no update is complete,
    and for videos that an update lacks, naming them and those that it has.
    """
    root = Path(labels, "labels") if Path(labels, "labels").is_dir() else Path(labels)
    whole = sorted(int(path.parent.name) for path in root.glob("*/DONE") if path.parent.name.isdecimal())
    if not whole:
        remedy = "give the run folder of a training that made some"
        raise UserError(f"labels={labels} holds no whole update of pseudo-labels (labels/<epoch>/DONE): {remedy}")
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for epoch in dict.fromkeys((whole[0], whole[-1])):
        update = root / str(epoch)
        there = {path.name: path for path in sorted(update.glob("*/[!.]*"), reverse=True) if path.is_dir()}
        if missing := [name for name in names if name not in there]:
            choice = f"set dataset.sequences to some that it has: {some(sorted(there), 40)}"
            raise UserError(f"{update} has no pseudo-labels of {some(missing)}; {choice}")
        for name in names:
            found[name][f"made at epoch {epoch} ({there[name].parent.name})"] = there[name]
    return found


def pseudo_label_sheet(video: Video, folders: Folders, frames: int) -> Picture:
    """Some frames with their label maps from each folder, stretched to the frame's size as in training.

    Raises UserError if the folders have no frame of the video in common.
    """
    names = [{path.stem for path in folder.glob("*.png")} for folder in folders.values()]
    common = [index for index, name in enumerate(video.frame_names) if all(name in there for there in names)]
    if not common:
        folder = next(iter(folders.values()))
        raise UserError(f"{folder} and video {video.name} have no frame names in common: draw the video of training")
    rows: dict[int, list[Shown]] = {}
    for index in chosen(common, frames):
        image, name = video.frame(index), f"{video.frame_names[index]}.png"
        maps = {title: read_label_map(folder / name) for title, folder in folders.items()}
        rows[index] = [(title, overlay(image, resize_labels(map_, *image.shape[:2]))) for title, map_ in maps.items()]
    return sheet(video, rows)
