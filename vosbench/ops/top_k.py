"""The largest values of every row, ties included or not, and the largest of groups whose maxima are known."""

from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

Ties = Literal["topk", "kept"]  # exactly k are chosen; or also all that equal the k-th

FEW = 4  # threads; with more, torch.topk is used: it shares the rows among them, and numpy does not
LOW = 0xFFFFFFFF

Chosen = tuple[Float[Tensor, "q k"], Int[Tensor, "q k"]]  # values, in no order, and where they are in their row


def largest(values: Float[Tensor, "q n"], k: int) -> Chosen:
    """The `k` largest values of every row; at most n."""
    k = min(k, values.shape[1])
    searchable = values.device.type == "cpu" and values.dtype == torch.float32 and not values.requires_grad
    if searchable and torch.get_num_threads() <= FEW:
        return _partitioned(values, k)
    best, which = values.topk(k, dim=1, sorted=False)
    return best, which


def _partitioned(values: Float[Tensor, "q n"], k: int) -> Chosen:
    """By numpy's partition, which is vectorised and takes as little as a third of the time of torch.topk on one thread.

    Each value shares a 64-bit integer with its place: the bits of a float, those of negative ones flipped, are ordered
    like the float. Of equal values, the later one counts as larger.
    """
    bits = values.numpy().view(np.int32)
    ordered = bits >> 31
    ordered &= 0x7FFFFFFF
    ordered ^= bits
    packed = ordered.astype(np.int64)
    packed <<= 32
    packed |= np.arange(values.shape[1])
    packed.partition(values.shape[1] - k, axis=1)
    which = torch.from_numpy(packed[:, values.shape[1] - k :] & LOW)
    return values.gather(1, which), which


def top(values: Float[Tensor, "q n"], k: int, ties: Ties) -> Chosen:
    """The `k` largest values of every row. With ties kept, as many columns as the row with most; others get -inf."""
    best, which = largest(values, k)
    if ties == "topk":
        return best, which
    kth = best.amin(1, keepdim=True)
    best, which = largest(values, reaching(values, kth))
    return best.masked_fill(best < kth, -torch.inf), which


def reaching(values: Float[Tensor, "q n"], least: Float[Tensor, "q 1"]) -> int:
    """The number of values, other than -inf, that are at least `least`: in the row with most of them."""
    return int(((values >= least) & (values > -torch.inf)).sum(1).max())


@dataclass(frozen=True)
class Numbers:
    """Which group of affinities is meant by a place in a query's window, and which cell.

    steps   from the corner of a window to each of its places, in a rectangle that holds all windows
    corner  the place of each query's corner in the rectangle
    groups  for each place of the rectangle
    cells   for each place of the rectangle
    """

    steps: Int[Tensor, " w"]
    corner: Int[Tensor, "q 1"]
    groups: Int[Tensor, " places"]
    cells: Int[Tensor, " places"]


def top_of_groups(
    affinity: Float[Tensor, "n q"],
    highest: Float[Tensor, "q g"],
    numbers: Numbers | None,
    size: int,
    k: int,
    ties: Ties,
) -> Chosen:
    """As `top`, for each column of `affinity`; the k largest values lie in the k groups with the highest maxima.

    highest  maxima of groups of `size` consecutive rows, -inf for groups without candidates
    numbers  which groups these are; None: all of them

    The second result is the number of the group (or cell) times `size`, plus the place in it.
    """

    def members(least: int) -> tuple[Float[Tensor, "q m"], Int[Tensor, "q g"]]:
        best, places = largest(highest, least)
        if numbers is None:
            return _members(affinity, best, places, size), places
        places = _take(numbers.steps, places) + numbers.corner
        return _members(affinity, best, _take(numbers.groups, places), size), _take(numbers.cells, places)

    values, cells = members(k)
    if ties == "kept":
        values, cells = members(reaching(highest, largest(values, k)[0].amin(1, keepdim=True)))
    chosen, which = top(values, k, ties)
    each = torch.arange(values.shape[1], device=which.device)  # tables: integer division is slow
    return chosen, cells.gather(1, _take(each // size, which)) * size + _take(each % size, which)


def _take(table: Int[Tensor, " n"], places: Int[Tensor, "q k"]) -> Int[Tensor, "q k"]:
    return table.index_select(0, places.flatten()).view(places.shape)


def _members(
    affinity: Float[Tensor, "n q"], best: Float[Tensor, "q g"], groups: Int[Tensor, "q g"], size: int
) -> Float[Tensor, "q k"]:
    """The affinities in these groups, group by group."""
    columns = affinity.shape[1]
    own = torch.arange(columns, device=groups.device).unsqueeze(1)
    steps = torch.arange(size, device=groups.device) * columns
    places = (groups * (size * columns) + own).unsqueeze(2) + steps
    members = affinity.flatten().index_select(0, places.flatten()).view(places.shape)
    return torch.minimum(members, best.unsqueeze(2)).flatten(1)  # -inf in groups without candidates
