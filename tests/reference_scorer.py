"""The straightforward scorer that vosbench's is tested and measured against: whole sequences in memory, one-hot
volumes, boundaries over whole frames. It shares no code with `vosbench.evaluation`.

A volume is objects × frames × height × width; label maps of a sequence are frames × height × width. Each protocol
gives, by object id, {"frame": positions of its scored frames, "J": …, "F": …}.
"""

import itertools
import math
from collections.abc import Callable, Mapping
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.optimize import linear_sum_assignment

Labels = NDArray[np.floating] | NDArray[np.integer]
Volume = NDArray[np.bool_]
Floats = NDArray[np.float64]
Curves = dict[int, dict[str, Floats]]
VOID, PROPOSALS, CLASSES = 255, 20, 20


def read(folder: Path, *, binary: bool = False) -> Floats:
    """All label maps of a sequence."""
    paths = sorted(folder.glob("*.png"))
    with Image.open(paths[0]) as first:
        labels = np.zeros((len(paths), first.height, first.width))
    for index, path in enumerate(paths):
        with Image.open(path) as image:
            labels[index] = np.array(image)
    return (labels > 0).astype(np.float64) if binary else labels


def one_hot(labels: Labels, ids: Labels) -> Volume:
    return np.asarray(ids[:, None, None, None] == labels[None])


def jaccard(truth: Volume, found: Volume) -> Floats:
    """J over the last two axes; 1 where both are empty."""
    intersection, union = (truth & found).sum((-2, -1)), (truth | found).sum((-2, -1))
    return np.where(union > 0, intersection / np.maximum(union, 1), 1.0)


def boundary_f(truth: Volume, found: Volume) -> Floats:
    """F over the last two axes."""
    result = np.zeros(truth.shape[:-2])
    for place in np.ndindex(result.shape):
        result[place] = frame_f(truth[place], found[place])
    return result


def frame_f(truth: Volume, found: Volume) -> float:
    """F of one object in one frame."""
    boundaries = [boundary(mask) for mask in (truth, found)]
    lengths = [int(each.sum()) for each in boundaries]
    if 0 in lengths:
        return float(lengths == [0, 0])
    radius = math.ceil(0.008 * np.linalg.norm(truth.shape))
    y, x = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    near = [cv2.dilate(each.astype(np.uint8), disk) > 0 for each in boundaries]
    recall, precision = (
        (each & other).sum() / length for each, other, length in zip(boundaries, near[::-1], lengths, strict=True)
    )
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def boundary(mask: Volume) -> Volume:
    """Where a mask differs from its right, lower or lower-right neighbour; beyond the border it goes on as it is."""
    beyond = np.pad(mask, ((0, 1), (0, 1)), mode="edge")
    return np.asarray((mask != beyond[:-1, 1:]) | (mask != beyond[1:, :-1]) | (mask != beyond[1:, 1:]))


def davis(annotation: Labels, prediction: Labels) -> Curves:
    annotation = np.where(annotation == VOID, 0, annotation)
    ids = np.arange(1, annotation[0].max() + 1)
    truth, found = one_hot(annotation[1:-1], ids), one_hot(prediction[1:-1], ids)
    return curves(ids, np.arange(1, len(annotation) - 1), jaccard(truth, found), boundary_f(truth, found))


def davis_unsupervised(annotation: Labels, prediction: Labels) -> Curves:
    """As many proposals as the largest predicted id, and at least as many as objects."""
    ids = np.arange(1, np.where(annotation[0] == VOID, 0, annotation[0]).max() + 1)
    proposals = np.arange(1, max(prediction.max(), ids[-1]) + 1)
    kept = annotation != VOID
    truth, found = one_hot(annotation, ids) & kept, one_hot(prediction, proposals) & kept
    j, f = (
        np.stack([measure(np.broadcast_to(each, found.shape), found) for each in truth])
        for measure in (jaccard, boundary_f)
    )
    objects, matched = linear_sum_assignment(-(j.mean(2) + f.mean(2)) / 2)
    return curves(ids, np.arange(len(annotation)), j[objects, matched], f[objects, matched])


def vos_benchmark(annotation: Labels, prediction: Labels) -> Curves:
    rows: dict[int, list[tuple[int, float, float]]] = {}
    annotated: set[int] = set()
    for frame in range(1, len(annotation) - 1):
        there = set(np.unique(annotation[frame]).astype(int).tolist()) - {0}
        annotated |= there
        for id_ in rows.keys() | there | set(np.unique(prediction[frame]).astype(int).tolist()) - {0}:
            rows.setdefault(id_, []).append((frame, *frame_scores(annotation[frame] == id_, prediction[frame] == id_)))
    return from_rows({id_: rows[id_] for id_ in annotated})


def youtube_vos(annotation: Labels, prediction: Labels) -> Curves:
    rows = {}
    for id_ in set(np.unique(annotation).astype(int).tolist()) - {0, VOID}:
        first = int(np.flatnonzero((annotation == id_).any((1, 2)))[0])
        after = range(first + 1, len(annotation))
        rows[id_] = [(i, *frame_scores(annotation[i] == id_, prediction[i] == id_)) for i in after]
    return from_rows({id_: row for id_, row in rows.items() if row})


def vip(pairs: list[tuple[Labels, Labels]]) -> Floats:
    """IoU of each class over all sequences, NaN for a class that occurs nowhere. pairs: one of each sequence."""
    confusion = np.zeros((CLASSES, CLASSES))
    for annotation, prediction in pairs:
        (height, width), (h, w) = annotation.shape[1:], prediction.shape[1:]
        rows = np.floor((np.arange(height) + 0.5) * h / height).astype(int)
        columns = np.floor((np.arange(width) + 0.5) * w / width).astype(int)
        resized = prediction[:, rows][:, :, columns]
        kept = annotation < CLASSES
        np.add.at(confusion, (annotation[kept].astype(int), resized[kept].astype(int)), 1)
    intersection = confusion.diagonal()
    union = confusion.sum(0) + confusion.sum(1) - intersection
    return np.where(union > 0, intersection / np.maximum(union, 1), np.nan)


def frame_scores(truth: Volume, found: Volume) -> tuple[float, float]:
    return float(jaccard(truth, found)), frame_f(truth, found)


def curves(ids: Labels, frames: NDArray[np.integer], j: Floats, f: Floats) -> Curves:
    return {int(id_): {"frame": frames.astype(float), "J": j[i], "F": f[i]} for i, id_ in enumerate(ids)}


def from_rows(rows: Mapping[int, list[tuple[int, float, float]]]) -> Curves:
    columns = {id_: np.array(rows[id_]).T for id_ in sorted(rows)}
    return {id_: dict(zip(("frame", "J", "F"), columns[id_], strict=True)) for id_ in columns}


def statistics(values: Floats) -> dict[str, float]:
    """Mean, share above one half, and first quarter minus last."""
    edges = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(int)
    quarters = [values[start : end + 1] for start, end in itertools.pairwise(edges)]
    return {"Mean": values.mean(), "Recall": (values > 0.5).mean(), "Decay": quarters[0].mean() - quarters[3].mean()}


def score_folders(
    annotations: Path, predictions: Path, protocol: Callable[[Labels, Labels], Curves] = davis, *, binary: bool = False
) -> dict[str, dict[str, Floats]]:
    """Curves by "<sequence>_<id>" of every sequence folder in `annotations`."""
    found = {}
    for folder in sorted(path for path in annotations.iterdir() if path.is_dir()):
        scored = protocol(read(folder, binary=binary), read(predictions / folder.name, binary=binary))
        found.update({f"{folder.name}_{id_}": values for id_, values in scored.items()})
    return found


def overall(found: Mapping[str, Mapping[str, Floats]]) -> dict[str, float]:
    """Flat means over objects, under the official names."""
    scores = {
        f"{name}-{key}": float(np.mean([statistics(values[name])[key] for values in found.values()]))
        for name in "JF"
        for key in ("Mean", "Recall", "Decay")
    }
    return {"J&F-Mean": (scores["J-Mean"] + scores["F-Mean"]) / 2, **scores}
