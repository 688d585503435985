"""Protocol `vip`: intersection over union of the VIP data set's 20 human part classes, background included.

Zhou et al., "Adaptive Temporal Encoding Network for Video Instance-level Human Parsing", ACM MM 2018, scored as in CRW
and later work: one confusion matrix over all annotated frames of all videos, the first included. Predictions of
another size are resized to the annotation's (nearest). Label maps hold classes here, not objects.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Int64

from vosbench.audit.findings import Note
from vosbench.evaluation.metrics import Curves, Pair
from vosbench.evaluation.protocols.protocol import Measure, ObjectScores, Protocol
from vosbench.util.errors import UserError
from vosbench.util.wording import listing
from vosbench.video.images import resize_labels
from vosbench.video.video import LabelMap

CLASSES = 20


def score(pairs: Iterable[Pair], sequence: str = "the sequence") -> dict[int, Curves]:
    """Pixels of intersection and union over time of each class that occurs in one sequence.

    pairs: annotation and prediction of all annotated frames; read once, one held at a time. Pixels annotated as no
    class (255) are ignored. Raises UserError naming the sequence if there is no frame, or for predicted classes above
    19.
    """
    counts: list[Int64[np.ndarray, "2 classes"]] = []
    strangers: set[int] = set()
    for annotation, prediction in pairs:
        counts.append(_count(annotation.labels, resize_labels(prediction.labels, *annotation.size)))
        strangers |= {class_ for class_ in prediction.ids if class_ >= CLASSES}
    if not counts:
        raise UserError(f"{sequence}: no annotated frame: leave it out")
    if strangers:
        raise UserError(f"{sequence}: predicted classes {listing(strangers)} are not among 0 to {CLASSES - 1}")
    intersection, union = np.stack(counts, axis=1).astype(np.float64)
    frames = np.arange(len(counts))
    return {
        class_: Curves(frames, {"intersection": intersection[:, class_], "union": union[:, class_]})
        for class_ in np.flatnonzero(union.sum(0)).tolist()
    }


def _count(truth: LabelMap, labels: LabelMap) -> Int64[np.ndarray, "2 classes"]:
    """Pixels of intersection and union of every class in one frame, from its confusion matrix."""
    valid = (truth < CLASSES) & (labels < CLASSES)
    pairs = CLASSES * truth[valid].astype(np.int64) + labels[valid]
    confusion = np.bincount(pairs, minlength=CLASSES**2).reshape(CLASSES, CLASSES)
    intersection = confusion.diagonal()
    return np.stack([intersection, confusion.sum(0) + confusion.sum(1) - intersection])


def summarise(curves: Curves) -> dict[str, float]:
    """Pixels of intersection and union of a class in one sequence, and their ratio."""
    intersection, union = (float(curves.measures[name].sum()) for name in ("intersection", "union"))
    return {"IoU": intersection / union, "intersection": intersection, "union": union}


def aggregate(objects: ObjectScores) -> dict[str, float]:
    """IoU-Mean, and then the IoU of each class that occurs anywhere, over all sequences together."""
    sums: dict[int, list[float]] = {}
    for key, values in objects.items():
        total = sums.setdefault(key.id, [0.0, 0.0])
        total[0] += values["intersection"]
        total[1] += values["union"]
    classes = {f"IoU-{class_:02}": sums[class_][0] / sums[class_][1] for class_ in sorted(sums)}
    return {"IoU-Mean": float(np.mean(list(classes.values()))), **classes}


PROTOCOL = Protocol(
    name="vip",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=(Measure("IoU-Mean"), *(Measure(f"IoU-{class_:02}") for class_ in range(CLASSES))),
    over_time=(),
    fewest_frames=1,
    late_objects=True,
    advice={  # ids are part classes, which come and go
        **dict.fromkeys((Note.GAPS, Note.LATE, Note.VANISHING, Note.EMPTY)),
        Note.VOID: "these are left out",
    },
    any_size=True,
)
