"""Protocol `davis`: the official semi-supervised score of DAVIS-2016 and DAVIS-2017.

Every frame with an annotation counts, except a sequence's first and last. Objects are 1 … the largest id of the first
annotation.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Float64, Int64

from vosbench.audit.findings import Note, Problem
from vosbench.evaluation.metrics import Curves, Objects, Pair, check_sizes, jaccard_and_f
from vosbench.evaluation.protocols.protocol import Measure, ObjectScores, Protocol, SubmissionFormat
from vosbench.util.errors import UserError
from vosbench.util.wording import listing
from vosbench.video.palette import VOID

J_AND_F = Measure("J&F-Mean", parts=("J-Mean", "F-Mean"))
MEASURES = tuple(
    measure
    for name in ("J", "F")
    for measure in (
        Measure(f"{name}-Mean", parts=(f"{name}-Mean",)),
        Measure(f"{name}-Recall", parts=(f"{name}-Recall",)),
        Measure(f"{name}-Decay", parts=(f"{name}-Decay",), low=-1.0, falling=True),
    )
)
INNER_FRAMES = "protocol {name}, which scores neither first nor last frame, refuses such videos"
TOO_SHORT = "protocol {name} scores neither first nor last frame, so it needs 3: leave these videos out"
GAPS = "protocol {name} takes a gap among the ids of the first frame for an empty object"


def score(pairs: Iterable[Pair], sequence: str = "the sequence") -> dict[int, Curves]:
    """J and F over time of each object of one sequence.

    pairs: annotation and prediction of all annotated frames in time order; read once, two held at a time.
    Void (255) in an annotation is background. Objects missing in a prediction are empty there. A gap in the ids is an
    empty object. Raises UserError naming the sequence if there are fewer than three frames (none would be left to
    score), if the first annotation is empty, if sizes differ, or if predictions have ids above the number of objects.
    """
    values: list[list[tuple[float, float]]] = []
    strangers: set[int] = set()
    late: set[int] = set()
    count = position = 0
    held: Pair | None = None
    for position, pair in enumerate(pairs, 1):
        check_sizes(*pair, sequence)
        if position == 1:
            count = count_objects(pair[0], sequence)
            continue
        if held is not None:  # it is not the last one
            values.append([jaccard_and_f(held[0][id_], held[1][id_]) for id_ in range(1, count + 1)])
            strangers |= {id_ for id_ in held[1].ids if id_ > count}
            late |= held[0].ids - {VOID}
        held = pair
    if not values:
        raise UserError(f"{sequence}: {position} annotated frame(s), and first and last are not scored: leave it out")
    if strangers:
        ids = f"{sequence}: predicted ids {listing(strangers)} above its {count} object(s)"
        raise UserError(f"{ids}{_why(strangers, late)}")
    table = np.array(values, np.float64)
    return curves(np.arange(1, len(table) + 1), table)


def _why(strangers: set[int], late: set[int]) -> str:
    """What ids above the number of objects may mean, and what to do. late: ids that any annotation shows."""
    if VOID in strangers:
        return " (255 is void, which only annotations have): renumber them"
    if strangers <= late:
        return ", which start late and are not scored: remove them, or use protocol=vos-benchmark"
    return ": renumber them"


def curves(frames: Int64[np.ndarray, " t"], table: Float64[np.ndarray, "t n 2"]) -> dict[int, Curves]:
    """Curves of objects 1 … n from their (J, F) in each frame."""
    return {i + 1: Curves(frames, {"J": table[:, i, 0], "F": table[:, i, 1]}) for i in range(table.shape[1])}


def summarise(curves: Curves) -> dict[str, float]:
    """Mean, recall and decay of J and F of one object, as fractions."""
    return {
        f"{name}-{statistic.__name__.capitalize()}": statistic(values)
        for name, values in curves.measures.items()
        for statistic in (mean, recall, decay)
    }


def aggregate(objects: ObjectScores) -> dict[str, float]:
    """The flat mean over all objects of all sequences; J&F-Mean is the mean of J-Mean and F-Mean."""
    scores = {each.name: float(np.mean([each.of(values) for values in objects.values()])) for each in MEASURES}
    return {J_AND_F.name: J_AND_F.of(scores), **scores}


def mean(values: Float64[np.ndarray, " t"]) -> float:
    return float(values.mean())


def recall(values: Float64[np.ndarray, " t"]) -> float:
    """Share of frames strictly above one half."""
    return float((values > 0.5).mean())


def decay(values: Float64[np.ndarray, " t"]) -> float:
    """Mean of the first quarter minus mean of the last; neighbouring quarters share their edge frame.

    Equal to the official scorer up to 255 scored frames. Beyond that, it counts frames in 8 bits and returns NaN.
    """
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    return float(values[: edges[1] + 1].mean() - values[edges[3] :].mean())


def count_objects(annotation: Objects, sequence: str) -> int:
    """The largest id of a first annotation, except void. Raises UserError if it shows no object."""
    count = max(annotation.ids - {VOID}, default=0)
    if not count:
        raise UserError(f"{sequence}: its first annotation shows no object; leave this sequence out of the split")
    return count


PROTOCOL = Protocol(
    name="davis",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=(J_AND_F, *MEASURES),
    over_time=("J", "F"),
    fewest_frames=3,
    late_objects=False,
    advice={
        Problem.TOO_SHORT: TOO_SHORT.format(name="davis"),
        Note.BINARY: "use dataset.year=2016 or dataset.binary=true: elsewhere 255 is void",
        Note.FEW: "enough to predict and submit; to score, protocol davis needs 3",
        Note.GAPS: GAPS.format(name="davis"),
        Note.LATE: "these are ignored; protocol=vos-benchmark with dataset.late_objects=true scores them",
        Note.SHORT: INNER_FRAMES.format(name="davis"),
    },
    submission=SubmissionFormat(),
    official_task="semi-supervised",
)
