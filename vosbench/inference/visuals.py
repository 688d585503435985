"""What a method can show of how it comes to a result: the maps that `vosbench draw` draws, and who has them.

Every map covers the whole frame as the method sees it (padded), on a grid of any size whose cell j has its centre on
pixel s·j, s being its stride.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.contract import Context


@dataclass(frozen=True)
class Masks:
    """Scores of the objects, background first. Drawn: over the picture, which of them is highest in each cell."""

    scores: Float[Tensor, "1 n h w"]


@dataclass(frozen=True)
class Vectors:
    """Where the cells point, as (x, y) in cells of their grid. Drawn: on a colour wheel, hue for direction."""

    vectors: Float[Tensor, "2 h w"]


@dataclass(frozen=True)
class Heat:
    """One number a cell. Drawn: in colours from `low` (dark blue) to `high` (yellow), and cells of NaN left bare.

    back  how many frames before the query the picture below it lies; 0: the query itself; None: no picture
    """

    values: Float[Tensor, "h w"]
    low: float
    high: float
    back: int | None = None


@dataclass(frozen=True)
class Matches:
    """Where the frame `back` before the query is searched for what one cell of the query shows, and what is found.

    Drawn: over that frame, the window outlined, and dots on cells with a weight, the larger the more they weigh.

    window   the cells that are looked at
    weights  what each adds to the result, summing to 1 over all frames searched and what lies outside of pictures
    """

    back: int
    window: Bool[Tensor, "h w"]
    weights: Float[Tensor, "h w"]


Visual = Masks | Vectors | Heat | Matches


@runtime_checkable
class ComparesKeys(Protocol):
    """A method that compares keys between frames. Drawn: the clusters of a whole video's keys."""

    def keys(self, features: Any) -> Float[Tensor, "b c h w"]:
        """What of a frame's features is compared."""
        ...


@runtime_checkable
class ShowsIntermediateMaps(Protocol):
    """A method that can show what lies between a query and its result."""

    def intermediate_maps(self, query: Any, context: Context[Any, Any]) -> dict[str, Visual]:
        """By name and in order; none where the method's options leave none."""
        ...


@runtime_checkable
class ShowsMatches(Protocol):
    """A method that can show where it searches past frames."""

    def matches(self, query: Any, context: Context[Any, Any], pixel: tuple[int, int]) -> list[dict[str, Visual]]:
        """Where `segment` searches past frames for what the query shows at a pixel (x, y), and what it finds there.

        By name and in order, in rows to be compared, of which the first is what `segment` does.
        """
        ...


def cell_at(pixel: tuple[int, int], stride: int, size: tuple[int, int]) -> tuple[int, int]:
    """Row and column, on a grid of this (height, width), of the cell whose centre is nearest to a pixel (x, y)."""
    row, column = (
        min((place + stride // 2) // stride, side - 1) for place, side in zip(pixel[::-1], size, strict=True)
    )
    return row, column
