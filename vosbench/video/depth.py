"""Frames of more than 8 bits a channel, such as thermal video: they are scaled to 8 bits, never clipped."""

import numpy as np
from jaxtyping import UInt8
from PIL import Image as Pillow

SIXTEEN_BITS = 65535
TWELVE_BITS = 4095


def raw_mode(image: Pillow.Image) -> str:
    """The pixel format in a file: "L;4" is 4-bit grey. It is known before the pixels are read; "": unknown."""
    arguments = _decoding(image)
    return str(arguments[0]) if arguments else ""


def largest_value(image: Pillow.Image) -> int:
    """The value that stands for white in a PNM file. Pillow scales others than 255 as it reads them."""
    arguments = _decoding(image)
    scaled_from = arguments[1] if image.format == "PPM" and len(arguments) == 2 else None
    return scaled_from if isinstance(scaled_from, int) else 255


def is_deep(image: Pillow.Image) -> bool:
    """Whether the file has more than 8 bits a channel. Ask before its pixels are loaded."""
    return image.mode.startswith(("I", "F")) or ";16" in raw_mode(image) or largest_value(image) > 255


def scaled(image: Pillow.Image, file_format: str | None, raw: str) -> UInt8[np.ndarray, "h w"]:
    """The pixels of an image of mode I;16, I or F as 8-bit grey.

    file_format, raw  of the file: its format and pixel format

    16 bits count from 0 to 65,535, and 12 bits from 0 to 4,095. Floating-point numbers count from 0 to 1 if all are
    within. Other numbers have no range that is known, and are scaled from the image's own smallest to its largest.
    Pixels that are not finite become black.
    """
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (file_format == "PPM" and image.mode == "I"):  # Pillow scales PNM to 16 bits
        top = TWELVE_BITS if raw == "I;12" else SIXTEEN_BITS
        return ((values.astype(np.uint32) * 255 + top // 2) // top).astype(np.uint8)
    finite = np.isfinite(values)
    values = np.where(finite, values, 0).astype(np.float64)
    low, high = (float(values[finite].min()), float(values[finite].max())) if finite.any() else (0.0, 0.0)
    if image.mode == "F" and low >= 0 and high <= 1:
        low, high = 0.0, 1.0
    grey = np.where(finite, (values - low) * (255 / (high - low or 1)), 0)
    return np.rint(grey).astype(np.uint8)


def _decoding(image: Pillow.Image) -> tuple[object, ...]:
    """What Pillow's decoder of an opened file is told: the pixel format, and more for some formats."""
    tiles = getattr(image, "tile", [])
    arguments = tiles[0][3] if tiles else ()
    return arguments if isinstance(arguments, tuple) else (arguments,)
