"""Queries and their candidates: all cells of some references, and of the others those near the query's own.

Two ways lead to the best candidates. On the CPU and without gradients it is `ops.best` and `ops.search`. Otherwise,
queries are handled in square blocks (see `ops.windows`), and a block against all references is one matrix product,
which is differentiable.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.best import Best, joined, search_whole, searchable
from vosbench.ops.search import WindowSearch
from vosbench.ops.top_k import Ties, top
from vosbench.ops.windows import BLOCK, Blocks, Window, window_mask, window_reach


@dataclass(frozen=True)
class Candidates:
    """Queries (divided by the temperature) and keys, channels last, in float32.

    References are in the order `order`: the `far` unrestricted ones first. A candidate's row is its reference's place
    in that order times the number of cells, plus its cell.
    """

    queries: Float[Tensor, "h w c"]
    keys: Sequence[Float[Tensor, "h w c"]]
    far: int
    order: list[int]
    radius: float
    window: Window
    chunk: int

    @classmethod
    def prepare(
        cls,
        query: Float[Tensor, "1 c h w"],
        keys: Sequence[Float[Tensor, "1 c h w"]],
        unrestricted: Sequence[bool],
        radius: float,
        temperature: float,
        window: Window,
        chunk: int,
    ) -> "Candidates":
        if temperature <= 0:
            raise ValueError(f"temperature must be positive, not {temperature}")
        if len(unrestricted) != len(keys):
            raise ValueError(f"`unrestricted` speaks of {len(unrestricted)} references, there are {len(keys)}")
        window_reach(radius, window)  # raises
        order = sorted(range(len(keys)), key=lambda i: not unrestricted[i])
        each = [keys[i][0].permute(1, 2, 0).float() for i in order]
        queries = query[0].permute(1, 2, 0).float() / temperature
        return cls(queries, each, sum(unrestricted), order, radius, window, chunk)

    @property
    def size(self) -> tuple[int, int]:
        return self.queries.shape[0], self.queries.shape[1]

    @property
    def cells(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def near(self) -> int:
        """How many references are restricted."""
        return len(self.keys) - self.far

    def best(self, top_k: int, ties: Ties) -> Best:
        """The best candidates of every query, row-major; -inf fills the rows of queries with fewer."""
        if not searchable(self.queries, *self.keys):
            return self._best_in_blocks(top_k, ties)
        found = []
        if self.far:
            keys = torch.cat([each.flatten(0, 1) for each in self.keys[: self.far]])
            found.append(search_whole(self.queries.flatten(0, 1), keys, top_k, ties, self.chunk))
        if self.near:
            found.append(self._best_nearby(top_k, ties))
        return found[0] if len(found) == 1 else found[0].merge(found[1], top_k, ties)

    def _best_nearby(self, top_k: int, ties: Ties) -> Best:
        search = WindowSearch(self.queries, self.keys[self.far :], self.radius, self.window, self.chunk)
        best = search.best(top_k, ties)
        reference, cell = best.rows % self.near + self.far, best.rows // self.near
        return Best(best.affinities, reference * self.cells + cell)

    def _best_in_blocks(self, top_k: int, ties: Ties) -> Best:
        found = []
        for affinity, rows in self.affinities():
            best, which = top(affinity, top_k, ties)
            found.append((best, rows[which]))
        best, rows = joined(found)
        undo = self.undo()
        return Best(best[undo], rows[undo])

    def affinities(self) -> Iterator[tuple[Float[Tensor, "q k"], Int[Tensor, " k"]]]:
        """For each block of queries: the logits of its candidates, -inf beyond a query's own window, and their rows."""
        keys = torch.stack(list(self.keys))
        far, near = keys[: self.far].flatten(0, 2), keys[self.far :]
        places = self._places()
        starts = self.cells * torch.arange(len(near), device=far.device).view(-1, 1) + len(far)
        everywhere = torch.arange(len(far), device=far.device)
        for own, around in self._blocks().clipped():
            queries = self.queries[own].flatten(0, 1)
            affinity, rows = queries @ far.T, everywhere
            if len(near):
                cells = places[around].flatten()
                mask = window_mask(places[own].flatten(), cells, self.size[1], self.radius, self.window)
                seen = near[:, around[0], around[1]].flatten(0, 2)
                affinity = torch.cat((affinity, torch.addmm(mask.repeat(1, len(near)), queries, seen.T)), 1)
                rows = torch.cat((everywhere, (starts + cells).flatten()))
            yield affinity, rows

    def undo(self) -> Int[Tensor, " q"]:
        """Where each cell of the grid is in the results of all blocks, put one after the other."""
        places = self._places()
        return torch.cat([places[own].flatten() for own, _ in self._blocks().clipped()]).argsort()

    def _places(self) -> Int[Tensor, "h w"]:
        return torch.arange(self.cells, device=self.queries.device).view(self.size)

    def _blocks(self) -> Blocks:
        """As large as `chunk` allows; with larger ones than BLOCK, too much of the rectangles would be masked."""
        (h, w), reach = self.size, window_reach(self.radius, self.window)

        def held(side: int) -> int:
            rectangle = min(h, side + 2 * reach) * min(w, side + 2 * reach)
            return min(h, side) * min(w, side) * (self.far * h * w + self.near * rectangle)

        side = min(BLOCK, max(h, w)) if self.near else max(h, w)
        while side > 1 and held(side) > self.chunk:
            side -= 1
        return Blocks(h, w, reach, side)
