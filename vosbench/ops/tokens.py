"""Reading of a memory that is searched whole: every query cell looks at all tokens of an object, wherever they lie."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

CHUNK = 1 << 25  # affinities held at a time (128 MiB in float32)


@dataclass(frozen=True)
class Tokens:
    """Keys and values that objects have in memory.

    counted   which of them there are, where objects have different numbers: the others' values are 0; None: all
    """

    keys: Float[Tensor, "n c t"]
    values: Float[Tensor, "n v t"]
    counted: Bool[Tensor, "n t"] | None = None

    def extended(self, count: int) -> "Tokens":
        """With `count` more objects, which have none."""
        n, _, t = self.keys.shape
        counted = self.keys.new_ones(n, t, dtype=torch.bool) if self.counted is None else self.counted
        keys, values = (nnf.pad(each, (0, 0, 0, 0, 0, count)) for each in (self.keys, self.values))
        return Tokens(keys, values, nnf.pad(counted, (0, 0, 0, count)))

    def beside(self, others: "Tokens") -> "Tokens":
        """With other objects, which have as many."""
        if self.counted is not None or others.counted is not None:
            raise ValueError("objects with different numbers of tokens cannot be put beside each other")
        return Tokens(torch.cat([self.keys, others.keys]), torch.cat([self.values, others.values]))


@dataclass(frozen=True)
class Read:
    """What was read, and by how many queries each token of each part of memory was noticed."""

    values: Float[Tensor, "n v q"]
    noticed: tuple[Int[Tensor, "n t"], ...] = ()


def read_tokens(
    query: Float[Tensor, "c q"],
    memory: Sequence[Tokens],
    *,
    scale: float,
    least: float | None = None,
    chunk: int = CHUNK,
) -> Read:
    """For each object, the softmax-weighted sum of its values: softmax of kᵀq · `scale` over all of its tokens.

    The keys of a query are shared by all objects, those of memory are not, so this is one product batched over objects
    (in groups that `chunk` bounds). Products follow autocast; the softmax is float32. An object without tokens reads 0.

    least   count a token as noticed by each query that gives it more weight than this; None: do not count
    """
    tokens = sum(part.keys.shape[2] for part in memory)
    objects = max(1, chunk // (tokens * query.shape[1]))
    step = max(1, chunk // (tokens * min(objects, len(memory[0].keys))))
    groups = [
        _read_group(query, [_take(part, group) for part in memory], scale, least, step)
        for group in torch.arange(len(memory[0].keys)).split(objects)
    ]
    noticed = tuple(torch.cat(parts) for parts in zip(*(group.noticed for group in groups), strict=True))
    return Read(torch.cat([group.values for group in groups]), noticed)


def _take(part: Tokens, objects: Int[Tensor, " g"]) -> Tokens:
    of = slice(int(objects[0]), int(objects[-1]) + 1)
    return Tokens(part.keys[of], part.values[of], None if part.counted is None else part.counted[of])


def _read_group(
    query: Float[Tensor, "c q"], memory: Sequence[Tokens], scale: float, least: float | None, step: int
) -> Read:
    read = []
    noticed = [torch.zeros(part.keys.shape[::2], dtype=torch.long, device=query.device) for part in memory]
    for queries in query.split(step, 1):
        affinities = torch.cat([_affinity(queries * scale, part) for part in memory], 1)
        weights = affinities.softmax(1).split([part.keys.shape[2] for part in memory], 1)
        found = [part.values @ each for part, each in zip(memory, weights, strict=True)]
        read.append(torch.stack(found).sum(0) if len(found) > 1 else found[0])
        if least is not None:
            for count, each in zip(noticed, weights, strict=True):
                count += (each > least).sum(2)
    return Read(torch.cat(read, 2), () if least is None else tuple(noticed))


def _affinity(queries: Float[Tensor, "c q"], part: Tokens) -> Float[Tensor, "n t q"]:
    affinity = (part.keys.mT @ queries).float()
    if part.counted is None:
        return affinity
    # Finite, so that an object without tokens reads the zeros that stand there, and not NaN.
    return affinity.masked_fill(~part.counted.unsqueeze(2), torch.finfo(affinity.dtype).min)
