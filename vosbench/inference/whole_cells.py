"""Sizes of frames that are whole numbers of a network's cells, so that nothing is padded: those of published protocols.

Chosen with `inference=`.
"""

import math
from dataclasses import dataclass
from typing import ClassVar

from vosbench.inference.resampling import Size
from vosbench.inference.resizing import Rules, Scores, Upsampled
from vosbench.settings.checks import below, refuse
from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns


@dataclass(frozen=True, kw_only=True)
class _Unpadded(Rules):
    subsample: ClassVar[int] = 1

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class RoundedDown(_Unpadded):
    """The shorter side gets a size, and the longer one is rounded down to a multiple, so that nothing is padded and the
    aspect ratio changes a little, as in DINO.

    short_side, multiple  in pixels
    square      whether square frames are allowed: DINO's rules for frames and for masks contradict each other there
    """

    short_side: int
    multiple: int
    square: bool = True

    def __post_init__(self) -> None:
        refuse("inference", below(1, short_side=self.short_side, multiple=self.multiple))

    def described(self) -> str:
        return f"short side {self.short_side}, long side rounded down to {self.multiple}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """Raises UserError for square frames, if they are not allowed, and for a stride that divides no such size."""
        if height == width and not self.square:
            raise UserError(
                f"frames of {rows_columns((height, width))} are square, and DINO's script gives masks of square frames "
                "another grid: use another propagation=, or inference.square=true for one grid"
            )
        short, long = sorted((height, width))
        longer = int(self.short_side * long / short // self.multiple * self.multiple)
        size = (self.short_side, longer) if height <= width else (longer, self.short_side)
        nearest = max(1, round(self.short_side / stride)) * stride
        return _divided(size, stride, f"inference.short_side={nearest} inference.multiple={stride}")


@dataclass(frozen=True)
class LongSide(_Unpadded):
    """The longer side gets a size, and the shorter one is rounded down to a multiple, as in CropMAE.

    long_side, multiple  in pixels
    """

    long_side: int
    multiple: int

    def __post_init__(self) -> None:
        refuse("inference", below(1, long_side=self.long_side, multiple=self.multiple))

    def described(self) -> str:
        return f"long side {self.long_side}, short side rounded down to {self.multiple}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """Raises UserError for a stride that divides no such size."""
        short, long = sorted((height, width))
        shorter = int(short * self.long_side / long) // self.multiple * self.multiple
        size = (shorter, self.long_side) if height < width else (self.long_side, shorter)
        nearest = max(1, round(self.long_side / stride)) * stride
        return _divided(size, stride, f"inference.long_side={nearest} inference.multiple={stride}")


@dataclass(frozen=True)
class Cells(_Unpadded):
    """The shorter side gets so many of the network's cells, and the longer one is rounded up to whole cells, as in
    DINOv3."""

    cells: int

    def __post_init__(self) -> None:
        refuse("inference", below(1, cells=self.cells))

    def described(self) -> str:
        return f"{self.cells} cells on the short side"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        short, long = sorted((height, width))
        shorter, longer = self.cells * stride, math.ceil(self.cells * long / short) * stride
        return (shorter, longer) if height <= width else (longer, shorter)


@dataclass(frozen=True)
class Stretched(_Unpadded):
    """All frames get one size, regardless of their aspect ratio."""

    height: int
    width: int

    def __post_init__(self) -> None:
        refuse("inference", below(1, height=self.height, width=self.width))

    def described(self) -> str:
        return f"{self.height}×{self.width}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """Raises UserError for a stride that does not divide the size."""
        height, width = (max(1, round(side / stride)) * stride for side in (self.height, self.width))
        return _divided((self.height, self.width), stride, f"inference.height={height} inference.width={width}")


def _divided(size: Size, stride: int, remedy: str) -> Size:
    """The size, if it is made of whole cells."""
    if size[0] % stride or size[1] % stride or not all(size):
        raise UserError(
            f"frames of {rows_columns(size)} pixels are no whole number of the network's cells of {stride}×{stride}: "
            f"use {remedy}"
        )
    return size
