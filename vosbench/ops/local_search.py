"""Local attention to the best candidates, on the CPU and without gradients: see `ops.search`."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.search import WindowSearch
from vosbench.ops.sources import Source
from vosbench.ops.windows import Blocks, take


@dataclass(frozen=True)
class Chosen:
    """For each query, row-major: weights that sum to 1 and, in the padded grid, references and cells that have them.

    positions  for each place of the padded grid, and each reference, its row
    """

    weights: Float[Tensor, "q k"]
    places: Int[Tensor, "q k"]
    references: int
    positions: Int[Tensor, "hp wp r"]

    def of(self, reference: int) -> tuple[Float[Tensor, "q k"], Int[Tensor, "q k"]]:
        """Weights, 0 for other references, and rows."""
        own = self.places % self.references == reference
        rows = self.positions[..., reference].flatten()[self.places // self.references]
        return self.weights * own, rows

    def read(self, values: Sequence[Float[Tensor, "p n"]], chunk: int) -> Float[Tensor, "q n"]:
        """Weighted sums of the references' rows. `chunk`: numbers read at a time (at least those of one query)."""
        starts = torch.arange(self.references, device=self.places.device) * len(values[0])
        rows = (self.positions + starts).flatten()[self.places]
        step, everything = max(1, chunk // max(1, rows.shape[1] * values[0].shape[1])), torch.cat(list(values))
        parts = zip(self.weights.to(everything.dtype).split(step), rows.split(step), strict=True)
        return torch.cat([(weight.unsqueeze(1) @ everything[row]).squeeze(1) for weight, row in parts])


def choose(
    query: Float[Tensor, "c h w"],
    image: int,
    sources: Sequence[Source],
    blocks: Blocks,
    mask_oob: bool,
    top_k: int,
    wanted: Bool[Tensor, "h w"] | None,
    chunk: int,
) -> Chosen:
    """The `top_k` best candidates of all references together, and their softmax.

    query   of one image, times the scale
    wanted  queries whose results are needed, others may have NaN; None: all
    """
    h, w, reach = blocks.h, blocks.w, blocks.reach
    grids = [source.positions[image, : h + 2 * reach, : w + 2 * reach] for source in sources]
    keys = [take(source.keys, grid) for source, grid in zip(sources, grids, strict=True)]
    outside = [grid == source.outside for source, grid in zip(sources, grids, strict=True)] if mask_oob else None
    search = WindowSearch(query.permute(1, 2, 0), keys, reach, "square", chunk, reach, outside)
    best = search.best(top_k, "topk", wanted)
    return Chosen(best.affinities.softmax(1), best.rows, len(sources), torch.stack(grids, 2))
