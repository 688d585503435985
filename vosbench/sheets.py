"""Contact sheets of a video: a row for each of some frames, in which pictures of what was made of it stand side by
side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from vosbench.images import read_label_map, resize_labels
from vosbench.insides import Heat, Inside, Masks, Vectors
from vosbench.propagate import Frame
from vosbench.videos import Image, Video
from vosbench.viz import Picture, contact_sheet, flow_colours, heat_colours, overlay
from vosbench.wording import some

CELL = 360  # width of a picture, in pixels

Shown = tuple[str, Picture]  # a picture, and what is written above it
Folders = Mapping[str, Path]  # of label maps, by what is written above them


def sheet(video: Video, rows: Mapping[int, Sequence[Shown]]) -> Picture:
    """By frame index: the frame, its true objects where any frame's are known, and the pictures given."""
    truths = {index: video.annotation(index) for index in rows}
    known = any(truth is not None for truth in truths.values())
    count = 1 + known + max(map(len, rows.values()))
    whole: list[list[Shown]] = []
    for index, pictures in rows.items():
        image, truth = video.frame(index), truths[index]
        blank = ("", np.full_like(image, 255))
        true = blank if truth is None else ("truth", overlay(image, resize_labels(truth, *image.shape[:2])))
        row = [(f"frame {video.frame_names[index]}", image), *([true] if known else []), *pictures]
        whole.append(row + [blank] * (count - len(row)))
    captions = [[caption for caption, _ in row] for row in whole]
    width = count * (CELL + CELL // 50)
    return contact_sheet([[picture for _, picture in row] for row in whole], captions=captions, width=width)


def show(name: str, inside: Inside, image: Image, frame: Frame, ids: Sequence[int]) -> Shown:
    """One of a method's insides as a picture of the size of `image`. `ids`: of the objects, in order of their
    channels."""
    match inside:
        case Masks(scores):
            labels = np.array([0, *ids], np.uint8)[scores[0].argmax(0).cpu().numpy()]
            return name, overlay(image, placed(labels, frame))
        case Vectors(vectors):
            cells = vectors.float().permute(1, 2, 0).cpu().numpy()
            height, width = frame.cell_size((cells.shape[0], cells.shape[1]))
            flow = placed(cells * np.array([width, height], np.float32), frame)
            longest = float(np.percentile(np.hypot(flow[..., 0], flow[..., 1]), 99))
            return f"{name}: full colour at {longest:.1f} px", flow_colours(flow, longest)
        case Heat(values, low, high):
            heat = heat_colours(placed(values.float().cpu().numpy(), frame), low, high)
            return f"{name}: {low:g} (blue) to {high:g} (yellow)", heat


def placed(cells: Shaped[np.ndarray, "h w *c"], frame: Frame) -> Shaped[np.ndarray, "h2 w2 *c"]:
    """A map of what a method sees on the original picture: each pixel takes the cell whose centre is nearest."""
    rows, columns = frame.cells((cells.shape[0], cells.shape[1]))
    nearest: Shaped[np.ndarray, "h2 w2 *c"] = cells[rows[:, None], columns]
    return nearest


def evenly(values: Sequence[int], most: int) -> list[int]:
    """At most so many of the values, evenly spread; the last is one of them."""
    places = np.linspace(len(values) - 1, 0, min(most, len(values))).round().astype(int)
    return [values[place] for place in places[::-1]]


def chosen(indices: Sequence[int], most: int) -> list[int]:
    """The frames to draw, of those there are: evenly spread without the first, at which nothing has happened yet."""
    return evenly(indices[1:] or indices, most)


def pseudo_labels(labels: str, names: Sequence[str]) -> Mapping[str, Folders]:
    """By video: the folders of its label maps in the first and in the last whole update.

    `labels` is the run folder of a training, or its folder `labels`, of `<epoch>/<source>/<video>/<frame>.png` and
    `<epoch>/DONE`. A video that several sources have is taken from the first of them. Raises ValueError when no update
    is whole, and naming the videos that an update does not have, and those that it has.
    """
    root = Path(labels, "labels") if Path(labels, "labels").is_dir() else Path(labels)
    whole = sorted(int(path.parent.name) for path in root.glob("*/DONE") if path.parent.name.isdecimal())
    if not whole:
        remedy = "give the run folder of a training that made some"
        raise ValueError(f"labels={labels} holds no whole update of pseudo-labels (labels/<epoch>/DONE): {remedy}")
    found: dict[str, dict[str, Path]] = {name: {} for name in names}
    for epoch in dict.fromkeys((whole[0], whole[-1])):
        update = root / str(epoch)
        there = {path.name: path for path in sorted(update.glob("*/[!.]*"), reverse=True) if path.is_dir()}
        if missing := [name for name in names if name not in there]:
            choice = f"set dataset.sequences to some that it has: {some(sorted(there), 40)}"
            raise ValueError(f"{update} has no pseudo-labels of {some(missing)}; {choice}")
        for name in names:
            found[name][f"made at epoch {epoch} ({there[name].parent.name})"] = there[name]
    return found


def pseudo_label_sheet(video: Video, folders: Folders, frames: int) -> Picture:
    """Some frames with their label maps of each folder, stretched over the frame as training reads them.

    Raises ValueError when the folders have no frame of the video in common.
    """
    names = [{path.stem for path in folder.glob("*.png")} for folder in folders.values()]
    common = [index for index, name in enumerate(video.frame_names) if all(name in there for there in names)]
    if not common:
        folder = next(iter(folders.values()))
        raise ValueError(f"{folder} and video {video.name} have no frame names in common: draw the video of training")
    rows: dict[int, list[Shown]] = {}
    for index in chosen(common, frames):
        image, name = video.frame(index), f"{video.frame_names[index]}.png"
        maps = {title: read_label_map(folder / name) for title, folder in folders.items()}
        rows[index] = [(title, overlay(image, resize_labels(map_, *image.shape[:2]))) for title, map_ in maps.items()]
    return sheet(video, rows)
