"""What `vosbench check` knows about an image file, from its header and, if asked, its pixels."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from vosbench.audit.timeline import Values
from vosbench.util.errors import UserError
from vosbench.video.depth import is_deep
from vosbench.video.formats import pictures_in
from vosbench.video.judgement import LOSSY, grey_levels, not_ids, palette_of
from vosbench.video.opening import opened
from vosbench.video.orientation import UPRIGHT, orientation, upright, upright_size


@dataclass(frozen=True)
class Picture:
    """An image file, as far as it was read.

    size         (height, width) once it is upright
    mode         Pillow's; scaled: it is grey of another range than 8 bits, and scaled when read
    deep         it has more than 8 bits a channel; turned: it has an EXIF orientation; lossy: it is a JPEG
    palette      red, green and blue of each index; empty: it has none
    values       of its pixels; levels: the number of shades of grey, 0 if its pixels are ids
    """

    size: tuple[int, int]
    mode: str
    scaled: bool
    deep: bool
    turned: bool
    lossy: bool
    palette: bytes
    values: Values
    levels: int


def read_picture(path: Path, full: bool, *, binary: bool) -> Picture:
    """The picture in a file. Pixels are only read if `full`. `binary`: as a mask, it shows one object.

    Raises UserError for a damaged file, and for one of several pictures.
    """
    with opened(path, "", "") as image:
        if full and image.format == "PNG":
            image.verify()  # checksums; the image cannot be read after it
    with opened(path, "", "") as image:
        if (count := pictures_in(image)) > 1:
            raise UserError(f"holds {count} pictures")
        mode, values, levels = image.mode, Values(), 0
        header = (
            upright_size(image),
            mode,
            mode == "L" and not_ids(image) is not None,
            is_deep(image),
            orientation(image) != UPRIGHT,
            image.format in LOSSY,
            palette_of(image) if full else b"",
        )
        pixels = np.asarray(upright(image)) if full else np.empty(0)
    if full and pixels.ndim == 2:
        counts = np.bincount(pixels.ravel()) if pixels.dtype == np.uint8 else None
        values = Values(map(int, np.unique(pixels) if counts is None else np.flatnonzero(counts)))
        levels = 0 if counts is None else grey_levels(pixels, mode, binary=binary)
    return Picture(*header, values, levels)
