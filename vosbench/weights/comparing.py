"""Whether two copies of a method give the same scores: both follow two objects through a made-up clip."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float

from vosbench.inference.memory import Memory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.video.video import Image, LabelMap

FRAMES, SIZE, STEP = 3, (128, 128), 4  # pixels that the objects move from frame to frame
GRAIN = 8  # pixels between the colours that are drawn: a network has something to match


@dataclass(frozen=True)
class Difference:
    """How far the scores of two methods lie apart, over all frames after the first, objects and pixels.

    mean, most  of the absolute differences, of scores between 0 and 1; NaN if a score is not finite
    relabelled  share of the pixels that get another label
    """

    mean: float
    most: float
    relabelled: float


def difference(
    one: Method[Any, Any], other: Method[Any, Any], memory: Callable[[], Memory[Any]], resizing: Resizing
) -> Difference:
    """How the scores of two methods differ on the clip, on the CPU."""
    runs = [list(_scores(Propagator(each.eval(), memory(), resizing))) for each in (one, other)]
    found, expected = (np.stack(run) for run in runs)
    apart = np.abs(found - expected)
    relabelled = (found.argmax(1) != expected.argmax(1)).mean()
    return Difference(float(apart.mean()), float(apart.max()), float(relabelled))


def _scores(propagator: Propagator[Any, Any]) -> Iterator[Float[np.ndarray, "n h w"]]:
    for index, (image, mask) in enumerate(_clip()):
        propagator.step(image, None if index else mask)
        if index:
            yield propagator.scores


def _clip() -> Iterator[tuple[Image, LabelMap]]:
    """Two rectangles that move to the right over a ground that stands still, with their masks."""
    ground, figure = (_texture(seed) for seed in (0, 1))
    h, w = SIZE
    for index in range(FRAMES):
        mask = np.zeros(SIZE, np.uint8)
        for id, top in ((1, h // 8), (2, h // 2)):
            mask[top : top + h // 4, w // 4 + STEP * index : w // 2 + STEP * index] = id
        moved = np.roll(figure, STEP * index, axis=1)
        yield np.where(mask[..., None] > 0, moved, ground), mask


def _texture(seed: int) -> Image:
    h, w = SIZE
    drawn = torch.rand(1, 3, h // GRAIN, w // GRAIN, generator=torch.Generator().manual_seed(seed))
    smooth = nnf.interpolate(drawn, SIZE, mode="bilinear")[0]
    return (255 * smooth).byte().permute(1, 2, 0).numpy()
