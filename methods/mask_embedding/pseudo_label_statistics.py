"""How large pseudo-labels are, and how well they meet true objects where these are known. Only for the log."""

import math
from collections.abc import Sequence
from typing import TypedDict

import numpy as np
from jaxtyping import UInt8

from vosbench.ops.cluster import Clusters
from vosbench.video.images import resize_labels
from vosbench.video.palette import VOID
from vosbench.video.video import LabelMap, Video


class Found(TypedDict):
    """Statistics of an update in one video.

    sizes    of the segments, as shares of the video, largest first
    dropped  share of the video in clusters too large to be objects
    overlap  by object id, the best intersection over union of a segment with the object; empty without annotations
    """

    sizes: list[float]
    dropped: float
    overlap: dict[str, float]


def found_in(clusters: Clusters, video: Video) -> Found:
    """Sizes of a video's segments, and their overlap with its annotated objects, if any."""
    maps = clusters.labels.byte().cpu().numpy()
    cells = maps.size
    overlap = best_overlap([(truth, maps[i]) for i in range(len(maps)) if (truth := video.annotation(i)) is not None])
    return Found(sizes=[size / cells for size in clusters.sizes], dropped=clusters.dropped, overlap=overlap)


def best_overlap(pairs: Sequence[tuple[LabelMap, UInt8[np.ndarray, "h2 w2"]]]) -> dict[str, float]:
    """For each annotated object, the intersection over union with its best segment, over all frames.

    pairs   annotation (255: void) and segments of the same frame, at any size
    """
    counts = np.zeros((256, 256), np.int64)
    for truth, segments in pairs:
        known = truth != VOID
        here = resize_labels(segments, *truth.shape)[known].astype(np.int64)
        counts += np.bincount(256 * here + truth[known], minlength=256**2).reshape(256, 256)
    found = counts[1:]
    union = found.sum(1, keepdims=True) + counts.sum(0) - found
    best = (found / np.maximum(union, 1)).max(0)
    return {str(id_): float(best[id_]) for id_ in range(1, 255) if counts[:, id_].any()}


def summary(found: Sequence[Found]) -> dict[str, float]:
    """Means over videos: `segments` in number, `dropped` as a share, `size_1` and so on of the first segments (0 where
    a video has fewer); `overlap` is the mean over all annotated objects, and missing if there are none."""
    most = max(len(each["sizes"]) for each in found)
    means = {"segments": sum(len(each["sizes"]) for each in found) / len(found)}
    means["dropped"] = sum(each["dropped"] for each in found) / len(found)
    for rank in range(most):
        means[f"size_{rank + 1}"] = math.fsum(each["sizes"][rank] for each in found if rank < len(each["sizes"])) / len(
            found
        )
    overlaps = [value for each in found for value in each["overlap"].values()]
    return means | ({"overlap": sum(overlaps) / len(overlaps)} if overlaps else {})


def describe(means: dict[str, float], videos: int) -> str:
    """The summary in one line."""
    sizes = ", ".join(f"{100 * value:.0f}" for key, value in means.items() if key.startswith("size_"))
    line = f"{videos} videos, {means['segments']:.1f} segments of {sizes} %, {100 * means['dropped']:.0f} % dropped"
    return line + (f", best overlap with true objects {means['overlap']:.3f}" if "overlap" in means else "")
