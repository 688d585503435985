"""k-means in a process of its own: `python measure_kmeans.py <sklearn|ours> <clusters> <seeds, as JSON>` prints JSON.

Neither making the points nor a first run on a few of them is timed.
"""

import json
import sys
import time

import torch
import torch.nn.functional as nnf

from vosbench.ops.cluster import space_time_points
from vosbench.ops.kmeans import kmeans

THREADS, FRAMES, HEIGHT, WIDTH, CHANNELS, OBJECTS = 2, 25, 40, 50, 128, 3


def video_points() -> torch.Tensor:
    """50,000 × 254: blurred noise as background, moving ellipses with features of their own, and noise on all."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.randn(1, CHANNELS, 3, 4, 5, generator=generator)
    keys = nnf.interpolate(coarse, (FRAMES, HEIGHT, WIDTH), mode="trilinear", align_corners=True)[0]
    t, y, x = torch.meshgrid(*(torch.linspace(0, 1, size) for size in (FRAMES, HEIGHT, WIDTH)), indexing="ij")
    for _ in range(OBJECTS):
        row, column, height, width, step = torch.rand(5, generator=generator)
        far = ((y - row) / (0.1 + height / 4)) ** 2 + ((x - column - (step - 0.5) * t) / (0.1 + width / 4)) ** 2
        own = 1.2 * torch.randn(CHANNELS, 1, 1, 1, generator=generator)
        keys = torch.lerp(keys, own, torch.sigmoid(4 - 4 * far))
    keys = keys + 0.3 * torch.randn(keys.shape, generator=generator)
    return space_time_points(keys.transpose(0, 1)).flatten(0, 2)


def fit_ours(points: torch.Tensor, clusters: int, seed: int) -> float:
    return kmeans(points, clusters, seed=seed).inertia


def fit_sklearn(points: torch.Tensor, clusters: int, seed: int) -> float:
    from sklearn.cluster import KMeans

    model = KMeans(clusters, n_init=1, init="k-means++", max_iter=100, algorithm="lloyd", random_state=seed)
    return float(model.fit(points.numpy()).inertia_)


def main(way: str, clusters: int, seeds: list[int]) -> dict[str, list[float]]:
    torch.set_num_threads(THREADS)
    points = video_points()
    fit = fit_ours if way == "ours" else fit_sklearn
    fit(points[::20], clusters, 0)
    seconds, inertias = [], []
    for seed in seeds:
        start = time.perf_counter()
        inertias.append(fit(points, clusters, seed))
        seconds.append(time.perf_counter() - start)
    return {"seconds": seconds, "inertias": inertias}


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]))))
