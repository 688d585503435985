"""What something learned from, as records and tables say it. No packages: scoring processes import this."""

from typing import Literal, Protocol, get_args

# From the weakest to the strongest. none: nothing was learned; flow-supervised: no masks or labels of objects, but a
# flow network that learned from true flow; supervised: masks of objects or labels of images.
Supervision = Literal["none", "self-supervised", "flow-supervised", "supervised"]


class Learned(Protocol):
    """Something that learned elsewhere, or may have: a flow estimator, a network that begins with trained weights.

    learned_from  names of what it learned from, in that order; (): nothing
    """

    @property
    def supervision(self) -> Supervision: ...

    @property
    def learned_from(self) -> tuple[str, ...]: ...


def strongest(*found: Supervision) -> Supervision:
    """The strongest of several: that of the whole."""
    return max(found, key=get_args(Supervision).index, default="none")
