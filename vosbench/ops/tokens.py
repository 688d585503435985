"""Global attention to memory: every query cell attends to all tokens of an object, wherever they lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor

CHUNK = 1 << 25  # affinities held at a time (128 MiB in float32)
NOTICED = 1e-3  # a query attends to a token if it gives it more weight than this (AFB-URR)


@dataclass(frozen=True)
class Tokens:
    """Keys and values of objects in memory.

    counted   which tokens are valid, where objects have different numbers of them; the values of the others are 0.
              None: all
    noticed   usage: running sum over reads of log(1 + queries that attend to the token); None: not tracked
    """

    keys: Float[Tensor, "n c t"]
    values: Float[Tensor, "n v t"]
    counted: Bool[Tensor, "n t"] | None = None
    noticed: Float[Tensor, "n t"] | None = None

    def of(self, objects: slice) -> "Tokens":
        """The tokens of some objects: views, so reading them updates the usage of the originals."""
        counted, noticed = (None if each is None else each[objects] for each in (self.counted, self.noticed))
        return Tokens(self.keys[objects], self.values[objects], counted, noticed)

    def beside(self, others: "Tokens") -> "Tokens":
        """These objects followed by others, which need the same number of tokens."""
        if self.counted is not None or others.counted is not None:
            raise ValueError("objects with different numbers of tokens cannot be put beside each other")
        return Tokens(torch.cat([self.keys, others.keys]), torch.cat([self.values, others.values]))


def read_tokens(
    query: Float[Tensor, "c q"], memory: Sequence[Tokens], *, scale: float, chunk: int = CHUNK
) -> Float[Tensor, "n v q"]:
    """For each object, the softmax-weighted sum of its values: softmax of kᵀq · `scale` over all of its tokens.

    All objects share the query's keys but not those of memory, so this is one product batched over objects, in groups
    that `chunk` bounds. Products follow autocast; the softmax is in float32. An object without tokens reads 0.

    chunk  affinities held at a time (at least those of one query and object)
    """
    tokens = sum(part.keys.shape[2] for part in memory)
    objects = max(1, chunk // (tokens * query.shape[1]))
    step = max(1, chunk // (tokens * min(objects, len(memory[0].keys))))
    groups = [
        _read_group(query, [part.of(slice(first, first + objects)) for part in memory], scale, step)
        for first in range(0, len(memory[0].keys), objects)
    ]
    return torch.cat(groups)


def _read_group(
    query: Float[Tensor, "c q"], memory: Sequence[Tokens], scale: float, step: int
) -> Float[Tensor, "n v q"]:
    read = []
    noticed = [
        (i, part.noticed, torch.zeros_like(part.noticed)) for i, part in enumerate(memory) if part.noticed is not None
    ]
    for queries in query.split(step, 1):
        affinities = torch.cat([_affinity(queries * scale, part) for part in memory], 1)
        weights = affinities.softmax(1).split([part.keys.shape[2] for part in memory], 1)
        found = [part.values @ each for part, each in zip(memory, weights, strict=True)]
        read.append(torch.stack(found).sum(0) if len(found) > 1 else found[0])
        for i, _, count in noticed:
            count += (weights[i] > NOTICED).sum(2)
    for _, total, count in noticed:
        total += count.log1p()
    return torch.cat(read, 2)


def _affinity(queries: Float[Tensor, "c q"], part: Tokens) -> Float[Tensor, "n t q"]:
    affinity = (part.keys.mT @ queries).float()
    if part.counted is None:
        return affinity
    # Finite, so that an object without tokens reads the zeros of its padding, and not NaN.
    return affinity.masked_fill(~part.counted.unsqueeze(2), torch.finfo(affinity.dtype).min)
