"""Protocol `davis-unsupervised`: the official score of DAVIS-2017 unsupervised (Caelles et al., arXiv 1905.00737).

All annotated frames count. A prediction is up to 20 proposals with any numbering. Proposals and objects are matched one
to one over the whole sequence so that the mean of J and F is largest (Hungarian method). Void pixels of an annotation
are ignored everywhere.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64

from vosbench.audit.findings import Note
from vosbench.evaluation.metrics import EMPTY, Curves, Objects, Pair, check_sizes, jaccard_and_f
from vosbench.evaluation.protocols.davis import GAPS, J_AND_F, MEASURES, aggregate, count_objects, curves, summarise
from vosbench.evaluation.protocols.protocol import Protocol
from vosbench.util.errors import UserError
from vosbench.util.wording import listing
from vosbench.video.palette import VOID

__all__ = ["aggregate", "score", "summarise"]

PROPOSALS = 20


def score(pairs: Iterable[Pair], sequence: str = "the sequence") -> dict[int, Curves]:
    """J and F over time of each object of one sequence, for the proposal that it is matched with.

    pairs: annotation and prediction of all annotated frames in time order; read once, one held at a time.
    Objects are those of the first annotation; an object left without a proposal is missed. Raises UserError naming the
    sequence if there is no frame, if the first annotation is empty, if sizes differ, or for ids above 20.
    """
    tables: list[Float64[np.ndarray, "p n 2"]] = []
    strangers: set[int] = set()
    count = highest = 0
    for annotation, proposals in pairs:
        check_sizes(annotation, proposals, sequence)
        count = count or count_objects(annotation, sequence)
        highest = max(highest, *proposals.ids, 0)
        strangers |= {id_ for id_ in proposals.ids if id_ > PROPOSALS}
        if VOID in annotation.ids:
            proposals = Objects.of(np.where(annotation.labels == VOID, 0, proposals.labels).astype(np.uint8))
        tables.append(_compare(annotation, proposals, count))
    if not tables:
        raise UserError(f"{sequence}: no annotated frame: leave it out")
    if strangers:
        raise UserError(f"{sequence}: predicted ids {listing(strangers)} above {PROPOSALS} proposals: renumber them")
    table = np.stack(tables)[:, : max(highest, count)]  # none are added if there are enough, as officially
    return curves(np.arange(len(table)), table[:, _match(table.mean(0).mean(-1)), np.arange(count)])


def _compare(annotation: Objects, proposals: Objects, count: int) -> Float64[np.ndarray, "p n 2"]:
    """J and F of every proposal (id − 1) with every object (id − 1) in one frame."""
    objects = [annotation[id_] for id_ in range(1, count + 1)]
    missed = [jaccard_and_f(region, EMPTY) for region in objects]
    table = np.array([missed] * max(PROPOSALS, count), np.float64)
    for id_ in proposals.ids & set(range(1, PROPOSALS + 1)):
        table[id_ - 1] = [jaccard_and_f(region, proposals[id_]) for region in objects]
    return table


def _match(scores: Float64[np.ndarray, "p n"]) -> list[int]:
    """The proposal matched with each object."""
    from scipy.optimize import linear_sum_assignment

    _, proposals = linear_sum_assignment(scores.T, maximize=True)
    return [int(proposal) for proposal in proposals]


PROTOCOL = Protocol(
    name="davis-unsupervised",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=(J_AND_F, *MEASURES),
    over_time=("J", "F"),
    fewest_frames=1,
    late_objects=False,
    advice={
        Note.GAPS: GAPS.format(name="davis-unsupervised"),
        Note.LATE: "these are ignored",
        Note.VOID: "these are left out",
        Note.MANY: f"protocol davis-unsupervised takes at most {PROPOSALS} proposals",
    },
    official_task="unsupervised",
)
