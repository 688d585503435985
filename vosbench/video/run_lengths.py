"""COCO's run lengths: masks as the lengths of runs of 0 and 1 in turn, down the columns, as numbers or as text.

pycocotools believes what a file says. So nothing is decoded before the runs are known to fill the mask exactly, and no
mask is made of a size that the caller does not expect.
"""

import warnings
from typing import Any

import numpy as np
from jaxtyping import Bool, Int64

from vosbench.util.errors import UserError

FIRST, DIGITS, MORE, SIGN = 48, 31, 32, 16  # of a character: its offset, the bits of a number, "more follows", "minus"
LONGEST = 7  # characters of a number, which are 35 bits
WRONG = "its RLE does not decode: its runs do not add up to the pixels of a frame"


def decode(rle: Any, size: tuple[int, int]) -> Bool[np.ndarray, "h w"]:
    """The mask of an RLE, compressed or not. Raises UserError if it is invalid or has another (height, width)."""
    from pycocotools import mask

    if not isinstance(rle, dict) or not isinstance(rle.get("counts"), str | list):
        raise UserError('its RLE is not {"size": [height, width], "counts": …}')
    if rle.get("size") != [*size]:
        raise UserError(f"its RLE has size {str(rle.get('size'))[:40]}, the video {[*size]} (height, width)")
    counts, pixels = rle["counts"], size[0] * size[1]
    if isinstance(counts, list):
        if not all(type(run) is int and run >= 0 for run in counts) or sum(counts) != pixels:
            raise UserError(WRONG)
        rle = mask.frPyObjects(rle, *size)
    elif not _fills(counts, pixels):
        raise UserError(WRONG)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of pycocotools 2.0.11 under numpy 2
        try:
            decoded = mask.decode(rle)
        except ValueError as error:
            raise UserError(f"its RLE does not decode: {error}") from error
    found: Bool[np.ndarray, "h w"] = decoded.view(np.bool_)
    return found


def _fills(text: str, pixels: int) -> bool:
    """Whether runs as text are valid and add up to a number of pixels."""
    runs = _runs(text)
    return runs is not None and bool((runs >= 0).all()) and bool((runs <= pixels).all()) and int(runs.sum()) == pixels


def _runs(text: str) -> Int64[np.ndarray, " n"] | None:
    """The runs that text holds, or None if it cannot be read. From the fourth on, a number is the difference to the run
    before the last."""
    characters = np.frombuffer(text.encode(errors="surrogatepass"), np.uint8).astype(np.int64) - FIRST
    if not len(characters) or characters.min() < 0 or characters.max() > MORE + DIGITS or characters[-1] & MORE:
        return None
    starts = np.r_[0, np.flatnonzero(characters & MORE == 0)[:-1] + 1]
    lengths = np.diff(np.r_[starts, len(characters)])
    if lengths.max() > LONGEST:
        return None
    places = 5 * (np.arange(len(characters)) - np.repeat(starts, lengths))
    numbers = np.add.reduceat((characters & DIGITS) << places, starts)
    minus = characters[starts + lengths - 1] & SIGN != 0
    numbers = numbers - np.where(minus, np.int64(1) << 5 * lengths, 0)
    for first in (1, 2):
        numbers[first::2] = np.cumsum(numbers[first::2])
    return numbers
