"""What a caller gives for a frame, checked: the frame itself, and a mask."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Integer

from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns
from vosbench.video.palette import VOID
from vosbench.video.video import Image, LabelMap

Mask = Integer[np.ndarray, "h w"] | Bool[np.ndarray, "h w"]


def checked_frame(image: Any, before: Image | None) -> Image:
    """The image. Raises UserError unless it is uint8 RGB, of the size of the frame before."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise UserError(f"a frame is {_described(image)}: give RGB as a uint8 array of (height, width, 3)")
    if before is not None and image.shape != before.shape:
        sizes = f"{rows_columns(image.shape[:2])} (rows×columns), the one before {rows_columns(before.shape[:2])}"
        raise UserError(f"a frame is {sizes}: call reset() before another video")
    return image


def checked_mask(mask: Any, image: Image) -> LabelMap | None:
    """The mask as a label map; None if it shows no object. Raises UserError unless it holds object ids, or is true for
    object 1, and has the size of its frame."""
    if not isinstance(mask, np.ndarray) or mask.dtype.kind not in "iub" or mask.ndim != 2:
        raise UserError(f"the given mask is {_described(mask)}: give object ids as an integer array of (height, width)")
    if mask.shape != image.shape[:2]:
        sizes = f"{rows_columns(mask.shape)} (rows×columns), its frame {rows_columns(image.shape[:2])}"
        raise UserError(f"the given mask is {sizes}: give one of its size")
    low, high = int(mask.min()), int(mask.max())
    if low < 0 or high >= VOID:
        raise UserError(f"the given mask has the id {low if low < 0 else high}: give 1 to {VOID - 1}, and 0 elsewhere")
    return mask.astype(np.uint8) if high else None


def _described(value: Any) -> str:
    return f"{value.dtype} of shape {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"
