"""What the pixels of label maps stand for: the id of void, and the colours in which ids are shown."""

import numpy as np

VOID = 255  # a pixel that is neither background nor object, and never scored


def _voc_palette() -> list[int]:
    """The PASCAL VOC colour map that DAVIS uses: bit k of an id's interleaved bit planes sets bit 7-k of R, G, B."""
    ids = np.arange(256)
    colours = np.zeros((256, 3), np.uint8)
    for k in range(8):
        for channel in range(3):
            colours[:, channel] |= (((ids >> (3 * k + channel)) & 1) << (7 - k)).astype(np.uint8)
    return [int(value) for value in colours.flatten()]


PALETTE = _voc_palette()
