"""Protocol `youtube-vos`: J and F of seen and unseen categories, after Xu et al., "YouTube-VOS", arXiv 1809.03327.

The server's code was never published, so these scores are **unofficial**. Every annotated frame counts, including the
last; an object is scored from the frame after the first one that shows it. Annotations of the validation set are
withheld, so this is for other splits.
"""

import logging
from collections.abc import Iterable

import numpy as np

from vosbench.evaluation.metrics import Curves, Pair, check_sizes, jaccard_and_f
from vosbench.evaluation.protocols.davis import J_AND_F
from vosbench.evaluation.protocols.protocol import Measure, ObjectScores, Protocol, SubmissionFormat
from vosbench.evaluation.protocols.vos_benchmark import MEANS, History, curves_of, summarise
from vosbench.evaluation.protocols.vos_benchmark import aggregate as means
from vosbench.util.errors import UserError
from vosbench.util.wording import listing
from vosbench.video.palette import VOID

__all__ = ["aggregate", "score", "summarise"]

log = logging.getLogger(__name__)

G = Measure("G", parts=J_AND_F.parts, groups="seen")


def score(pairs: Iterable[Pair], sequence: str = "the sequence") -> dict[int, Curves]:
    """J and F over time of each object of one sequence, by its id.

    pairs: annotation and prediction of all annotated frames in time order; read once, one held at a time.
    Objects that first appear in the last frame are left out. Raises UserError naming the sequence if sizes differ, if
    no object is left to score, or if an id is predicted before it is introduced.
    """
    history: History = {}
    strangers: set[int] = set()
    for position, (annotation, prediction) in enumerate(pairs):
        check_sizes(annotation, prediction, sequence)
        for id_, rows in history.items():
            rows.append((position, *jaccard_and_f(annotation[id_], prediction[id_])))
        history |= {id_: [] for id_ in annotation.ids - history.keys() - {VOID}}
        strangers |= prediction.ids - history.keys()
    scored = {id_: history[id_] for id_ in sorted(history) if history[id_]}
    if strangers:
        ids = listing(strangers)
        raise UserError(f"{sequence}: predicted ids {ids} before any annotation shows them: remove them")
    if not scored:
        raise UserError(f"{sequence}: no object has an annotated frame after its first: leave it out")
    return curves_of(scored)


def aggregate(objects: ObjectScores) -> dict[str, float]:
    """G = (J_seen + F_seen + J_unseen + F_unseen) / 4, each a mean over objects, and gap, seen minus unseen.

    An object's score `seen` says whether its category occurs in the training set (1.0) or not (0.0). If some objects do
    not have it, or all have the same value, there is no G, only the flat means over all objects.
    """
    groups = {
        group: {name: values for name, values in objects.items() if values.get("seen") == seen}
        for group, seen in (("seen", 1.0), ("unseen", 0.0))
    }
    if not all(groups.values()) or sum(map(len, groups.values())) < len(objects):
        known = "no G, which needs seen and unseen categories: of %d objects, %d are known as seen, %d as unseen"
        log.warning(known, len(objects), *map(len, groups.values()))
        return means(objects)
    seen, unseen = means(groups["seen"]), means(groups["unseen"])
    return {
        "G": float(np.mean([seen["J&F-Mean"], unseen["J&F-Mean"]])),
        "J_seen": seen["J-Mean"],
        "F_seen": seen["F-Mean"],
        "J_unseen": unseen["J-Mean"],
        "F_unseen": unseen["F-Mean"],
        "gap": seen["J&F-Mean"] - unseen["J&F-Mean"],
        **means(objects),
    }


PROTOCOL = Protocol(
    name="youtube-vos",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=(
        G,
        *(Measure(f"{name}_{group}") for group in ("seen", "unseen") for name in ("J", "F")),
        Measure("gap", low=-1.0, falling=True),
        J_AND_F,
        *MEANS,
    ),
    over_time=("J", "F"),
    fewest_frames=2,
    late_objects=True,
    submission=SubmissionFormat(top="Annotations/", listed_only=True),
    unofficial="the server's code was never published",
)
