"""What checkpoints and records say of a training."""

import shlex
from collections.abc import Mapping, Sequence
from typing import Any

FIELDS: dict[str, Any] = {
    "seed": int,
    "recipe": str,
    "overrides": list[str],
    "earlier": list[str],
    "steps": int,
    "max_steps": int,
    "hours": float | None,
    "earlier_hours": float | None,
    "device": str,
    "losses": list[tuple[float, float]] | None,
}
POINTS = 100  # most of a curve of losses


def thinned(losses: Sequence[tuple[float, float]]) -> list[list[float]]:
    """At most POINTS of a curve, the first and the last among them."""
    count = min(len(losses), POINTS)
    chosen = {round(place * (len(losses) - 1) / max(count - 1, 1)) for place in range(count)}
    return [list(losses[place]) for place in sorted(chosen)]


def commands(training: Mapping[str, Any]) -> list[str]:
    """The commands of a training and of the stages before it, earlier ones first."""
    return [*(training.get("earlier") or []), shlex.join(["vosbench", "train", *training["overrides"]])]


def total_hours(training: Mapping[str, Any] | None) -> float | None:
    """Hours of a training and of the stages before it; None if those of one are unknown."""
    if training is None:
        return None
    own, earlier = training.get("hours"), training.get("earlier_hours")
    return None if own is None or earlier is None else float(own + earlier)
