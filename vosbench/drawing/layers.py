"""Label maps as transparent pictures: a page lays them over a frame, which it then needs only once for all methods."""

import io

import numpy as np
from PIL import Image as Pillow

from vosbench.drawing.overlays import COLOURS, LabelMap, contour
from vosbench.video.palette import VOID

TINT = 128  # opacity of an object, of 255; its contour is opaque


def layer_bytes(labels: LabelMap) -> bytes:
    """The picture that `overlays.overlay` would lay over a frame, as a PNG of as few colours as possible."""
    ids = np.unique(labels[(labels != 0) & (labels != VOID)])[:127]  # each takes two of 256 colours
    places = np.zeros(256, np.uint8)
    places[ids] = np.arange(1, len(ids) + 1)
    pixels = places[labels]
    pixels[contour(labels) & (pixels > 0)] += len(ids)
    image = Pillow.fromarray(pixels, mode=None).convert("P")
    image.putpalette([0, 0, 0, *np.tile(COLOURS[ids], (2, 1)).flatten().tolist()])
    buffer = io.BytesIO()
    opacity = bytes([0, *[TINT] * len(ids), *[255] * len(ids)])
    image.save(buffer, format="PNG", optimize=True, transparency=opacity)
    return buffer.getvalue()
