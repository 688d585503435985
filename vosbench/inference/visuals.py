"""What a method can show of how it comes to a result, for `vosbench draw` to make pictures of.

Every map covers the whole frame as the method sees it (padded), on a grid of any size whose cell j has its centre on
pixel s·j, s being its stride.
"""

from dataclasses import dataclass

from jaxtyping import Bool, Float
from torch import Tensor


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

    back  laid over the frame so many before the query, 0 being the query itself; None: over no picture
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


Inside = Masks | Vectors | Heat | Matches


def cell_at(pixel: tuple[int, int], stride: int, size: tuple[int, int]) -> tuple[int, int]:
    """Row and column, on a grid of this (height, width), of the cell whose centre is nearest to a pixel (x, y)."""
    row, column = (
        min((place + stride // 2) // stride, side - 1) for place, side in zip(pixel[::-1], size, strict=True)
    )
    return row, column
