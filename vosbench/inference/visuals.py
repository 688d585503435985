"""Intermediate maps of methods, which `vosbench draw` draws, and the optional interfaces of methods that have them.

Every map covers the whole (padded) frame as the method sees it, on a grid of any size. Cell j of a grid of stride s has
its centre on pixel s·j.
"""

from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.contract import Context


@dataclass(frozen=True)
class Masks:
    """Scores of the objects, background first. Drawn as an overlay of the highest-scoring object in each cell."""

    scores: Float[Tensor, "1 n h w"]


@dataclass(frozen=True)
class Vectors:
    """A vector (x, y) per cell, in cells of the grid. Drawn in colours of a wheel, with hue for direction."""

    vectors: Float[Tensor, "2 h w"]


@dataclass(frozen=True)
class Heat:
    """A number per cell. Drawn in colours from `low` (dark blue) to `high` (yellow); cells with NaN stay uncoloured.

    back  how many frames before the query the picture below it lies; 0: the query itself; None: no picture
    """

    values: Float[Tensor, "h w"]
    low: float
    high: float
    back: int | None = None


@dataclass(frozen=True)
class Matches:
    """Search area and matches of one query cell in the frame `back` steps before the query.

    Drawn over that frame: the window outlined, and a dot on each cell with a weight, larger for larger weights.

    window   the cells that are searched
    weights  of each cell in the result; they sum to 1 over all frames searched, including cells outside the frames
    """

    back: int
    window: Bool[Tensor, "h w"]
    weights: Float[Tensor, "h w"]


Visual = Masks | Vectors | Heat | Matches


@runtime_checkable
class ComparesKeys(Protocol):
    """A method that compares keys between frames. `draw` shows clusters of a whole video's keys."""

    def keys(self, features: Any) -> Float[Tensor, "b c h w"]:
        """The part of a frame's features that is compared."""
        ...


@runtime_checkable
class ShowsIntermediateMaps(Protocol):
    """A method that can show intermediate maps of its segmentation."""

    def intermediate_maps(self, query: Any, context: Context[Any, Any]) -> dict[str, Visual]:
        """The maps by name, in drawing order; empty if the method's options leave none."""
        ...


@runtime_checkable
class ShowsMatches(Protocol):
    """A method that can show its search areas and matches in past frames."""

    def matches(self, query: Any, context: Context[Any, Any], pixel: tuple[int, int]) -> list[dict[str, Visual]]:
        """Search areas and matches in past frames for the query's pixel (x, y).

        They are given by name, in rows to compare. The first row is what `segment` does.
        """
        ...


def cell_at(pixel: tuple[int, int], stride: int, size: tuple[int, int]) -> tuple[int, int]:
    """Row and column of the cell whose centre is nearest to a pixel (x, y), on a grid of this (height, width)."""
    row, column = (
        min((place + stride // 2) // stride, side - 1) for place, side in zip(pixel[::-1], size, strict=True)
    )
    return row, column
