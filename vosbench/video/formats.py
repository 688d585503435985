"""Which files of a folder are frames, masks, or images in a format that is not read. Endings count, in either case."""

from collections.abc import Iterable
from pathlib import Path

from PIL import Image as Pillow

# Pillow's formats for single pictures. Its list of endings would take every scoring process 0.1 s to load.
FRAME_SUFFIXES = frozenset(
    [
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".webp", ".avif", ".bmp", ".dib", ".tif", ".tiff"),
        *(".ppm", ".pgm", ".pbm", ".pnm", ".pfm", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx"),
        *(".tga", ".sgi", ".ras", ".pcx", ".qoi", ".dds", ".psd", ".fits"),
    ]
)
# Of these, the formats that keep every id and have one number per pixel.
MASK_SUFFIXES = frozenset([".png", ".bmp", ".dib", ".tif", ".tiff", ".pgm", ".pbm", ".pnm", ".tga", ".pcx"])
# Pictures and animations that are not read. (Icons are not among them: file managers put them into folders.)
UNREAD_SUFFIXES = frozenset(
    [
        *(".gif", ".apng", ".avifs", ".heic", ".heif", ".jxl", ".jxr", ".exr", ".hdr", ".svg", ".eps"),
        *(".dng", ".cr2", ".cr3", ".nef", ".arw", ".raf", ".orf", ".rw2"),
    ]
)
USUAL_FRAMES = ".jpg, .png, .webp, .tif, .bmp, …"  # for messages


def pictures_in(image: Pillow.Image) -> int:
    """The number of pictures in an opened file: pages, or frames of an animation. Those beside a camera's JPEG, such as
    its preview, do not count."""
    return 1 if image.format == "MPO" else int(getattr(image, "n_frames", 1))


def is_frame(path: Path) -> bool:
    return path.suffix.lower() in FRAME_SUFFIXES


def is_mask(path: Path) -> bool:
    return path.suffix.lower() in MASK_SUFFIXES


def is_image(path: Path) -> bool:
    """Whether this is a picture, readable or not."""
    return path.suffix.lower() in FRAME_SUFFIXES | UNREAD_SUFFIXES


def unread_frames(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The pictures among some files that cannot be read as frames."""
    return tuple(path for path in paths if is_image(path) and not is_frame(path))


def unread_masks(paths: Iterable[Path]) -> tuple[Path, ...]:
    """The pictures among some files that cannot be read as masks. JPEG is one: its compression changes ids."""
    return tuple(path for path in paths if is_image(path) and not is_mask(path))
