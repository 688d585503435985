"""EXIF orientation: how an image file says that it is to be turned or mirrored. Viewers do so, and so do we."""

import struct
import warnings

from PIL import ExifTags
from PIL import Image as Pillow

UPRIGHT = 1
SIDEWAYS = (5, 6, 7, 8)  # those that swap rows and columns
TURNS = {
    2: Pillow.Transpose.FLIP_LEFT_RIGHT,
    3: Pillow.Transpose.ROTATE_180,
    4: Pillow.Transpose.FLIP_TOP_BOTTOM,
    5: Pillow.Transpose.TRANSPOSE,
    6: Pillow.Transpose.ROTATE_270,
    7: Pillow.Transpose.TRANSVERSE,
    8: Pillow.Transpose.ROTATE_90,
}
SOURCES = ("exif", "Raw profile type exif", "XML:com.adobe.xmp", "xmp")
BROKEN = (SyntaxError, ValueError, TypeError, KeyError, IndexError, OSError, struct.error)


def orientation(image: Pillow.Image) -> int:
    """The EXIF orientation, 1 to 8, of an image that Pillow has opened; its pixels need not be loaded.

    1 (upright) if there is none, or none that can be understood: viewers ignore broken EXIF, too.
    """
    if image.format == "TIFF":
        return _checked(getattr(image, "tag_v2", {}).get(ExifTags.Base.Orientation))
    if image.format == "PNG" and "exif" not in image.info and (late := _late_exif(image)):
        image.info["exif"] = late
    if not any(source in image.info for source in SOURCES):
        return UPRIGHT
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of corrupt EXIF
            return _checked(Pillow.Image.getexif(image).get(ExifTags.Base.Orientation))  # a PNG's own decodes pixels
    except BROKEN:
        return UPRIGHT


def upright(image: Pillow.Image) -> Pillow.Image:
    """The image as viewers show it, with the same mode and palette."""
    if image.format == "TIFF":  # Pillow turns these as it loads them
        return image
    turn = TURNS.get(orientation(image))
    return image if turn is None else image.transpose(turn)


def upright_size(image: Pillow.Image) -> tuple[int, int]:
    """(height, width) of `upright(image)`. Pixels are not loaded."""
    swapped = image.format != "TIFF" and orientation(image) in SIDEWAYS
    return (image.width, image.height) if swapped else (image.height, image.width)


def _checked(value: object) -> int:
    return value if isinstance(value, int) and value in TURNS else UPRIGHT


def _late_exif(image: Pillow.Image) -> bytes | None:
    """The EXIF of a PNG that has it after its pixels, where Pillow writes it but does not look before loading them."""
    file = getattr(image, "fp", None)
    if file is None or not hasattr(file, "seek"):  # loaded: then Pillow has found it
        return None
    position, found = file.tell(), None
    file.seek(8)
    while len(head := file.read(8)) == 8:
        length, kind = struct.unpack(">I4s", head)
        if kind == b"eXIf":
            found = b"Exif\0\0" + file.read(length)
            break
        file.seek(length + 4, 1)
    file.seek(position)
    return found
