"""Opening image files: what is damaged or far too large is one error that names the file."""

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image as Pillow
from PIL import PngImagePlugin

from vosbench.util.errors import UserError
from vosbench.util.reading import reading

LARGE = 2**24  # pixels: what takes no memory worth a thought need not be judged
MOST_PIXELS = 2 * (Pillow.MAX_IMAGE_PIXELS or 0)  # Pillow opens no image that has more: 179 million
PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY  # editors leave notes above 1 MB, Pillow's own limit


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
