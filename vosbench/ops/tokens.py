"""Global attention to memory: every query cell attends to all tokens of an object, wherever they lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
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


def read_tokens(
    query: Float[Tensor, "c q"], memory: Sequence[Tokens], *, scale: float, chunk: int = CHUNK
) -> tuple[Readout, tuple[Usage | None, ...]]:
    """For each object, the softmax-weighted sum of its values: softmax of kᵀq · `scale` over all of its tokens.

    Also, for each part of memory, how many queries attended to each of its tokens; None where that is not tracked.

    All objects share the query's keys but not those of memory, so this is one product batched over objects, in groups
    that `chunk` bounds. Affinities and softmax are in float32, and the products with values follow autocast. An object
    without tokens reads 0.

    chunk  affinities held at a time (at least those of one query and object)
    """
    tokens = sum(part.keys.shape[2] for part in memory)
    objects = max(1, chunk // (tokens * query.shape[1]))
    step = max(1, chunk // (tokens * min(objects, len(memory[0].keys))))
    groups = [
        _read_group(query, [part.of(slice(first, first + objects)) for part in memory], scale, step)
        for first in range(0, len(memory[0].keys), objects)
    ]
    usage = tuple(
        torch.cat([counts[index] for _, counts in groups]) if part.tracked else None
        for index, part in enumerate(memory)
    )
    return torch.cat([readout for readout, _ in groups]), usage


def _read_group(
    query: Float[Tensor, "c q"], memory: Sequence[Tokens], scale: float, step: int
) -> tuple[Readout, list[Usage]]:
    """The readout, and counts for each part of memory: 0 where they are not tracked."""
    read = []
    counts = [part.keys.new_zeros(len(part.keys), part.keys.shape[2], dtype=torch.float32) for part in memory]
    for queries in query.split(step, 1):
        affinities = torch.cat([_affinity(queries.float() * scale, part) for part in memory], 1)
        weights = affinities.softmax(1).split([part.keys.shape[2] for part in memory], 1)
        found = [part.values @ each for part, each in zip(memory, weights, strict=True)]
        read.append(torch.stack(found).sum(0) if len(found) > 1 else found[0])
        for part, each, count in zip(memory, weights, counts, strict=True):
            if part.tracked:
                count += (each > ATTENDED).sum(2)
    return torch.cat(read, 2), counts


def _affinity(queries: Float[Tensor, "c q"], part: Tokens) -> Float[Tensor, "n t q"]:
    """In float32: half precision rounds affinities of 16 and more to eighths, and weights are their exponentials."""
    with torch.autocast(queries.device.type, enabled=False):
        affinity = part.keys.float().mT @ queries
    if part.counted is None:
        return affinity
    # Finite, so that an object without tokens reads the zeros of its padding, and not NaN.
    return affinity.masked_fill(~part.counted.unsqueeze(2), torch.finfo(affinity.dtype).min)
