"""The data that a method and the framework exchange: training clips, memory entries with their context, and results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Generic, Literal, TypeVar

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.ops.draws import Draws

F = TypeVar("F")
V = TypeVar("V")
Scores = Float[Tensor, "1 n h w"]


@dataclass(frozen=True)
class Clip:
    """A batch of training clips: b clips of t frames of one size.

    frames         RGB in [0, 1]
    labels         object ids (0 = background), or None for unlabelled video
    indices        index of each frame in its video
    videos         one id per clip
    valid          False where a frame was padded to reach the size
    pseudo_labels  ids of segments that were found without any annotation (0 = none), or None
    seeds          of the random numbers of each clip; None: torch's CPU generator gives them
    """

    frames: Float[Tensor, "b t 3 h w"]
    labels: Int[Tensor, "b t h w"] | None
    indices: Int[Tensor, "b t"]
    videos: tuple[str, ...]
    valid: Bool[Tensor, "b t h w"]
    pseudo_labels: Int[Tensor, "b t h w"] | None = None
    seeds: tuple[int, ...] | None = None

    def draws(self) -> Draws:
        """Random numbers of each clip's own, from the beginning."""
        return Draws(torch.randint(2**62, (len(self.videos),)).tolist() if self.seeds is None else self.seeds)

    def to(self, device: torch.device | str) -> Clip:
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> Clip:
        return self._moved(Tensor.pin_memory)

    def _moved(self, move: Callable[[Tensor], Tensor]) -> Clip:
        """`indices` stay on the CPU: they are only used for indexing."""
        labels, pseudo_labels = (None if maps is None else move(maps) for maps in (self.labels, self.pseudo_labels))
        valid = move(self.valid)
        return replace(self, frames=move(self.frames), labels=labels, valid=valid, pseudo_labels=pseudo_labels)


@dataclass(frozen=True)
class Padding:
    """How frames are padded to a multiple of the stride: `side` and RGB `value`.

    A negative value lies outside of every image, so a method can tell padding from picture.
    """

    side: Literal["right-bottom", "centre"]
    value: tuple[float, float, float]


@dataclass(frozen=True)
class Entry(Generic[V]):
    """A memorized frame. `index` counts frames from the first one with a mask; `given`: its mask was a prompt."""

    index: int
    given: bool
    value: V


@dataclass(frozen=True)
class Previous(Generic[F, V]):
    """The frame before the query: its features and what memory would keep of it."""

    index: int
    features: F
    value: V


@dataclass(frozen=True)
class Context(Generic[F, V]):
    """Everything a method may use besides the query's features. `previous` is available under every memory policy."""

    index: int
    previous: Previous[F, V]
    references: tuple[Entry[V], ...]


@dataclass(frozen=True)
class Segmented(Generic[F]):
    """What `Method.segment` returns if it has more to pass on than the scores.

    scores    of the query's pixels, as `segment` describes them
    features  passed to `memorize` instead of the query's features; None: those that `encode` made
    usage     for each reference, how many queries attended to each of its tokens, or None if that was not counted; for
              memories that evict tokens
    """

    scores: Scores
    features: F | None = None
    usage: tuple[Float[Tensor, "objects tokens"] | None, ...] = ()
