"""The best candidates of every query, on the CPU and without gradients.

Products have candidates as rows and queries as columns. The maximum over neighbouring rows is then vectorised over
queries, and a top-k of these maxima, and of the members of the chosen groups, replaces that of all candidates.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.top_k import Ties, top, top_of_groups

GROUP = 16  # neighbouring cells of a reference that is searched as a whole
TOGETHER = 256  # queries that search whole references at a time


@dataclass(frozen=True)
class Best:
    """For each query, the highest affinities, in no order, and the rows of the keys that have them; -inf: no key."""

    affinities: Float[Tensor, "q k"]
    rows: Int[Tensor, "q k"]

    def merge(self, other: "Best", top_k: int, ties: Ties) -> "Best":
        """The best of both. The other's rows are to be counted after these."""
        best, which = top(torch.cat((self.affinities, other.affinities), 1), top_k, ties)
        return Best(best, torch.cat((self.rows, other.rows), 1).gather(1, which))


def searchable(*tensors: Tensor) -> bool:
    """Whether these are on the CPU and need no gradients."""
    needed = torch.is_grad_enabled() and any(each.requires_grad for each in tensors)
    return tensors[0].device.type == "cpu" and not needed


def search_whole(queries: Float[Tensor, "q c"], keys: Float[Tensor, "n c"], top_k: int, ties: Ties, chunk: int) -> Best:
    """All keys are candidates of all queries. `chunk`: affinities held at a time (at least those of one query)."""
    groups = -(-len(keys) // GROUP)
    together = max(1, min(TOGETHER, len(queries), chunk // (groups * GROUP)))
    held = queries.new_empty(groups * GROUP * together)
    found = []
    for part in queries.split(together):
        affinity = held[: groups * GROUP * len(part)].view(groups * GROUP, len(part))
        affinity[len(keys) :] = -torch.inf
        torch.mm(keys, part.T, out=affinity[: len(keys)])
        highest = affinity.view(groups, GROUP, -1).amax(1).T.contiguous()
        found.append(top_of_groups(affinity, highest, None, GROUP, top_k, ties))
    best, rows = joined(found)
    return Best(best, rows.clamp(max=len(keys) - 1))  # beyond the keys there is only -inf


def joined(parts: Sequence[tuple[Tensor, Tensor]]) -> tuple[Float[Tensor, "q k"], Int[Tensor, "q k"]]:
    """Results of several searches one after the other; those with fewer columns are filled up with -inf and row 0."""
    k = max(values.shape[1] for values, _ in parts)
    values = torch.cat([nnf.pad(each, (0, k - each.shape[1]), value=-torch.inf) for each, _ in parts])
    return values, torch.cat([nnf.pad(each, (0, k - each.shape[1])) for _, each in parts])
