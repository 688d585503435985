"""First masks from boxes, points or a rough drawing: GrabCut (Rother et al. 2004) finds the object."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool, UInt8

from vosbench.util.errors import UserError
from vosbench.video.video import Image, LabelMap

ROUNDS = 5
REFINING = 2  # rounds: with 5, masks are hardly better, and take twice as long
CLUES = np.array(  # what clues 0 to 4 are to GrabCut, far from what was painted and near to it
    [
        [cv2.GC_BGD, cv2.GC_FGD, cv2.GC_BGD, cv2.GC_FGD, cv2.GC_BGD],
        [cv2.GC_PR_BGD, cv2.GC_PR_FGD, cv2.GC_BGD, cv2.GC_FGD, cv2.GC_BGD],
    ],
    np.uint8,
)
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
                raise UserError(f"mask: no object is found for {what}: draw it otherwise, or paint it")
            labels[found] = id_
        return labels

    def _check(self, numbers: Sequence[int], image: Image, what: str) -> None:
        height, width = image.shape[:2]
        last = 0 if self.kind == "box" else 1  # a box ends before its right and bottom
        if not all(0 <= x <= width - last and 0 <= y <= height - last for x, y in _pairs(numbers)):
            raise UserError(
                f"mask: {what} is not in the frame: give x up to {width - last} and y up to {height - last}"
            )
        if self.kind == "box" and not (numbers[0] + 2 < numbers[2] and numbers[1] + 2 < numbers[3]):
            raise UserError(f"mask: {what} is no box: give left,top,right,bottom, at least 3 pixels wide and high")


def refined(image: Image, clues: UInt8[np.ndarray, "h w"]) -> Bool[np.ndarray, "h w"]:
    """The pixels of one object, corrected near to what was painted by hand.

    clues  of each pixel. 0: background so far, 1: the object so far, 2: painted as background, 3: painted as the
           object, 4: another object

    Up to a tenth of the frame's shorter side from something painted, GrabCut decides anew. Farther away all stays as it
    was. What then hangs together with nothing that was the object is none of it. Raises UserError if nothing is
    painted, and if there is no object or no background to compare with.
    """
    painted, rough = np.isin(clues, (2, 3)), np.isin(clues, (1, 3))
    if not painted.any():
        raise UserError("mask: nothing was painted or erased: do so where the object is wrong")
    if not rough.any() or rough.all():
        missing = "background: erase" if rough.any() else "object: paint"
        raise UserError(f"mask: there is no {missing} some first")
    near = cv2.distanceTransform((~painted).astype(np.uint8), cv2.DIST_L2, 5) <= max(2, min(clues.shape) / 10)
    part, found = _box_of(near), rough.copy()
    if rough[part].any() and not rough[part].all():
        found[part] = _grabbed(image[part], CLUES[near[part].astype(int), clues[part]], REFINING)
    _, parts = cv2.connectedComponents(found.astype(np.uint8))
    return np.asarray(found & np.isin(parts, np.unique(parts[rough & found])))


def _box_of(mask: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns of a mask and some around it, which are only compared with."""
    margin = min(mask.shape) // 12
    spans = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
    rows, columns = (slice(max(0, int(at[0]) - margin), int(at[-1]) + margin + 1) for at in spans)
    return rows, columns


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


def _grabbed(image: Image, known: np.ndarray, rounds: int = ROUNDS) -> np.ndarray:
    """The foreground. The random numbers of OpenCV are always the same."""
    cv2.setRNGSeed(0)
    models: tuple[Any, Any] = np.zeros((1, 65)), np.zeros((1, 65))
    if not np.isin(known, (cv2.GC_BGD, cv2.GC_PR_BGD)).any():  # a box around the whole frame
        raise UserError("mask: the box leaves no background to compare with: give a smaller one")
    unused = (0, 0, 1, 1)  # a rectangle, which is for another mode
    found, *_ = cv2.grabCut(image[..., ::-1].copy(), known, unused, *models, rounds, cv2.GC_INIT_WITH_MASK)
    return np.asarray((found == cv2.GC_FGD) | (found == cv2.GC_PR_FGD))
