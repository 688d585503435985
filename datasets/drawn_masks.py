"""First masks from boxes or points: GrabCut (Rother et al. 2004) finds the object."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns
from vosbench.video.video import Image, LabelMap

ROUNDS = 5
FORMS = "mask=box:<left>,<top>,<right>,<bottom> or mask=points:<x>,<y>,<x>,<y>, with a ; between objects"


@dataclass(frozen=True)
class Drawn:
    """What was drawn of each object, in pixels: a box (left, top, right, bottom), or points (x, y) inside of it."""

    kind: str
    objects: tuple[tuple[int, ...], ...]

    @classmethod
    def parse(cls, text: str) -> "Drawn | None":
        """Of box:120,80,300,240 or points:200,150,210,160, with a semicolon between objects; None for other text.

        Raises UserError if numbers are missing.
        """
        kind, colon, rest = text.partition(":")
        if kind not in ("box", "points") or not colon or "/" in rest:
            return None
        objects = [re.findall(r"-?\d+", part) for part in rest.split(";")]
        numbers = tuple(tuple(map(int, each)) for each in objects)
        if re.sub(r"[-\d,; ]", "", rest) or any(
            len(each) != 4 if kind == "box" else not each or len(each) % 2 for each in numbers
        ):
            raise UserError(f"mask={text} cannot be understood: give {FORMS}")
        return cls(kind, numbers)

    def mask(self, image: Image) -> LabelMap:
        """Objects 1, 2, …; later ones lie over earlier ones. Raises UserError for what lies outside of the frame, and
        where no object is found."""
        labels: LabelMap = np.zeros(image.shape[:2], np.uint8)
        for id_, numbers in enumerate(self.objects, 1):
            what = f"{self.kind} {','.join(map(str, numbers))}"
            self._check(numbers, image, what)
            found = _in_box(image, numbers) if self.kind == "box" else _around(image, _pairs(numbers))
            if not found.any():
                raise UserError(f"mask: no object is found for {what}: draw it otherwise, or give a mask as a PNG")
            labels[found] = id_
        return labels

    def _check(self, numbers: Sequence[int], image: Image, what: str) -> None:
        height, width = image.shape[:2]
        last = 0 if self.kind == "box" else 1  # a box ends before its right and bottom
        if not all(0 <= x <= width - last and 0 <= y <= height - last for x, y in _pairs(numbers)):
            raise UserError(f"mask: {what} is not in the frame of {rows_columns((height, width))} pixels")
        if self.kind == "box" and not (numbers[0] + 2 < numbers[2] and numbers[1] + 2 < numbers[3]):
            raise UserError(f"mask: {what} is no box: give left,top,right,bottom")


def _pairs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    return list(zip(numbers[::2], numbers[1::2], strict=True))


def _in_box(image: Image, box: Sequence[int]) -> np.ndarray:
    """Everything outside of the box is background."""
    known = np.full(image.shape[:2], cv2.GC_BGD, np.uint8)
    left, top, right, bottom = box
    known[top:bottom, left:right] = cv2.GC_PR_FGD
    return _grabbed(image, known)


def _around(image: Image, points: Sequence[tuple[int, int]]) -> np.ndarray:
    """Small disks around the points are the object; it is expected nearby, and not at the border of the frame. What
    does not hang together with a point is none of it."""
    short, known = min(image.shape[:2]), np.full(image.shape[:2], cv2.GC_PR_BGD, np.uint8)
    edge = max(1, short // 50)
    for part in (known[:edge], known[-edge:], known[:, :edge], known[:, -edge:]):
        part[:] = cv2.GC_BGD
    for radius, value in ((short // 6, cv2.GC_PR_FGD), (max(2, short // 50), cv2.GC_FGD)):
        for point in points:
            cv2.circle(known, point, radius, value, cv2.FILLED)
    found = _grabbed(image, known)
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    return np.asarray(found & np.isin(parts, [parts[y, x] for x, y in points]))


def _grabbed(image: Image, known: np.ndarray) -> np.ndarray:
    """The foreground. The random numbers of OpenCV are always the same."""
    cv2.setRNGSeed(0)
    models: tuple[Any, Any] = np.zeros((1, 65)), np.zeros((1, 65))
    if not (known == cv2.GC_BGD).any():  # a box around the whole frame
        raise UserError("mask: the box leaves no background to compare with: give a smaller one")
    unused = (0, 0, 1, 1)  # a rectangle, which is for another mode
    found, *_ = cv2.grabCut(image[..., ::-1].copy(), known, unused, *models, ROUNDS, cv2.GC_INIT_WITH_MASK)
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))
