"""Images and label maps: reading, writing and resizing them. Numpy and Pillow only."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image as Pillow
from PIL import PngImagePlugin

from vosbench.util.errors import UserError
from vosbench.util.files import replacing
from vosbench.util.reading import reading

VOID = 255
LARGE = 2**24  # pixels: what takes no memory worth a thought need not be judged
MOST_PIXELS = 2 * (Pillow.MAX_IMAGE_PIXELS or 0)  # Pillow opens no image that has more: 179 million
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # editors leave notes above 1 MB, Pillow's own limit


def _voc_palette() -> list[int]:
    """The PASCAL VOC colour map that DAVIS uses: bit k of an id's interleaved bit planes sets bit 7-k of R, G, B."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for k in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * k + channel)) & 1) << (7 - k)).astype(np.uint8)
    return [int(value) for value in colours.flatten()]


PALETTE = _voc_palette()


@contextmanager
def opened(path: Path, what: str, remedy: str) -> Iterator[Pillow.Image]:
    """An image file, open: `with opened(…) as image: …`. The body reads it, and does nothing else.

    Raises UserError naming the file for whatever Pillow raises, and before the pixels are read for more than
    MOST_PIXELS of them: a few bytes may promise billions.
    """
    with reading(path, what, remedy), warnings.catch_warnings():
        warnings.simplefilter("ignore", Pillow.DecompressionBombWarning)  # half of them: large, but whole
        try:
            with Pillow.open(path) as image:
                _refuse_cut(image, path.stat().st_size)
                yield image
        except Pillow.DecompressionBombError as error:
            found = int(re.findall(r"\d+", str(error))[0])
            raise UserError(
                f"cannot read {what} {path}: by its header it has {found / 1e6:.0f} million pixels, more than the "
                f"{MOST_PIXELS / 1e6:.0f} million that are read; restore it, or scale it down"
            ) from error


def _refuse_cut(image: Pillow.Image, size: int) -> None:
    """Raises OSError for a JPEG that cannot hold all its pixels: decoding would fill them up with grey, for gigabytes.
    A block of 64 pixels takes one bit at least."""
    if image.format in ("JPEG", "MPO") and image.width * image.height > max(LARGE, 64 * 8 * size):
        sides = f"{image.height}×{image.width}"
        raise OSError(f"by its header it has {sides} pixels (rows×columns), more than {size} bytes can hold")


def read_image(path: Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image file as RGB in 0..255. Raises UserError naming the file if it is missing, truncated or not an image."""
    with opened(path, "image", "restore or remove this file") as image:
        return np.asarray(image.convert("RGB"))


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file, from its header alone. Raises UserError naming the file if it is not an
    image."""
    with opened(path, "image", "restore or remove this file") as image:
        return image.height, image.width


def read_label_map(path: Path, *, binary: bool = False) -> UInt8[np.ndarray, "h w"]:
    """An indexed (mode P) or 8-bit grey PNG as object ids: 0 background, 255 void.

    `binary`: any nonzero pixel is object 1. Nothing is converted silently: raises UserError naming the file for
    RGB(A) masks, 16-bit masks, grey masks of 2 or 4 bits (whose ids Pillow would scale), and unreadable files.
    """
    with opened(path, "mask", "restore this file") as image:
        mode, raw, labels = image.mode, _raw_mode(image), np.asarray(image)
    if raw in ("L;2", "L;4"):
        raise UserError(f"mask {path} has {raw[-1]} bits of grey, which are scaled when read: save 8-bit object ids")
    if mode.startswith(("I", "F")):
        raise UserError(f"mask {path} has mode {mode}: save object ids as an 8-bit indexed PNG (mode P)")
    if mode not in ("P", "L", "1"):
        raise UserError(f"mask {path} has mode {mode}, not an indexed PNG (mode P or L): save object ids, not colours")
    if binary or mode == "1":
        return (labels > 0).view(np.uint8)
    return labels.astype(np.uint8, copy=False)


def _raw_mode(image: Pillow.Image) -> str:
    """The pixel format in a PNG file: "L;4" is 4-bit grey. It is known before the pixels are read."""
    tiles = getattr(image, "tile", [])
    return str(tiles[0][3]) if tiles else ""


def resize_image(image: UInt8[np.ndarray, "h w 3"], height: int, width: int) -> UInt8[np.ndarray, "height width 3"]:
    """The image at another size. When shrinking, each pixel is the average of the area it covers."""
    if image.shape[:2] == (height, width):
        return image
    shrinks = height <= image.shape[0] and width <= image.shape[1]
    how = Pillow.Resampling.BOX if shrinks else Pillow.Resampling.BILINEAR
    return np.asarray(Pillow.fromarray(image).resize((width, height), how))


def resize_labels(labels: UInt8[np.ndarray, "h w"], height: int, width: int) -> UInt8[np.ndarray, "height width"]:
    """The label map at another size: every pixel takes the id nearest to its centre."""
    if labels.shape == (height, width):
        return labels
    rows, columns = nearest(labels.shape[0], height), nearest(labels.shape[1], width)
    resized: UInt8[np.ndarray, "height width"] = labels[rows[:, None], columns]
    return resized


def nearest(count: int, shown: int) -> Int[np.ndarray, " shown"]:
    """For each of `shown` pixels, the nearest of `count` pixels that span the same length."""
    return (2 * np.arange(shown) + 1) * count // (2 * shown)


def size_of_short_side(height: int, width: int, short_side: float) -> tuple[int, int]:
    """(height, width) with the same aspect ratio and the given shorter side."""
    ratio = short_side / min(height, width)
    return round(height * ratio), round(width * ratio)


def write_label_map(path: Path, labels: UInt8[np.ndarray, "h w"]) -> None:
    """Writes object ids as an indexed PNG with the VOC palette: written to a temporary file and renamed, so never half
    written."""
    image = Pillow.fromarray(labels, mode=None)
    image.putpalette(PALETTE)
    with replacing(path) as aside:
        image.save(aside, format="PNG", compress_level=1)
