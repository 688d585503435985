"""A made-up video and clips of it, on which `vosbench check method=…` tries a method."""

import numpy as np
import torch

from vosbench.contract import Clip
from vosbench.video.video import Image, LabelMap

SIZE = (46, 62)  # no multiple of any stride
FRAMES = 5
START = {3: 0, 200: 0, 17: 3}  # object → the frame that it starts at
BOXES = ((3, (220, 60, 60), 0, 0, 46, 24), (200, (60, 220, 60), 2, 32, 44, 26), (17, (60, 60, 230), 14, 20, 20, 18))


def frame(index: int) -> tuple[Image, LabelMap]:
    """A frame and its true label map: rectangles of one colour each move over a texture, and two fill most of it."""
    h, w = SIZE
    y, x = np.mgrid[:h, :w]
    image = np.stack([90 + 40 * np.sin((x + 2 * y) / 5), 100 + 40 * np.cos((2 * x - y) / 7), 0 * x + 80], 2)
    labels = np.zeros(SIZE, np.uint8)
    for label, colour, top, left, height, width in BOXES:
        box = (slice(top, top + height), slice(left + index, left + index + width))
        image[box] = np.array(colour) + 20 * ((x + y) % 6 > 2)[box][..., None]
        labels[box] = label
    return image.astype(np.uint8), labels


def given(index: int) -> LabelMap | None:
    """The mask of the objects that start in a frame; None if none does."""
    labels = frame(index)[1]
    starting = np.isin(labels, [label for label, start in START.items() if start == index])
    return np.where(starting, labels, 0).astype(np.uint8) if starting.any() else None


def clip(size: int = 44) -> Clip:
    """Two clips of two square frames with their labels, which may pass for pseudo-labels too."""
    pairs = [[frame(0), frame(2)], [frame(1), frame(4)]]
    images = torch.tensor(np.array([[image[:size, :size] for image, _ in pair] for pair in pairs]))
    labels = torch.tensor(np.array([[labels[:size, :size] for _, labels in pair] for pair in pairs])).long()
    frames = images.permute(0, 1, 4, 2, 3) / 255
    valid = torch.ones(labels.shape, dtype=torch.bool)
    return Clip(frames, labels, torch.tensor([[0, 5], [2, 9]]), ("one", "two"), valid, labels)
