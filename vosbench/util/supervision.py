"""Kinds of supervision, as records and tables state them. It imports no packages: scoring processes import it."""

from typing import Literal, Protocol, get_args

# From the weakest to the strongest. none: nothing was learned. flow-supervised: no object masks or image labels, but a
# flow network trained on ground-truth flow. supervised: object masks or image labels.
Supervision = Literal["none", "self-supervised", "flow-supervised", "supervised"]


class Learned(Protocol):
    """Something that may have been trained elsewhere: a flow estimator, or a network with pre-trained weights.

    learned_from  names of its training data, in order; (): none
    """

    @property
    def supervision(self) -> Supervision: ...

    @property
    def learned_from(self) -> tuple[str, ...]: ...


def strongest(*found: Supervision) -> Supervision:
    """The strongest of several kinds, which is that of the whole."""
    return max(found, key=get_args(Supervision).index, default="none")
