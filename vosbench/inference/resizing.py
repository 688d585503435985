"""At which size a method sees frames, and how its result comes back from there. Chosen like a memory: `inference=`."""

from dataclasses import dataclass
from typing import ClassVar, Protocol

from jaxtyping import Float
from torch import Tensor

from vosbench.ops.align import resize, upsample_centres
from vosbench.settings.checks import below, refuse
from vosbench.video.images import size_of_short_side

Size = tuple[int, int]  # height and width in pixels
Scores = Float[Tensor, "b n h w"]
Upsampled = Float[Tensor, "b n h2 w2"]


class Resizing(Protocol):
    """What happens to a frame before a method sees it: it is resized, then padded, then maybe subsampled.

    subsample   the method sees every n-th pixel of the padded frame, in rows and in columns; 1: all of them. Memory
                then holds every n-th pixel of the full-size result, and prompts overwrite that at full size
    """

    @property
    def subsample(self) -> int: ...

    def described(self) -> str | None:
        """The size at which the method sees frames, as records say it; None where it is their own."""
        ...

    def resized(self, height: int, width: int) -> Size:
        """The size to which frames of this size are brought (bicubic)."""
        ...

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        """Scores of the pixels that the method saw, at the size of the whole padded frame."""
        ...


@dataclass(frozen=True)
class ShortSide:
    """Frames keep their aspect.

    short_side  pixels of their shorter side; null: frames stay as they are
    subsample   as in `Resizing`; every n-th pixel of the result is put back exactly where it was taken, so that a mask
                that does not move stays where it is. MAMP on YouTube-VOS has 2
    """

    short_side: int | None = None
    subsample: int = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, short_side=self.short_side, subsample=self.subsample))

    def described(self) -> str | None:
        size = None if self.short_side is None else f"short side {self.short_side}"
        return ", ".join(filter(None, [size, _every(self.subsample)])) or None

    def resized(self, height: int, width: int) -> Size:
        return (height, width) if self.short_side is None else size_of_short_side(height, width, self.short_side)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores if self.subsample == 1 else upsample_centres(scores, self.subsample)


@dataclass(frozen=True)
class Square:
    """Frames become `square` × `square` pixels, whatever their aspect: CRW's way on VIP."""

    square: int
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, square=self.square))

    def described(self) -> str:
        return f"square {self.square}"

    def resized(self, height: int, width: int) -> Size:
        return self.square, self.square

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class Halved:
    """As `ShortSide`, but frames that are then `halve_from` pixels wide or wider are halved: mask embedding on
    YouTube-VOS, as released."""

    halve_from: int
    short_side: int | None = None
    subsample: ClassVar[int] = 1

    def __post_init__(self) -> None:
        refuse("inference", below(1, halve_from=self.halve_from, short_side=self.short_side))

    def described(self) -> str:
        size = "" if self.short_side is None else f"short side {self.short_side}, "
        return f"{size}half size from width {self.halve_from} on"

    def resized(self, height: int, width: int) -> Size:
        short_side = self.short_side or min(height, width)
        size = size_of_short_side(height, width, short_side)
        return size if size[1] < self.halve_from else size_of_short_side(height, width, short_side / 2)

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return scores


@dataclass(frozen=True)
class ReleasedSubsampling:
    """Every n-th pixel as in `ShortSide`, and back by half-pixel bilinear interpolation: MAMP on YouTube-VOS, as
    released. Masks move by half a pixel a frame."""

    subsample: int = 2

    def __post_init__(self) -> None:
        refuse("inference", below(1, subsample=self.subsample))

    def described(self) -> str | None:
        return _every(self.subsample)

    def resized(self, height: int, width: int) -> Size:
        return height, width

    def upsample(self, scores: Scores, padded: Size) -> Upsampled:
        return resize(scores, padded)


def _every(subsample: int) -> str | None:
    return None if subsample == 1 else f"subsampled by {subsample}"
