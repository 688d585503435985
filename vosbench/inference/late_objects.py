"""Objects that start late. Frames from before an object's start do not show it as background: they know nothing of it.

Each object is read from references since its start. Objects that start together are read together, and those that
started last come first: what they leave of a pixel is divided among the earlier ones, and so on down to the background.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Context, Entry, F, Segmented, V
from vosbench.video.video import Video

BeforeStart = Literal["unknown", "background"]
Segment = Callable[[F, Context[F, V]], Segmented[F]]
SETTING = "inference.before_start"
SMALL = 1e-6  # of a pixel, which is nothing to divide


def read_since_their_starts(
    segment: Segment[F, V], query: F, context: Context[F, V], starts: Sequence[int]
) -> Segmented[F]:
    """What `segment` finds, with each object read from the references that know it.

    starts  for each object, in the order of their channels, the frame where it was first given

    An object that no reference knows is read from the previous frame. The features are those of the reading that knows
    all objects.
    """
    passes: dict[tuple[int, ...], list[int]] = {}
    for channel, start in enumerate(starts, 1):
        passes.setdefault(_known(context.references, start), []).append(channel)
    ordered = sorted(passes.items(), key=lambda each: max(starts[channel - 1] for channel in each[1]))
    found = [segment(query, _narrowed(context, places)) for places, _ in ordered]
    if len(found) == 1:
        return found[0]
    scores = divided([each.scores for each in found], [channels for _, channels in ordered])
    return Segmented(scores, found[-1].features)


def divided(
    readings: Sequence[Float[Tensor, "1 n h w"]], channels: Sequence[Sequence[int]]
) -> Float[Tensor, "1 n h w"]:
    """The scores of several readings in one.

    readings  earliest objects first
    channels  of each reading, those of its objects: all readings together have each object once
    """
    merged, rest = torch.zeros_like(readings[0]), torch.ones_like(readings[0][:, :1])
    taken: list[int] = []
    for scores, own in zip(reversed(readings), reversed(channels), strict=True):
        others, objects = (torch.tensor(each, dtype=torch.long, device=rest.device) for each in (taken, own))
        share = rest / (1 - scores.index_select(1, others).sum(1, keepdim=True)).clamp_min(SMALL) if taken else rest
        found = scores.index_select(1, objects) * share
        merged = merged.index_copy(1, objects, found)
        merged[:, :1] = scores[:, :1] * share
        rest = (rest - found.sum(1, keepdim=True)).clamp_min(0)
        taken += own
    return merged


def _known(references: Sequence[Entry[V]], start: int) -> tuple[int, ...]:
    """The places of the references that know an object."""
    return tuple(place for place, entry in enumerate(references) if entry.index >= start)


def _narrowed(context: Context[F, V], places: Sequence[int]) -> Context[F, V]:
    previous = context.previous
    references = tuple(context.references[place] for place in places)
    references = references or (Entry(previous.index, False, previous.value),)
    return Context(context.index, previous, references)


def has_late_objects(video: Video) -> bool:
    """Whether masks are given in more than one frame."""
    return sum(video.given(index) is not None for index in range(len(video.frame_names))) > 1


def without_starts(recipe: Mapping[str, str]) -> dict[str, str]:
    """The settings that results without late objects depend on, by dotted key."""
    return {key: value for key, value in recipe.items() if key != SETTING}
