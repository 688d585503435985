"""Contact sheets: images in rows and columns on white, with titles and captions."""

from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vosbench.drawing.overlays import PAPER, TEXT, Picture
from vosbench.util.errors import UserError


def contact_sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str] | None = None,
    width: int = 1200,
    captions: Sequence[Sequence[str]] | None = None,
) -> Picture:
    """A sheet `width` pixels wide, with rows of equally many images on white. `titles` are above the columns.

    Each image is resized to its column's width; a row is as high as its highest image. `captions`: one above each
    image. Raises UserError if the numbers of images, titles or captions do not agree.
    """
    count = len(rows[0]) if rows else 0
    if not count or any(len(row) != count for row in rows):
        raise ValueError(f"a contact sheet needs rows of equally many images, not {[len(row) for row in rows]}")
    if titles is not None and len(titles) != count:
        raise ValueError(f"a contact sheet of {len(rows)} rows and {count} columns needs as many titles")
    if captions is not None and [len(row) for row in captions] != [count] * len(rows):
        raise ValueError(f"a contact sheet of {len(rows)} rows and {count} columns needs as many captions")
    font, gap = _font(max(12, width // 80)), max(2, width // 400)
    line = round(font.size * 1.4)
    cell = (width - gap * (count + 1)) // count
    if cell < 8:
        raise UserError(f"a contact sheet of {count} columns does not fit into {width} pixels: make it wider")
    scaled = [[_fit(image, cell) for image in row] for row in rows]
    small = _font(max(11, cell // 27))  # for captions, one per image
    above = round(small.size * 1.4) if captions else 0
    heights = [max(image.height for image in row) for row in scaled]
    top = line + gap if titles else gap
    sheet = Pillow.new("RGB", (width, top + sum(heights) + (above + gap) * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles or ()):
        centre = gap + column * (cell + gap) + cell / 2
        draw.text((centre, top - gap), _shorten(title, font, cell), TEXT, font, anchor="md")
    for i, (row, height) in enumerate(zip(scaled, heights, strict=True)):
        for column, caption in enumerate(captions[i] if captions else ()):
            place = (gap + column * (cell + gap), top + above - gap)
            draw.text(place, _shorten(caption, small, cell), TEXT, small, anchor="ld")
        top += above
        for column, image in enumerate(row):
            sheet.paste(image, (gap + column * (cell + gap), top))
        top += height + gap
    return np.asarray(sheet)


def _fit(image: Picture, width: int) -> Pillow.Image:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return Pillow.fromarray(image).resize((width, height), Pillow.Resampling.LANCZOS)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: it is the same on every machine and has accents and arrows."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)
