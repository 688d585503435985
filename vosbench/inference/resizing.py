"""How frames reach a method, and how its scores become label maps: sizes and kernels. Chosen with `inference=`."""

from dataclasses import dataclass, field
from typing import ClassVar, Literal, Protocol

from jaxtyping import Float
from torch import Tensor

from vosbench.inference.heat_maps import HeatMaps
from vosbench.inference.late_objects import BeforeStart
from vosbench.inference.output import Output
from vosbench.inference.resampling import FirstMask, Kernel, Size
from vosbench.ops.align import resize, upsample_centres
from vosbench.settings.checks import below, refuse
from vosbench.video.images import size_of_short_side

Remember = Literal["own", "hard", "soft"]
Scores = Float[Tensor, "b n h w"]
Upsampled = Float[Tensor, "b n h2 w2"]


class Resizing(Protocol):
    """Preparation of a frame for a method: it is resized, then padded, then maybe subsampled.

    subsample   the method sees every n-th row and column of the padded frame; 1: all. Memory then holds every n-th
                pixel of the full-size result, which prompts have overwritten at full size
    kernel, first_mask, before_start, remember, output, joints  as in `Rules`
    """

    @property
    def subsample(self) -> int: ...

    @property
    def kernel(self) -> Kernel: ...

    @property
    def first_mask(self) -> FirstMask: ...

    @property
    def before_start(self) -> BeforeStart: ...

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

    kernel        resizes frames: see `resampling.Kernel`
    first_mask    how prompts are resized to what the method sees, its pixels or its cells: see `resampling.soft_mask`
    before_start  what frames from before an object's start say of it: nothing (unknown), or that it is absent
                  (background), as in the papers
    remember      what memory gets: hard masks, soft scores, or what the method is made for
    output        how scores become label maps
    joints        how joints become heat-maps, and scores positions
    """

    kernel: Kernel = "bicubic"
    first_mask: FirstMask = "nearest"
    before_start: BeforeStart = "unknown"
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


def _every(subsample: int) -> str | None:
    return None if subsample == 1 else f"subsampled by {subsample}"
