"""Protocol `davis`: the official semi-supervised score of DAVIS-2016 and DAVIS-2017.

Every frame with an annotation counts, except a sequence's first and last. Objects are 1 … the largest id of the first
annotation. A protocol is a module with these three functions: `score` one sequence, `summarise` one object, `aggregate`
all objects.
"""

from collections.abc import Iterable, Mapping

import numpy as np
from jaxtyping import Float64

from vosbench.evaluation.metrics import Curves, jaccard_and_f
from vosbench.videos import LabelMap

VOID = 255
MEASURES = ("J-Mean", "J-Recall", "J-Decay", "F-Mean", "F-Recall", "F-Decay")


def score(pairs: Iterable[tuple[LabelMap, LabelMap]], sequence: str = "the sequence") -> dict[int, Curves]:
    """J and F over time of each object of one sequence.

    pairs: (annotation, prediction) label maps of all annotated frames in time order; read once, two held at a time.
    Void (255) in an annotation is background. Objects missing in a prediction are empty there. A gap in the ids is an
    empty object. Raises ValueError naming the sequence when fewer than three frames come (none would be left to score),
    when the first annotation is empty, when sizes differ, and when predictions hold ids above the number of objects.
    """
    values: list[list[tuple[float, float]]] = []
    strangers: set[int] = set()
    count = position = 0
    held: tuple[LabelMap, LabelMap] | None = None
    for position, pair in enumerate(pairs, 1):
        if pair[0].shape != pair[1].shape:
            raise ValueError(f"{sequence}: a prediction is {pair[1].shape}, its annotation {pair[0].shape}")
        if position == 1:
            count = _count_objects(pair[0], sequence)
            continue
        if held is not None:  # it is not the last one
            values.append(_score_frame(*held, count))
            strangers |= _ids_above(held[1], count)
        held = pair
    if not values:
        raise ValueError(f"{sequence}: {position} annotated frame(s), and first and last are not scored: leave it out")
    if strangers:
        raise ValueError(f"{sequence}: predicted ids {sorted(strangers)} above its {count} object(s): renumber them")
    table = np.array(values, np.float64)
    frames = np.arange(1, len(table) + 1)
    return {id_: Curves(frames, {"J": table[:, id_ - 1, 0], "F": table[:, id_ - 1, 1]}) for id_ in range(1, count + 1)}


def summarise(curves: Curves) -> dict[str, float]:
    """Mean, recall and decay of J and F of one object, as fractions."""
    return {
        f"{name}-{statistic.__name__.capitalize()}": statistic(values)
        for name, values in curves.measures.items()
        for statistic in (mean, recall, decay)
    }


def aggregate(objects: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """The flat mean over all objects of all sequences; J&F-Mean is the mean of J-Mean and F-Mean."""
    scores = {measure: float(np.mean([values[measure] for values in objects.values()])) for measure in MEASURES}
    return {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}


def mean(values: Float64[np.ndarray, " t"]) -> float:
    return float(values.mean())


def recall(values: Float64[np.ndarray, " t"]) -> float:
    """Share of frames strictly above one half."""
    return float((values > 0.5).mean())


def decay(values: Float64[np.ndarray, " t"]) -> float:
    """Mean of the first quarter minus mean of the last; neighbouring quarters share their edge frame.

    Equal to the official scorer up to 255 scored frames. Beyond, that one counts frames in 8 bits and returns NaN.
    """
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    return float(values[: edges[1] + 1].mean() - values[edges[3] :].mean())


def _count_objects(annotation: LabelMap, sequence: str) -> int:
    count = int(np.where(annotation == VOID, 0, annotation).max())
    if not count:
        raise ValueError(f"{sequence}: its first annotation shows no object; leave this sequence out of the split")
    return count


def _score_frame(annotation: LabelMap, prediction: LabelMap, count: int) -> list[tuple[float, float]]:
    return [jaccard_and_f(annotation == id_, prediction == id_) for id_ in range(1, count + 1)]


def _ids_above(prediction: LabelMap, count: int) -> set[int]:
    return set(np.unique(prediction[prediction > count]).tolist())
