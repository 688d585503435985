"""What checkpoints and records say of a training."""

from collections.abc import Mapping
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
}


def total_hours(training: Mapping[str, Any]) -> float | None:
    """Hours of a training and of the stages before it; None if those of one are unknown."""
    own, earlier = training.get("hours"), training.get("earlier_hours")
    return None if own is None or earlier is None else float(own + earlier)
