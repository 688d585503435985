"""Protocol `pck-vfs`: PCK of JHMDB's 15 joints as the code of VFS counts it, with the first frame, which flatters.

Xu and Wang, "Rethinking Self-supervised Correspondence Learning", ICCV 2021 (jhmdb_dataset.py). It differs from
`pck-crw` in two points: the first frame counts, whose joints are given, and a joint in column 0 counts as lost.
"""

from collections.abc import Iterable
from dataclasses import replace

from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.protocols import pck_crw
from vosbench.video.video import Joints


def score(pairs: Iterable[tuple[Joints, Joints]], sequence: str = "the sequence") -> dict[int, Curves]:
    """As `pck_crw.score`, with frame 0."""
    frames = [pck_crw.compare(truth, found, found[:, 0] > 0) for truth, found in pairs]
    return pck_crw.curves(frames, 0, sequence)


PROTOCOL = replace(pck_crw.PROTOCOL, name="pck-vfs", score=score, fewest_frames=1)
