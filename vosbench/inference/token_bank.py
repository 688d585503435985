"""A memory that does not grow with the video: similar tokens are merged, and rarely used ones are evicted."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, ClassVar, Generic, Protocol, TypeVar

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.contract import Entry
from vosbench.ops.tokens import CHUNK, Tokens, Usage
from vosbench.settings.checks import below, outside, refuse
from vosbench.util.errors import UserError

NO_COSINE = -2.0  # below every cosine: that of an empty slot


class Tokenised(Protocol):
    """The entry of a method that searches the whole memory: a dataclass with tokens and any other fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    @property
    def tokens(self) -> Tokens: ...


V = TypeVar("V", bound=Tokenised)
New = Float[Tensor, "c t"]
Kept = Float[Tensor, "c kept"]


class TokenBank(Generic[V]):
    """Keeps tokens of all past frames under a budget: AFB-URR's adaptive feature bank (Liang et al. 2020).

    A new token that is similar to a token in the bank moves that token a little; other new tokens are added. Once the
    bank is full, new tokens replace those with the lowest usage for their age. Each object has its own tokens and its
    share of the budget. A query has a single reference, the bank, so methods must search the whole memory.

    budget      most tokens in total; each object may have budget / (objects + 1), as AFB-URR also stores the background
    similarity  cosine above which two keys are similar
    rate        by which the directions of a token's key and value move towards those of similar tokens

    If a frame has more tokens than an object may have, a subset is taken, spread evenly over the frame.
    """

    def __init__(self, *, budget: int = 300_000, similarity: float = 0.95, rate: float = 0.1) -> None:
        found = below(2, budget=budget) + outside(0, 1, rate=rate) + outside(-1, 1, similarity=similarity)
        refuse("memory", found)
        self.budget, self.similarity, self.rate = budget, similarity, rate
        self._newest: Entry[V] | None = None
        self._bank: _Bank | None = None

    def references(self, index: int) -> tuple[Entry[V], ...]:
        """The bank as one entry: that of the last frame, with the tokens of all frames."""
        if self._newest is None or self._bank is None:
            return ()
        return (Entry(self._newest.index, True, replace(self._newest.value, tokens=self._bank.tokens)),)

    def add(self, entry: Entry[V]) -> None:
        """Raises UserError for a method without tokens, which searches windows or warps whole frames."""
        new = getattr(entry.value, "tokens", None)
        if not isinstance(new, Tokens):
            raise UserError(
                "memory=adaptive merges tokens of frames, and this method needs frames: choose another memory="
            )
        if self._bank is None:
            self._bank = _Bank(new)
        self._newest = entry
        self._bank.hold(len(new.keys), self.budget // (len(new.keys) + 1))
        for item in range(len(new.keys)):
            self._bank.update(item, new.keys[item], new.values[item], entry.index, self.similarity, self.rate)

    def note_usage(self, usage: Sequence[Usage | None]) -> None:
        """Adds to the usage: how many queries attended to each token of the one reference."""
        (attended,) = usage
        if self._bank is not None and attended is not None:
            self._bank.note_usage(attended)

    def replace(self, change: Callable[[V], V]) -> None:
        """An object has started; the bank has no tokens for it yet."""
        if self._newest is not None and self._bank is not None:
            self._newest = replace(self._newest, value=change(self._newest.value))
            objects = len(self._newest.value.tokens.keys)
            self._bank.hold(objects, self.budget // (objects + 1))

    def forget(self, objects: Sequence[int]) -> None:
        """Empties the slots of these objects."""
        if self._bank is not None:
            self._bank.forget(objects)


class _Bank:
    """Slots for the tokens of all objects: which are filled, their usage, and the frame that each token is from.

    Usage is the sum over reads of log(1 + queries that attended to the token).
    """

    def __init__(self, like: Tokens) -> None:
        self._keys, self._values = (each.new_zeros(0, each.shape[1], 0) for each in (like.keys, like.values))
        self._usage = torch.zeros(0, 0, device=like.keys.device)
        self._born, self._filled = self._usage.long(), self._usage.bool()
        self._room, self._now = 0, 0

    @property
    def tokens(self) -> Tokens:
        return Tokens(self._keys, self._values, self._filled, tracked=True)

    def note_usage(self, attended: Usage) -> None:
        self._usage = self._usage + attended.log1p()

    def forget(self, objects: Sequence[int]) -> None:
        for item in objects:
            self._filled[item], self._values[item] = False, 0  # values of empty slots are 0: see `Tokens`

    def hold(self, objects: int, room: int) -> None:
        """Makes room for more objects. Each may now have `room` tokens, maybe fewer than before."""
        if room < 1:
            raise UserError(f"memory.budget leaves none of {objects} objects a token: give at least {objects + 1}")
        self._pad(objects - len(self._keys), 0)
        self._room = room
        if self._filled.shape[1] > room:
            best = self._eviction_scores().topk(room, 1).indices
            self._keys, self._values = (
                maps.gather(2, best.unsqueeze(1).expand(-1, maps.shape[1], -1)) for maps in (self._keys, self._values)
            )
            self._usage, self._born, self._filled = (
                each.gather(1, best) for each in (self._usage, self._born, self._filled)
            )

    def update(
        self, item: int, keys: New, values: Float[Tensor, "v t"], index: int, similarity: float, rate: float
    ) -> None:
        """Adds an object's tokens of a frame."""
        self._now = index
        if self._filled[item].any():
            cosine, which = nearest(self._keys[item], self._filled[item], keys)
            similar = cosine > similarity
            for kept, new in ((self._keys[item], keys), (self._values[item], values)):
                _move(kept, which[similar], new[:, similar], rate)
            keys, values = keys[:, ~similar], values[:, ~similar]
        if keys.shape[1] > self._room:
            spread = torch.linspace(0, keys.shape[1] - 1, self._room, device=keys.device).round().long()
            keys, values = keys[:, spread], values[:, spread]
        self._put(item, keys, values)

    def _put(self, item: int, keys: New, values: Float[Tensor, "v t"]) -> None:
        """Puts new tokens into free slots, then into additional slots, then into those with the lowest eviction
        scores."""
        slots, count = self._filled.shape[1], keys.shape[1]
        missing = int(self._filled[item].sum()) + count - slots
        if missing > 0 and slots < self._room:  # at least doubled, so that this is rare
            self._pad(0, min(max(missing, slots), self._room - slots))
        chosen = self._eviction_scores()[item].topk(count, largest=False).indices
        self._keys[item, :, chosen], self._values[item, :, chosen] = keys, values
        self._filled[item, chosen], self._usage[item, chosen], self._born[item, chosen] = True, 0, self._now

    def _eviction_scores(self) -> Float[Tensor, "n t"]:
        """Usage divided by age in frames; the lowest is evicted first. An empty slot scores less than any token."""
        score = self._usage / (self._now - self._born + 1)
        return score.masked_fill(~self._filled, -1)

    def _pad(self, objects: int, slots: int) -> None:
        self._keys, self._values = (nnf.pad(maps, (0, slots, 0, 0, 0, objects)) for maps in (self._keys, self._values))
        self._usage, self._born, self._filled = (
            nnf.pad(each, (0, slots, 0, objects)) for each in (self._usage, self._born, self._filled)
        )


def nearest(
    bank: Kept, filled: Bool[Tensor, " kept"], new: New, chunk: int = CHUNK
) -> tuple[Float[Tensor, " t"], Int[Tensor, " t"]]:
    """The highest cosine with a token of the bank, and that token's index. At most `chunk` cosines are held at a
    time."""
    bank, new = (nnf.normalize(tokens.float(), dim=0) for tokens in (bank, new))
    best = [
        (bank.T @ part).masked_fill_(~filled.unsqueeze(1), NO_COSINE).max(0)
        for part in new.split(max(1, chunk // len(filled)), 1)
    ]
    return torch.cat([cosine for cosine, _ in best]), torch.cat([which for _, which in best])


def _move(kept: Kept, slots: Int[Tensor, " t"], new: New, rate: float) -> None:
    """Turns stored tokens towards the mean direction of the new tokens similar to them; lengths stay the same."""
    unique, whose = slots.unique(return_inverse=True)
    old, new = kept[:, unique].float(), nnf.normalize(new.float(), dim=0)
    towards = torch.zeros_like(old).index_add_(1, whose, new) / whose.bincount(minlength=len(unique))
    turned = (1 - rate) * nnf.normalize(old, dim=0) + rate * towards
    kept[:, unique] = (nnf.normalize(turned, dim=0) * old.norm(dim=0)).to(kept.dtype)
