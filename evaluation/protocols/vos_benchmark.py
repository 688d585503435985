"""Protocol `vos-benchmark`: the scores of hkchengrex/vos-benchmark, for data sets whose objects come and go.

Every annotated frame counts, except a sequence's first and last. Objects are all ids in any scored annotation,
including 255. An object's history starts at the first scored frame where it is annotated or predicted, and lasts to the
end. Predicted objects that are never annotated cost nothing. (That tool prints percent; here scores are fractions.)
"""

from collections.abc import Iterable

import numpy as np

from vosbench.audit.findings import Note, Problem
from vosbench.evaluation.metrics import Curves, Objects, Pair, check_sizes, jaccard_and_f
from vosbench.evaluation.protocols.davis import INNER_FRAMES, J_AND_F, TOO_SHORT
from vosbench.evaluation.protocols.protocol import Measure, ObjectScores, Protocol
from vosbench.util.errors import UserError
from vosbench.video.palette import VOID

MEANS = tuple(Measure(f"{name}-Mean", parts=(f"{name}-Mean",)) for name in ("J", "F"))
History = dict[int, list[tuple[int, float, float]]]


def score(pairs: Iterable[Pair], sequence: str = "the sequence") -> dict[int, Curves]:
    """J and F over time of each object of one sequence, by its id.

    pairs: annotation and prediction of all annotated frames in time order; read once, two held at a time. Raises
    UserError naming the sequence if sizes differ or no object is left to score, and for masks of 0 and 255 if no
    annotation has 255, because these would be scored as empty.
    """
    history: History = {}
    annotated: set[int] = set()
    predicted: set[int] = set()
    held: Pair | None = None
    for position, pair in enumerate(pairs):
        check_sizes(*pair, sequence)
        if held is not None and position > 1:
            annotated |= held[0].ids
            predicted |= held[1].ids
            _append(history, position - 1, *held)
        held = pair
    if predicted == {VOID} and VOID not in annotated:
        raise UserError(f"{sequence}: the only predicted id is 255, which no annotation has: save objects as 1, 2, …")
    if not annotated:
        raise UserError(f"{sequence}: no annotated object between its first and its last frame: leave it out")
    return curves_of({id_: history[id_] for id_ in sorted(annotated)})


def _append(history: History, position: int, annotation: Objects, prediction: Objects) -> None:
    for id_ in history.keys() | annotation.ids | prediction.ids:
        history.setdefault(id_, []).append((position, *jaccard_and_f(annotation[id_], prediction[id_])))


def curves_of(history: History) -> dict[int, Curves]:
    """Curves from each object's (position, J, F)."""
    columns = {id_: np.array(rows, np.float64).T for id_, rows in history.items()}
    return {id_: Curves(frames.astype(int), {"J": j, "F": f}) for id_, (frames, j, f) in columns.items()}


def summarise(curves: Curves) -> dict[str, float]:
    """Mean J and F of one object, as fractions."""
    return {f"{name}-Mean": float(values.mean()) for name, values in curves.measures.items()}


def aggregate(objects: ObjectScores) -> dict[str, float]:
    """The flat mean over all objects of all sequences; J&F-Mean is the mean of J-Mean and F-Mean."""
    scores = {each.name: float(np.mean([each.of(values) for values in objects.values()])) for each in MEANS}
    return {J_AND_F.name: J_AND_F.of(scores), **scores}


PROTOCOL = Protocol(
    name="vos-benchmark",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=(J_AND_F, *MEANS),
    over_time=("J", "F"),
    fewest_frames=3,
    late_objects=True,
    advice={
        Problem.TOO_SHORT: TOO_SHORT.format(name="vos-benchmark"),
        Note.LATE: "these are scored: give them where they first appear (dataset.late_objects=true in DAVIS layout)",
        Note.VOID: "protocol vos-benchmark takes them for one more object",
        Note.SHORT: INNER_FRAMES.format(name="vos-benchmark"),
    },
)
