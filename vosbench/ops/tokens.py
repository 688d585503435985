"""Global attention to memory: every query cell attends to all tokens of an object, wherever they lie."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK = 1 << 25  # affinities held at a time (128 MiB in float32)
ATTENDED = 1e-3  # a query attends to a token if its weight is above this (AFB-URR)

Usage = Float[Tensor, "objects tokens"]
Readout = Float[Tensor, "n v q"]


@dataclass(frozen=True)
class Tokens:
    """Keys and values of objects in memory.

    counted   which tokens are valid, where objects have different numbers of them; the values of the others are 0.
              None: all
    tracked   whether reads count how many queries attend to each token
    """

    keys: Float[Tensor, "n c t"]
    values: Float[Tensor, "n v t"]
    counted: Bool[Tensor, "n t"] | None = None
    tracked: bool = False

    def of(self, objects: slice) -> "Tokens":
        """A view of some objects' tokens."""
        counted = None if self.counted is None else self.counted[objects]
        return Tokens(self.keys[objects], self.values[objects], counted, self.tracked)

    def beside(self, others: "Tokens") -> "Tokens":
        """These objects followed by others, which need the same number of tokens."""
        if self.counted is not None or others.counted is not None:
            raise ValueError("objects with different numbers of tokens cannot be put beside each other")
        return Tokens(torch.cat([self.keys, others.keys]), torch.cat([self.values, others.values]))


@dataclass(frozen=True)
class Kernel:
    """A Gaussian around the query cell that a token matches best: cells far from it hardly read the token, however
    much they look alike (KMN, Seong et al. 2020).

    deviation   of the Gaussian, in cells
    width       of the query's grid, whose cells are in row-major order
    """

    deviation: float
    width: int

    def logarithm(self, best: Int[Tensor, "n t"], cells: Int[Tensor, " q"]) -> Float[Tensor, "n q t"]:
        rows, columns = (
            (each.unsqueeze(1) - own.unsqueeze(1)).square()
            for each, own in ((best // self.width, cells // self.width), (best % self.width, cells % self.width))
        )
        return (rows + columns) / (-2 * self.deviation**2)


def read_tokens(
    query: Float[Tensor, "c q"],
    memory: Sequence[Tokens],
    *,
    scale: float,
    distance: bool = False,
    top_k: int | None = None,
    kernel: Kernel | None = None,
    chunk: int = CHUNK,
) -> tuple[Readout, tuple[Usage | None, ...]]:
    """For each object, the softmax-weighted sum of its values: softmax of kᵀq · `scale` over its tokens.

    Also, for each part of memory, how many queries attended to each of its tokens; None where that is not tracked.

    All objects share the query's keys but not those of memory, so this is one product batched over objects, in groups
    that `chunk` bounds. Affinities and softmax are in float32, and the products with values follow autocast. An object
    without tokens reads 0.

    distance  the softmax is of −‖k − q‖² · `scale` (STCN, Cheng et al. 2021): long keys do not win by their length
    top_k     tokens that each query reads, those of the highest weights; None: all
    kernel    multiplies the weights before they are made to add up to 1
    chunk     affinities held at a time (at least those of one query and object), beside a copy of the keys in float32
    """
    tokens = sum(part.keys.shape[2] for part in memory)
    objects = max(1, chunk // (tokens * query.shape[1]))
    step = max(1, chunk // (tokens * min(objects, len(memory[0].keys))))
    scaled = query.float() * scale
    if distance:  # 2 qᵀk − ‖q‖² − ‖k‖² as one product
        lengths = query.float().square().sum(0, keepdim=True)
        scaled = torch.cat([2 * scaled, -scale * lengths, torch.full_like(lengths, -scale)])
    groups = [
        _read_group(scaled, [part.of(slice(first, first + objects)) for part in memory], distance, top_k, kernel, step)
        for first in range(0, len(memory[0].keys), objects)
    ]
    usage = tuple(
        torch.cat([counts[index] for _, counts in groups]) if part.tracked else None
        for index, part in enumerate(memory)
    )
    return torch.cat([readout for readout, _ in groups]), usage


def _read_group(
    query: Float[Tensor, "c q"],
    memory: Sequence[Tokens],
    distance: bool,
    top_k: int | None,
    kernel: Kernel | None,
    step: int,
) -> tuple[Readout, list[Usage]]:
    """The readout, and counts for each part of memory: 0 where they are not tracked."""
    read = []
    counts = [part.keys.new_zeros(len(part.keys), part.keys.shape[2], dtype=torch.float32) for part in memory]
    keys = torch.cat([part.keys.float() for part in memory], 2)
    if distance:
        lengths = keys.square().sum(1, keepdim=True)
        keys = torch.cat([keys, torch.ones_like(lengths), lengths], 1)
    affinities = partial(_affinities, keys, _uncounted(memory))
    near = None if kernel is None else partial(kernel.logarithm, _best_cells(query, affinities, step))
    for cells in torch.arange(query.shape[1], device=query.device).split(step):
        found = affinities(query[:, cells])
        if near is not None:
            found = found + near(cells)
        weights = _weights(found, top_k).split([part.keys.shape[2] for part in memory], 2)
        parts = [each @ part.values.mT for part, each in zip(memory, weights, strict=True)]
        read.append(torch.stack(parts).sum(0) if len(parts) > 1 else parts[0])
        for part, each, count in zip(memory, weights, counts, strict=True):
            if part.tracked:
                count += (each > ATTENDED).sum(1)
    return torch.cat(read, 1).mT, counts


def _best_cells(query: Float[Tensor, "c q"], affinities: Callable[[Tensor], Tensor], step: int) -> Int[Tensor, "n t"]:
    """The query that each token matches best."""
    parts = [affinities(queries).max(1) for queries in query.split(step, 1)]
    values, places = (torch.stack(each) for each in zip(*parts, strict=True))
    highest = values.argmax(0, keepdim=True)
    return places.gather(0, highest)[0] + step * highest[0]


def _weights(affinities: Float[Tensor, "n q t"], top_k: int | None) -> Float[Tensor, "n q t"]:
    if top_k is not None and top_k < affinities.shape[2]:
        least = affinities.topk(top_k).values[..., -1:]
        affinities = affinities.masked_fill(affinities < least, -torch.inf)
    return affinities.softmax(2)  # tokens are adjacent in memory, which is several times faster


def _affinities(
    keys: Float[Tensor, "n c t"], uncounted: Bool[Tensor, "n t"] | None, queries: Float[Tensor, "c q"]
) -> Float[Tensor, "n q t"]:
    """In float32: half precision rounds affinities of 16 and more to eighths, and weights are their exponentials."""
    with torch.autocast(queries.device.type, enabled=False):
        affinities = queries.mT @ keys
    if uncounted is None:
        return affinities
    # Finite, so that an object without tokens reads the zeros of its padding, and not NaN.
    return affinities.masked_fill(uncounted.unsqueeze(1), torch.finfo(affinities.dtype).min)


def _uncounted(memory: Sequence[Tokens]) -> Bool[Tensor, "n t"] | None:
    """Tokens of all parts that are not valid; None if all are."""
    if all(part.counted is None for part in memory):
        return None
    masks = [
        torch.zeros_like(part.keys[:, 0], dtype=torch.bool) if part.counted is None else ~part.counted
        for part in memory
    ]
    return torch.cat(masks, 1)
