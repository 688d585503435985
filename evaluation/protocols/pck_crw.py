"""Protocol `pck-crw`: percentage of correct keypoints (PCK) of JHMDB's 15 joints, as the script of CRW counts it.

Jabri et al., "Space-Time Correspondence as a Contrastive Random Walk", NeurIPS 2020 (eval_pck.py). All frames count but
the first, whose joints are given. An error is the distance from prediction to annotation, divided by 0.6 times the
diagonal of the box around the annotated joints that count in the frame. A joint is correct up to .1 or .2.

As in that script, a joint counts where it was predicted, and not where it was lost: losing a joint costs nothing.
`Found` is therefore part of every result, the share of joints that were not lost. Joints that lie outside of the first
frame are lost from the beginning; joints that leave the picture later on count where they are.
"""

from collections.abc import Iterable

import numpy as np
from jaxtyping import Bool, Float64

from vosbench.audit.findings import Advice, Note
from vosbench.evaluation.metrics import Curves
from vosbench.evaluation.protocols.protocol import Measure, ObjectScores, Protocol
from vosbench.util.errors import UserError
from vosbench.video.video import Joints

NAMES = (  # of the joints 1 to 15, as JHMDB numbers them
    *("neck", "belly", "face", "right shoulder", "left shoulder", "right hip", "left hip", "right elbow"),
    *("left elbow", "right knee", "left knee", "right wrist", "left wrist", "right ankle", "left ankle"),
)
BOX = 0.6
LIMITS = {"PCK@.1": 0.1, "PCK@.2": 0.2}


def score(pairs: Iterable[tuple[Joints, Joints]], sequence: str = "the sequence") -> dict[int, Curves]:
    """For each joint of a sequence, by its number from 1: over time, whether it was found, and whether it is correct.

    pairs: annotation and prediction of all annotated frames in time order. Raises UserError naming the sequence if no
    frame is left to score. A joint left of the picture counts as lost, as in the script.
    """
    frames = [compare(truth, found, found[:, 0] >= 0) for truth, found in pairs]
    return curves(frames, 1, sequence)


def compare(truth: Joints, found: Joints, visible: Bool[np.ndarray, " j"]) -> Float64[np.ndarray, "j 3"]:
    """For each joint of a frame: found, and correct up to either limit (0 or 1); NaN if it is not annotated.

    visible   the joints that count
    """
    annotated = np.isfinite(truth).all(1)
    counts = annotated & visible
    box = np.ptp(truth[counts], axis=0) if counts.any() else np.zeros(2)
    with np.errstate(divide="ignore", invalid="ignore"):  # a box without extent: no error is small enough
        errors = np.linalg.norm(found - truth, axis=1) / (BOX * np.linalg.norm(box))
        correct = [counts & (errors <= limit) for limit in LIMITS.values()]
    table = np.stack([counts, *correct], 1).astype(np.float64)
    table[~annotated] = np.nan
    return table


def curves(frames: list[Float64[np.ndarray, "j 3"]], first: int, sequence: str) -> dict[int, Curves]:
    """The curves of each joint that is annotated in any frame from `first` on."""
    if len(frames) <= first:
        raise UserError(f"{sequence}: {len(frames)} frame(s) with joints, and {first} not scored: leave it out")
    table = np.stack(frames[first:])
    found = {}
    for joint in range(table.shape[1]):
        kept = np.flatnonzero(np.isfinite(table[:, joint, 0]))
        names = ("found", *LIMITS)
        measures = {name: table[kept, joint, place] for place, name in enumerate(names)}
        if len(kept):
            found[joint + 1] = Curves(kept + first, measures)
    return found


def summarise(curves: Curves) -> dict[str, float]:
    """PCK of a joint in one sequence, in how many frames it is annotated, and in how many of these it was found."""
    found = float(curves.measures["found"].sum())
    shares = {name: float(curves.measures[name].sum()) / found for name in LIMITS} if found else {}
    return {**shares, "found": found, "frames": float(len(curves.frames))}


def aggregate(objects: ObjectScores) -> dict[str, float]:
    """PCK at either limit, the mean over joints of the share over all frames of all sequences; the share of joints that
    were found; and then PCK of each joint."""
    joints = {f"{name} {NAMES[i - 1]}": _share(objects, i, name) for name in LIMITS for i in range(1, len(NAMES) + 1)}
    each = {name: value for name, value in joints.items() if value is not None}
    means = {limit: [value for name, value in each.items() if name.startswith(limit)] for limit in LIMITS}
    found, frames = (sum(values[part] for values in objects.values()) for part in ("found", "frames"))
    return {**{name: float(np.mean(some or [0.0])) for name, some in means.items()}, "Found": found / frames, **each}


def _share(objects: ObjectScores, joint: int, name: str) -> float | None:
    """The share of correct ones of a joint, over all sequences together; None if it was found nowhere."""
    scores = [values for key, values in objects.items() if key.id == joint and values["found"]]
    total = sum(values["found"] for values in scores)
    return sum(values[name] * values["found"] for values in scores) / total if total else None


MEASURES = (
    *map(Measure, LIMITS),
    Measure("Found"),
    *(Measure(f"{name} {joint}") for name in LIMITS for joint in NAMES),
)
ADVICE: Advice = {Note.UNLABELLED: None}  # it is about masks
PROTOCOL = Protocol(
    name="pck-crw",
    score=score,
    summarise=summarise,
    aggregate=aggregate,
    measures=MEASURES,
    over_time=(),
    fewest_frames=2,
    late_objects=False,
    advice=ADVICE,
    compares="joints",
    headlines=2,
)
