"""Masks whose colours stand for objects, as drawing tools save them."""

import logging
import re
import shlex
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from vosbench.util.errors import UserError
from vosbench.video.images import read_image, read_label_map, write_label_map
from vosbench.video.video import LabelMap

log = logging.getLogger(__name__)
Colour = tuple[int, ...]
BLACK = (0, 0, 0)
MOST = 20  # more are no flat colours, but the shades of a smoothed or compressed mask


def labels_of_colours(path: Path, colours: str) -> LabelMap:
    """The label map of an RGB mask.

    colours  "255,0,0;0,255,0": red is object 1, green object 2, black the background; auto: black is the background,
             and the other colours are 1, 2, … in the order of their values

    Raises UserError for colours that `colours` does not name, and for too many of them.
    """
    return _label_maps([path], colours)[path]


def write_label_maps_of_colours(masks: Path, colours: str, folder: Path, elsewhere: str | None) -> Path:
    """Writes the label maps of all RGB masks of a folder, and no others, under the same names into `folder`. With
    colours=auto, a colour is the same object in all of them.

    Raises UserError if there are none, and if it would replace others, unless `elsewhere` is None. It is what a user
    types to have them in another place.
    """
    found = sorted(masks.rglob("*.png"))
    if not found:
        raise UserError(f"mask={masks} holds no PNG: give a file, or a folder with masks")
    made = {folder / path.relative_to(masks): labels for path, labels in _label_maps(found, colours).items()}
    before = {path: read_label_map(path) for path in sorted(folder.rglob("*.png"))}
    other = [path for path, labels in before.items() if path not in made or not np.array_equal(labels, made[path])]
    if other and elsewhere is not None:
        raise UserError(f"{other[0]} was made of other masks: set {elsewhere}, or overwrite=true to redo it")
    for path in before.keys() - made.keys():
        path.unlink()
    for path, labels in made.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_label_map(path, labels)
    return folder


def _label_maps(paths: Sequence[Path], colours: str) -> dict[Path, LabelMap]:
    seen = {path: _colours(path) for path in paths}
    told = sorted(set[Colour]().union(*seen.values())) if colours == "auto" else _parsed(colours)
    for path, found in seen.items():
        if unknown := [_text(each) for each in found if each not in told]:
            all_of_them = shlex.quote(";".join([f"colours={colours}", *unknown]))
            raise UserError(f"mask {path} also has the colours {' and '.join(unknown)}: set {all_of_them}")
    if colours == "auto":
        log.info("colours: %s", ", ".join(f"{_text(colour)} is object {id_}" for id_, colour in enumerate(told, 1)))
    return {path: _labels(path, told) for path in paths}


def _labels(path: Path, told: Sequence[Colour]) -> LabelMap:
    image = read_image(path)
    labels: LabelMap = np.zeros(image.shape[:2], np.uint8)
    for id_, colour in enumerate(told, 1):
        labels[(image == colour).all(2)] = id_
    return labels


def _colours(path: Path) -> list[Colour]:
    """The colours of an RGB mask but black, in the order of their values."""
    found = [tuple(map(int, each)) for each in np.unique(read_image(path).reshape(-1, 3), axis=0)]
    if len(found) > MOST:
        remedy = "save it as PNG, without smooth edges"
        raise UserError(f"mask {path} has {len(found)} colours, shades of the objects' edges perhaps: {remedy}")
    return [each for each in found if each != BLACK]


def _parsed(colours: str) -> list[Colour]:
    if not re.fullmatch(r"\d+,\d+,\d+(;\d+,\d+,\d+)*", colours):
        raise UserError(f"colours={colours}: give auto, or the colours of objects 1, 2, … such as 255,0,0;0,255,0")
    return [tuple(map(int, each.split(","))) for each in colours.split(";")]


def _text(colour: Colour) -> str:
    return ",".join(map(str, colour))
