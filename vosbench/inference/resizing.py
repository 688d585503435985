"""How frames reach a method, and how its scores become label maps: sizes and kernels. Chosen with `inference=`."""

import math
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from jaxtyping import Float
from torch import Tensor

from vosbench.inference.heat_maps import HeatMaps
from vosbench.inference.output import Output
from vosbench.inference.resampling import FirstMask, Kernel, Size
from vosbench.ops.align import resize, upsample_centres
from vosbench.settings.checks import below, refuse
from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns
from vosbench.video.images import size_of_short_side

Remember = Literal["own", "hard", "soft"]
Scores = Float[Tensor, "b n h w"]
Upsampled = Float[Tensor, "b n h2 w2"]


class Resizing(Protocol):
    """Preparation of a frame for a method: it is resized, then padded, then maybe subsampled.

    subsample   the method sees every n-th row and column of the padded frame; 1: all. Memory then holds every n-th
                pixel of the full-size result, which prompts have overwritten at full size
    kernel, first_mask, remember, output, joints  as in `Rules`
    """

    @property
    def subsample(self) -> int: ...

    @property
    def kernel(self) -> Kernel: ...

    @property
    def first_mask(self) -> FirstMask: ...

    @property
    def remember(self) -> Remember: ...

    @property
    def output(self) -> Output: ...

    @property
    def joints(self) -> HeatMaps: ...

    def described(self) -> str | None:
        """The size at which the method sees frames, in a record's words; None if it is their own."""
        ...

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """The size to which frames of this size are resized. `stride`: pixels per cell of the network; padding takes
        care of it unless a protocol has none."""
        ...

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        """Upsamples scores of the pixels that the method saw to the size of the padded frame."""
        ...


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What any way of resizing frames may be combined with.

    kernel      resizes frames: see `resampling.Kernel`
    first_mask  how prompts are resized to what the method sees, its pixels or its cells: see `resampling.soft_mask`
    remember    what memory gets: hard masks, soft scores, or what the method is made for
    output      how scores become label maps
    joints      how joints become heat-maps, and scores positions
    """

    kernel: Kernel = "bicubic"
    first_mask: FirstMask = "nearest"
    remember: Remember = "own"
    output: Output = field(default_factory=Output)
    joints: HeatMaps = field(default_factory=HeatMaps)


@dataclass(frozen=True)
class ShortSide(Rules):
    """Frames keep their aspect ratio.

    short_side  pixels of their shorter side; null: frames keep their size
    subsample   as in `Resizing`. Upsampling puts each pixel back exactly where it was taken, so that the mask of a
                still object does not drift. MAMP on YouTube-VOS uses 2
    """

    short_side: int | None = None
    subsample: int = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, short_side=self.short_side, subsample=self.subsample))

    def described(self) -> str | None:
        size = None if self.short_side is None else f"short side {self.short_side}"
        return ", ".join(filter(None, [size, _every(self.subsample)])) or None

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        return (height, width) if self.short_side is None else size_of_short_side(height, width, self.short_side)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores if self.subsample == 1 else upsample_centres(scores, self.subsample)


@dataclass(frozen=True)
class Square(Rules):
    """Frames become `square` × `square` pixels, regardless of their aspect ratio, as CRW does on VIP."""

    square: int
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, square=self.square))

    def described(self) -> str:
        return f"square {self.square}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        return self.square, self.square

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class RoundedDown(Rules):
    """The shorter side gets a size, and the longer one is rounded down to a multiple, so that nothing is padded and the
    aspect ratio changes a little, as in DINO.

    short_side, multiple  in pixels
    square      whether square frames are allowed: DINO's rules for frames and for masks contradict each other there
    """

    short_side: int
    multiple: int
    square: bool = True
    subsample: ClassVar[int] = 1

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

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class LongSide(Rules):
    """The longer side gets a size, and the shorter one is rounded down to a multiple, as in CropMAE.

    long_side, multiple  in pixels
    """

    long_side: int
    multiple: int
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, long_side=self.long_side, multiple=self.multiple))

    def described(self) -> str:
        return f"long side {self.long_side}, short side rounded down to {self.multiple}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """Raises UserError for a stride that divides no such size."""
        short, long = sorted((height, width))
        shorter = int(short * self.long_side / long) // self.multiple * self.multiple
        return _divided((shorter, self.long_side) if height < width else (self.long_side, shorter), stride)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class Cells(Rules):
    """The shorter side gets so many of the network's cells, and the longer one is rounded up to whole cells, as in
    DINOv3."""

    cells: int
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, cells=self.cells))

    def described(self) -> str:
        return f"{self.cells} cells on the short side"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        short, long = sorted((height, width))
        shorter, longer = self.cells * stride, math.ceil(self.cells * long / short) * stride
        return (shorter, longer) if height <= width else (longer, shorter)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class Stretched(Rules):
    """All frames get one size, regardless of their aspect ratio."""

    height: int
    width: int
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, height=self.height, width=self.width))

    def described(self) -> str:
        return f"{self.height}×{self.width}"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        """Raises UserError for a stride that does not divide the size."""
        height, width = (max(1, round(side / stride)) * stride for side in (self.height, self.width))
        return _divided((self.height, self.width), stride, f"inference.height={height} inference.width={width}")

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class Halved(Rules):
    """Like `ShortSide`, but frames that are then at least `halve_from` pixels wide are halved: mask embedding on
    YouTube-VOS, as released."""

    halve_from: int
    short_side: int | None = None
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, halve_from=self.halve_from, short_side=self.short_side))

    def described(self) -> str:
        size = "" if self.short_side is None else f"short side {self.short_side}, "
        return f"{size}half size from width {self.halve_from} on"

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        short_side = self.short_side or min(height, width)
        size = size_of_short_side(height, width, short_side)
        return size if size[1] < self.halve_from else size_of_short_side(height, width, short_side / 2)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class ReleasedSubsampling(Rules):
    """Subsampling as in `ShortSide`, but upsampling by half-pixel bilinear interpolation: MAMP on YouTube-VOS, as
    released. Masks drift by half a pixel per frame."""

    subsample: int = 2

    def __post_init__(self) -> None:
        refuse("inference", below(1, subsample=self.subsample))

    def described(self) -> str | None:
        return _every(self.subsample)

    def resized(self, height: int, width: int, stride: int = 1) -> Size:
        return height, width

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return resize(scores, padded)


def _divided(size: Size, stride: int, remedy: str) -> Size:
    """The size, if it is made of whole cells."""
    if size[0] % stride or size[1] % stride or not all(size):
        raise UserError(
            f"frames of {rows_columns(size)} pixels are no whole number of the network's cells of {stride}×{stride}: "
            f"use {remedy}"
        )
    return size


def _every(subsample: int) -> str | None:
    return None if subsample == 1 else f"subsampled by {subsample}"
