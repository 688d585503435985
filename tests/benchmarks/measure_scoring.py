"""One scoring in a process of its own: `python measure_scoring.py '<settings as JSON>'` prints JSON.

Settings: way (reference | workers=<n>), root, resolution, year, split, masks, and for ours cache (a folder) and
dilate (whole disk | distance transform: in place of ours). Imports are not timed; starting worker processes is.
"""

import json
import resource
import runpy
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from jaxtyping import Bool

Mask = Bool[np.ndarray, "h w"]
Result = tuple[dict[str, float], dict[str, list[float]]]  # overall; by "<sequence>_<id>", mean J and F


def main(way: str, **settings: Any) -> dict[str, Any]:
    run = reference(**settings) if way == "reference" else ours(int(way.removeprefix("workers=")), **settings)
    start, before = time.perf_counter(), cpu_seconds()
    scores, objects = run()
    return {
        "wall": time.perf_counter() - start,
        "cpu": cpu_seconds() - before,
        "mb": peak_mb(),
        "worker_mb": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024 / 1e6,
        "scores": scores,
        "objects": objects,
    }


def reference(
    root: str, masks: str, resolution: str = "480p", year: int | None = None, split: str | None = None
) -> Callable[[], Result]:
    scorer = runpy.run_path(str(Path(__file__).parents[1] / "reference_scorer.py"))

    def run() -> Result:
        found = scorer["score_folders"](Path(root, "Annotations", resolution), Path(masks), binary=year == 2016)
        return scorer["overall"](found), {
            name: [curves[key].mean() for key in "JF"] for name, curves in sorted(found.items())
        }

    return run


def ours(
    workers: int,
    root: str,
    masks: str,
    resolution: str = "480p",
    year: int | None = None,
    split: str | None = None,
    cache: str | None = None,
    dilate: str | None = None,
) -> Callable[[], Result]:
    from vosbench.datasets.davis import Davis
    from vosbench.evaluation import metrics
    from vosbench.evaluation.predictions.label_maps import PngFolder
    from vosbench.evaluation.protocols.protocol import protocol_named
    from vosbench.evaluation.scoring.evaluate import evaluate

    if dilate:  # in this process, hence workers=0
        metrics.dilate = {"whole disk": whole_disk, "distance transform": distance_transform}[dilate]

    def run() -> Result:
        dataset = Davis(root, split, year, resolution)
        found = evaluate(
            dataset, PngFolder(Path(masks)), protocol_named("davis"), workers, cache=Path(cache) if cache else None
        )
        means = {str(name): [values[f"{key}-Mean"] for key in "JF"] for name, values in sorted(found.objects.items())}
        return found.scores, means

    return run


def whole_disk(boundary: Mask, radius: int) -> Mask:
    y, x = np.ogrid[-radius : radius + 1, -radius : radius + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.uint8)
    return np.asarray(cv2.dilate(boundary.view(np.uint8), disk)).view(np.bool_)


def distance_transform(boundary: Mask, radius: int) -> Mask:
    return np.asarray(cv2.distanceTransform((~boundary).view(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE) <= radius)


def cpu_seconds() -> float:
    """Of this process and its children that ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def peak_mb() -> float:
    """Of this process. Linux counts in ru_maxrss what the process was forked from, too."""
    status = Path("/proc/self/status")
    if status.is_file():
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6


if __name__ == "__main__":
    print(json.dumps(main(**json.loads(sys.argv[1]))))
