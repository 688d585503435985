"""What a method can show of how it comes to a result, for `vosbench draw` to make pictures of.

Every map covers the whole frame as the method sees it (padded), on a grid of any size whose cell j has its centre on
pixel s·j, s being its stride.
"""

from dataclasses import dataclass

from jaxtyping import Float
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
    """One number a cell. Drawn: in colours from `low` (dark blue) to `high` (yellow)."""

    values: Float[Tensor, "h w"]
    low: float
    high: float


Inside = Masks | Vectors | Heat
