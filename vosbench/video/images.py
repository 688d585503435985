"""Images and label maps: reading, writing and resizing them. Numpy and Pillow only."""

from pathlib import Path

import numpy as np
from jaxtyping import Int, UInt8
from PIL import Image as Pillow

from vosbench.util.errors import UserError
from vosbench.util.files import replacing
from vosbench.video.depth import raw_mode, scaled
from vosbench.video.formats import pictures_in
from vosbench.video.judgement import LOSSY, SHADES, grey_levels, not_ids
from vosbench.video.opening import opened
from vosbench.video.orientation import upright, upright_size
from vosbench.video.palette import PALETTE, VOID


def read_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image file as RGB in 0..255, upright as its EXIF orientation says. Transparency is ignored.

    More than 8 bits are scaled to 8: 16 bits count from 0 to 65,535, floating-point numbers from 0 to 1, and numbers of
    any other range from the image's own smallest to its largest. Raises UserError naming the file if it is missing,
    truncated, not an image, or an animation.
    """
    path = Path(path)
    with opened(path, "image", "restore or remove this file") as image:
        _check_single(image, path)
        raw, file_format, wide = raw_mode(image), image.format, image.mode.startswith(("I", "F"))
        image.load()
        shown = upright(image)
        if image.mode == "P":
            shown.info.pop("transparency", None)  # Pillow would warn that it is ignored
        shown = shown if wide else shown.convert("RGB")
    return np.repeat(scaled(shown, file_format, raw)[:, :, None], 3, axis=2) if wide else np.asarray(shown)


def image_size(path: Path) -> tuple[int, int]:
    """(height, width) of an image file as `read_image` gives it, from its header alone. Raises UserError naming the
    file if it is not an image."""
    with opened(path, "image", "restore or remove this file") as image:
        return upright_size(image)


def read_label_map(path: str | Path, *, binary: bool = False, judged: bool = False) -> UInt8[np.ndarray, "h w"]:
    """An indexed (mode P) or 8-bit grey image as object ids: 0 background, 255 void. It is upright as its EXIF
    orientation says.

    binary  any nonzero pixel is object 1
    judged  values that are shades of grey are an error (see `grey_levels`)

    Nothing is converted silently: raises UserError naming the file for RGB(A) masks, 16-bit masks, grey masks of 2 or 4
    bits (whose ids Pillow would scale), JPEG (whose compression changes ids), and unreadable files.
    """
    path = Path(path)
    with opened(path, "mask", "restore this file, or give a PNG") as image:
        _check_single(image, path)
        mode, fault = image.mode, not_ids(image)
        image.load()
        labels = np.asarray(upright(image))
        lossy = image.format in LOSSY
    if fault:
        raise UserError(f"mask {path} {fault}")
    if lossy and ((labels > 0) & (labels < VOID)).any():
        raise UserError(f"mask {path} is a JPEG, whose compression changes ids: save object ids as an indexed PNG")
    if judged and (levels := grey_levels(labels, mode, binary=binary)):
        raise UserError(f"mask {path} {SHADES.format(levels=levels)}")
    if binary or mode == "1":
        return (labels > 0).view(np.uint8)
    return labels.astype(np.uint8, copy=False)


def _check_single(image: Pillow.Image, path: Path) -> None:
    """Raises UserError for a file of several pictures, of which only the first would be read."""
    if (count := pictures_in(image)) > 1:
        raise UserError(f"image {path} holds {count} pictures: save each of them in a file of its own")


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


def write_label_map(path: str | Path, labels: UInt8[np.ndarray, "h w"]) -> None:
    """Writes object ids as an indexed PNG with the VOC palette: written to a temporary file and renamed, so never half
    written."""
    image = Pillow.fromarray(labels, mode=None)
    image.putpalette(PALETTE)
    with replacing(Path(path)) as aside:
        image.save(aside, format="PNG", compress_level=1)
