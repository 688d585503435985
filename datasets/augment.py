"""Augmentation of training clips as in MUNet: flips, affine maps, colour jitter, and random resized crops.

The paper names the steps; their magnitudes are those of AFB-URR (Liang et al. 2020), whose recipe it follows.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int, UInt8
from torch import Tensor
from torchvision.transforms.v2 import functional as transform

from vosbench.util.errors import UserError
from vosbench.video.palette import VOID

Matrix = Float64[np.ndarray, "3 3"]  # of points (x, y, 1) in pixels, with pixel centres at halves
Place = Float64[np.ndarray, "2"]  # of a crop in its frame: (x, y), from 0 (left, top) to 1 (right, bottom)
Jitter = tuple[tuple[int, float], ...]  # which of ADJUSTMENTS, and its factor (of hue: turns), in order

ADJUSTMENTS = (
    transform.adjust_brightness,
    transform.adjust_contrast,
    transform.adjust_saturation,
    transform.adjust_hue,
)


@dataclass(frozen=True)
class Warp:
    """Maps the pixels of a clip to its frames, and changes their colours.

    matrices  map points of the clip to points of the frame, both (x, y, 1) with -1 to 1 across the image
    jitters   of each frame
    size      height and width of the clip, in pixels
    """

    matrices: Float[Tensor, "t 2 3"]
    jitters: tuple[Jitter, ...]
    size: int

    def images(self, frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 s s"]:
        """RGB in [0, 1], sampled bilinearly; black outside the frame."""
        warped = self._sample(frames.float() / 255, "bilinear").clamp(0, 1)  # weights sum to 1 up to rounding
        coloured = [_adjusted(image, jitter) for image, jitter in zip(warped, self.jitters, strict=True)]
        return torch.stack(coloured) * self.valid()[:, None]

    def labels(self, maps: UInt8[Tensor, "t h w"]) -> Int[Tensor, "t s s"]:
        """Ids of the nearest pixels; background outside the frame."""
        return self._sample(maps[:, None].float(), "nearest")[:, 0].long() * self.valid()

    def valid(self) -> Bool[Tensor, "t s s"]:
        """True inside the frame."""
        return self._places().abs().amax(-1) <= 1

    def _sample(self, images: Float[Tensor, "t c h w"], mode: Literal["bilinear", "nearest"]) -> Tensor:
        # Border colours extend outwards, so that nothing outside is mixed in; the outside is blanked later.
        return torch.nn.functional.grid_sample(images, self._places(), mode, "border", align_corners=False)

    def _places(self) -> Float[Tensor, "t s s 2"]:
        shape = [len(self.matrices), 1, self.size, self.size]
        return torch.nn.functional.affine_grid(self.matrices, shape, align_corners=False)


class Augment:
    """Draws the augmentation of a clip. Images are resampled once, by one matrix (flip, affine, crop), without
    anti-aliasing: frames should not be much larger than twice the clip.

    flip         probability of mirroring
    jitter       largest distance from 1 of the factors of brightness, contrast and saturation; largest hue shift, in
                 turns
    rotation     largest angle in degrees, either way; likewise `shear` (along rows)
    shift        largest share of width and height, either way
    scale        smallest and largest magnification
    area         smallest and largest crop, as a share of the frame; or such a pair for each source by name
    aspect       narrowest and widest crop, as width / height; crops are resized to a square
    tries        most draws of a crop until it shows an object; see below
    shared       true: all frames of a clip, the first included, have the same flip, affine map and crop, so that motion
                 between neighbours stays small for a cost volume; the frames after the first share one jitter. false:
                 each frame has its own, and the first only a crop. The paper augments "current" frames, which suggests
                 false. Between 0 and 1: the share of the clips for which it is true
    shared_flip  with shared=false: all frames of a clip still have the same flip

    The first frame is never jittered. Its crop is drawn again until it has a pixel of any object; crops of later frames
    are drawn again until they have a pixel of an object that the first shows. A crop that does not fit the frame (no
    square covers .8 of a wide frame) is made as large as fits. Its position is then shared by the clip, even with
    shared=false, so that frames do not jump.
    """

    def __init__(
        self,
        flip: float = 0.3,
        jitter: Sequence[float] = (0.1, 0.1, 0.1, 0.02),
        rotation: float = 15.0,
        shift: float = 0.1,
        scale: Sequence[float] = (0.95, 1.05),
        shear: float = 10.0,
        area: Sequence[float] | Mapping[str, Sequence[float]] = (0.8, 1.0),
        aspect: Sequence[float] = (0.95, 1.05),
        tries: int = 10,
        shared: bool | float = True,
        shared_flip: bool = True,
    ) -> None:
        areas = area.items() if isinstance(area, Mapping) else [("", area)]
        _check(0 <= flip <= 1, "flip", flip, "a probability")
        _check(len(jitter) == 4 and min(jitter) >= 0 and max(jitter) < 1, "jitter", jitter, "four numbers from 0 to 1")
        _check(jitter[3] <= 0.5, "jitter", jitter, "at most half a turn of hue, the last")
        _check(0 <= rotation <= 180, "rotation", rotation, "degrees from 0 to 180")
        _check(0 <= shear < 60, "shear", shear, "degrees from 0 to 60")
        _check(0 <= shift < 1, "shift", shift, "a share from 0 to 1")
        _check(0 <= shared <= 1, "shared", shared, "true, false, or a share from 0 to 1")
        _check(tries >= 1, "tries", tries, "1 or more")
        for key, pair in [("scale", scale), ("aspect", aspect)]:
            _check(len(pair) == 2 and 0 < pair[0] <= pair[1], key, pair, "the smallest and the largest")
        for name, pair in areas:
            key = f"area.{name}" if name else "area"
            _check(len(pair) == 2 and 0 < pair[0] <= pair[1] <= 1, key, pair, "two shares up to 1, the smaller first")
        self.flip, self.jitter, self.rotation, self.shear = flip, tuple(jitter), rotation, shear
        self.shift, self.scale, self.aspect, self.tries = shift, (scale[0], scale[1]), (aspect[0], aspect[1]), tries
        self.areas = {name: (pair[0], pair[1]) for name, pair in areas}
        self.shared, self.shared_flip = shared, shared_flip

    def area(self, source: str) -> tuple[float, float]:
        """The range of crop areas for this source. Raises UserError if areas are given by name and this one is
        missing."""
        try:
            return self.areas[""] if "" in self.areas else self.areas[source]
        except KeyError:
            names = ", ".join(self.areas) or "none"
            raise UserError(f"data.clips.augment.area is given for {names}: add the source {source}") from None

    def draw(
        self,
        source: str,
        count: int,
        height: int,
        width: int,
        labels: UInt8[Tensor, "t height width"] | None,
        size: int,
        rng: np.random.Generator,
    ) -> Warp:
        """The augmentation of a clip of `count` frames of a source. `labels`: its label maps; None: any crop will
        do."""
        draw = _Draw(self, self.area(source), height, width, size, rng)
        mirrored = draw.flip()
        maps = [None] * count if labels is None else list(labels)
        # Nothing is drawn for true and false, so that their clips stay those of earlier versions.
        if self.shared == 1 or (self.shared > 0 and rng.random() < self.shared):
            matrix, _ = draw.crop(draw.affine(mirrored), maps[0])
            return Warp(_stacked([matrix] * count), ((), *[draw.colours()] * (count - 1)), size)
        matrix, place = draw.crop(draw.still(mirrored and self.shared_flip), maps[0])
        objects = None if maps[0] is None else draw.seen(matrix, maps[0])
        matrices = [matrix]
        for each in maps[1:]:
            flipped = mirrored if self.shared_flip else draw.flip()
            # If this frame's flip differs from the first frame's, its objects are on the opposite side.
            where = place if self.shared_flip or not flipped else np.array([1 - place[0], place[1]])
            matrices.append(draw.crop(draw.affine(flipped), each, objects, where)[0])
        return Warp(_stacked(matrices), ((), *(draw.colours() for _ in maps[1:])), size)


@dataclass(frozen=True)
class _Draw:
    """The random draws for one clip, whose frames are `height` by `width` pixels."""

    options: Augment
    area: tuple[float, float]
    height: int
    width: int
    size: int
    rng: np.random.Generator

    def flip(self) -> bool:
        return bool(self.rng.random() < self.options.flip)

    def still(self, mirrored: bool) -> Matrix:
        """Maps the frame to itself, mirrored or not."""
        return np.array([[-1.0, 0, self.width], [0, 1, 0], [0, 0, 1]]) if mirrored else np.eye(3)

    def affine(self, mirrored: bool) -> Matrix:
        """Maps the frame to the augmented frame: mirrored or not, sheared, scaled, rotated about its centre,
        shifted."""
        own, draw = self.options, self.rng.uniform
        turn, shear = np.radians(draw(-1, 1, 2) * (own.rotation, own.shear))
        rotation = np.array([[math.cos(turn), -math.sin(turn)], [math.sin(turn), math.cos(turn)]])
        linear = draw(*own.scale) * rotation @ [[1, math.tan(shear)], [0, 1]]
        centre = np.array([self.width / 2, self.height / 2])
        matrix: Matrix = np.eye(3)
        shift = draw(-own.shift, own.shift, 2) * (self.width, self.height)
        matrix[:2, :2], matrix[:2, 2] = linear, centre + shift - linear @ centre
        matrix @= self.still(mirrored)
        return matrix

    def crop(
        self,
        affine: Matrix,
        labels: UInt8[Tensor, "h w"] | None,
        objects: Collection[int] | None = None,
        place: Place | None = None,
    ) -> tuple[Matrix, Place]:
        """A crop of the augmented frame, as a map from the clip to the frame (both in [-1, 1]), and its position if it
        does not fit.

        objects  the crop should show at least one of these ids; None: of all ids
        place    position of a crop that does not fit; None: a new one at each try
        """
        wanted = set() if labels is None else shows(labels)
        wanted &= wanted if objects is None else set(objects)
        for _ in range(self.options.tries):
            where = self.rng.random(2) if place is None else place
            matrix = self._normalised(np.linalg.inv(affine) @ self._box(where))
            if labels is None or not wanted or wanted & self.seen(matrix, labels):
                break
        return matrix, where

    def seen(self, matrix: Matrix, labels: UInt8[Tensor, "h w"]) -> set[int]:
        """The ids of the objects inside a crop."""
        return shows(Warp(_stacked([matrix]), ((),), self.size).labels(labels[None]))

    def _box(self, place: Place) -> Matrix:
        """Maps the clip, in pixels, to the augmented frame. `place`: position of a crop that does not fit, see
        Augment."""
        share, aspect = self.rng.uniform(*self.area), math.exp(self.rng.uniform(*np.log(self.options.aspect)))
        own = self.rng.random(2)
        pixels = share * self.height * self.width
        columns, rows = math.sqrt(pixels * aspect), math.sqrt(pixels / aspect)
        fit = min(1.0, self.width / columns, self.height / rows)
        sides = fit * np.array([columns, rows])
        left, top = (own if fit == 1 else place) * ((self.width, self.height) - sides)
        return np.array([[sides[0] / self.size, 0, left], [0, sides[1] / self.size, top], [0, 0, 1]])

    def _normalised(self, matrix: Matrix) -> Matrix:
        """The same map for coordinates in [-1, 1] instead of pixels, on both sides."""
        half = self.size / 2
        to_pixels = np.array([[half, 0, half], [0, half, half], [0, 0, 1]])
        from_pixels = np.array([[2 / self.width, 0, -1], [0, 2 / self.height, -1], [0, 0, 1]])
        normalised: Matrix = from_pixels @ matrix @ to_pixels
        return normalised

    def colours(self) -> Jitter:
        """Colour adjustments in random order."""
        amounts = self.rng.uniform(-1, 1, 4) * self.options.jitter
        return tuple((int(which), float(amounts[which] + (which != 3))) for which in self.rng.permutation(4))


def shows(labels: Int[Tensor, "*shape"] | UInt8[Tensor, "*shape"]) -> set[int]:
    """The ids of the objects in a label map."""
    return set(labels.flatten().int().bincount().nonzero().flatten().tolist()) - {0, VOID}


def _adjusted(image: Float[Tensor, "3 h w"], jitter: Jitter) -> Float[Tensor, "3 h w"]:
    for which, factor in jitter:
        image = ADJUSTMENTS[which](image, factor)
    return image


def _stacked(matrices: Sequence[Matrix]) -> Float[Tensor, "t 2 3"]:
    return torch.from_numpy(np.stack(matrices)[:, :2]).float()


def _check(good: bool, key: str, value: object, remedy: str) -> None:
    if not good:
        raise UserError(f"data.clips.augment.{key}={value}: give {remedy}")
