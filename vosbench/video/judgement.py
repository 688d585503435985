"""Whether an image file holds object ids: not colours, not shades of grey, and indices that its palette agrees with."""

from functools import lru_cache
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pillow

from vosbench.util.errors import UserError
from vosbench.video.depth import largest_value, raw_mode
from vosbench.video.opening import opened
from vosbench.video.palette import PALETTE, VOID

OBJECTS = 20  # few frames have more: many more values are grey levels
LOSSY = ("JPEG", "MPO")
SHADES = "has {levels} grey levels, as an antialiased or soft mask has: give each pixel the id of one object"
BLACK = (0, 0, 0)
Colour = tuple[int, int, int]
_IDS = {colour: id_ for id_, colour in enumerate(zip(PALETTE[::3], PALETTE[1::3], PALETTE[2::3], strict=True))}


def not_ids(image: Pillow.Image) -> str | None:
    """Why the pixels of an opened file, not yet loaded, are no object ids, and what to do; None: they may be."""
    mode, raw = image.mode, raw_mode(image)
    if mode == "L" and (raw in ("L;2", "L;4") or largest_value(image) != 255):
        what = f"has {raw[-1]} bits of grey" if ";" in raw else f"counts grey up to {largest_value(image)}"
        return f"{what}, which are scaled when read: save 8-bit object ids"
    if mode.startswith(("I", "F")):
        return f"has mode {mode}: save object ids, 1 to 254, as an 8-bit indexed PNG (mode P)"
    if mode not in ("P", "L", "1"):
        taken = "; of your own video, colours=auto takes colours for objects" if mode == "RGB" else ""
        return f"has mode {mode}, not an indexed PNG (mode P or L): save object ids, not colours{taken}"
    return None


def is_grey(ids: frozenset[int], *, binary: bool) -> bool:
    """Whether the nonzero values of a mask are shades of grey instead of ids; each would count as an object."""
    if binary:  # shades of one object; next to ids, 255 may be void
        return len(ids) > 1 and any(OBJECTS < id_ < VOID for id_ in ids)
    return len(ids) > OBJECTS and max(ids) > 10 * OBJECTS


def grey_levels(labels: UInt8[np.ndarray, "h w"], mode: str, *, binary: bool) -> int:
    """The number of shades of grey in a mask of this mode; 0 if its values are ids.

    Beside what `is_grey` finds, these are grey masks whose values lie between 0 and 255, or are many, if most of them
    form lines as thin as smooth edges.
    """
    if mode == "1" or labels.max(initial=0) <= OBJECTS or not ((labels > OBJECTS) & (labels < VOID)).any():
        return 0
    ids = frozenset(np.flatnonzero(np.bincount(labels.ravel())).tolist()) - {0}
    soft = not binary and mode == "L" and (VOID in ids or len(ids) > OBJECTS) and _are_thin(labels)
    return len(ids) if soft or is_grey(ids, binary=binary) else 0


def _are_thin(labels: UInt8[np.ndarray, "h w"]) -> bool:
    """Whether of most values between 0 and 255, fewer than a tenth of the pixels have four neighbours like them."""
    rows, columns = labels[1:] == labels[:-1], labels[:, 1:] == labels[:, :-1]
    inside = labels[1:-1, 1:-1][rows[1:, 1:-1] & rows[:-1, 1:-1] & columns[1:-1, 1:] & columns[1:-1, :-1]]
    pixels, inner = (np.bincount(values.ravel(), minlength=256)[1:VOID] for values in (labels, inside))
    return bool(2 * np.count_nonzero(10 * inner < pixels) > np.count_nonzero(pixels))


def palette_fault(path: Path) -> str | None:
    """How the palette of an indexed mask contradicts its indices, which optimizers of PNGs may renumber.

    None: it does not, or the file cannot be read. Pixels are only decoded if the palette can contradict any index.
    """
    try:
        with opened(path, "mask", "restore this file, or give a PNG") as image:
            palette = palette_of(image)
            pixels = np.asarray(image) if _may_contradict(palette) else np.empty(0, np.uint8)
    except UserError:  # said by whoever reads its ids
        return None
    return contradiction(palette, frozenset(np.unique(pixels).tolist()))


def palette_of(image: Pillow.Image) -> bytes:
    """Red, green and blue of each index of an opened image; empty if it is not indexed. PNGs stay unloaded."""
    if image.mode != "P":
        return b""
    raw = image.palette.palette if image.format == "PNG" and image.palette else None
    return bytes(raw or image.getpalette() or ())


def contradiction(palette: bytes, values: frozenset[int]) -> str | None:
    """How a palette contradicts the indices in `values`: background is black in each that is known, and colours of the
    VOC palette stand for their own ids. Palettes of other colours and of greys say nothing."""
    colours = _colours(palette)
    shown = {value: colours[value] for value in sorted(values) if value < len(colours)}
    black = [value for value, colour in shown.items() if value and colour == BLACK]
    if colours and colours[0] != BLACK and black:
        return f"index 0 is not black, and index {black[0]} is"
    objects = {value: colour for value, colour in shown.items() if value not in (0, VOID) and len(set(colour)) > 1}
    moved = [value for value, colour in objects.items() if _IDS.get(colour, value) != value]
    if moved and all(colour in _IDS for colour in objects.values()):
        return f"index {moved[0]} has the VOC colour of id {_IDS[objects[moved[0]]]}"
    return None


@lru_cache(maxsize=64)
def _may_contradict(palette: bytes) -> bool:
    """Whether a palette contradicts any indices at all: those of most data sets do not."""
    colours = _colours(palette)
    moved = any(_IDS.get(colour, index) != index for index, colour in enumerate(colours) if len(set(colour)) > 1)
    return moved or (BLACK in colours and colours[0] != BLACK)


def _colours(palette: bytes) -> tuple[Colour, ...]:
    return tuple(zip(palette[::3], palette[1::3], palette[2::3], strict=False))
