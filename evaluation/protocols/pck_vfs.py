"""Protocol `pck-vfs`: PCK of JHMDB's 15 joints as the code of VFS counts it, with the first frame, which flatters.

Xu and Wang, "Rethinking Self-supervised Correspondence Learning", ICCV 2021 (jhmdb_dataset.py). It differs from
`pck-crw` in two points: the first frame counts, whose joints are given, and a joint in column 0 counts as lost.
"""

from collections.abc import Iterable

from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.protocols.pck_crw import ADVICE, MEASURES, aggregate, compare, curves, summarise
from vosbench.evaluation.protocols.protocol import Protocol
from vosbench.video.video import Joints

__all__ = ["aggregate", "score", "summarise"]


def score(pairs: Iterable[tuple[Joints, Joints]], sequence: str = "the sequence") -> dict[int, Curves]:
    """As `pck_crw.score`, with frame 0."""
    frames = [compare(truth, found, found[:, 0] > 0) for truth, found in pairs]
    return curves(frames, 0, sequence)


PROTOCOL = Protocol(
    name="pck-vfs",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=MEASURES,
    over_time=(),
    fewest_frames=1,
    late_objects=False,
    advice=ADVICE,
    compares="joints",
    headlines=2,
)
