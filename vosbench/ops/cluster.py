"""Space-time clustering of a video's features (mask embedding, section 3.1, step 1): k-means on keys and positions.

This is Lloyd's algorithm, made fast in three ways. It starts from the best of a few runs on a sample. It keeps a lower
bound on how much nearer each point's centre is than any other, and compares a point again only once the centres have
moved that far (Hamerly 2010). And it updates the sums only by the points that changed cluster. The result is still a
fixed point of Lloyd's iteration.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

SAMPLE, SAMPLE_PER_CLUSTER = 5_000, 500  # points in the first runs: whichever is more
STARTS = 3  # first runs, of which the best is continued
CELLS = 1 << 16  # labelled at a time

Points = Float[Tensor, "n c"]


@dataclass(frozen=True)
class KMeans:
    """`inertia` is the sum of squared distances from points to the centres of their clusters."""

    centres: Float[Tensor, "k c"]
    labels: Int[Tensor, " n"]
    inertia: float


@dataclass(frozen=True)
class Clusters:
    """A video's segments: 0 is background, and the others are numbered from 1, the largest first.

    sizes    of the segments from 1 on, in pixels of `labels`
    dropped  the share of pixels in clusters that are too large to be objects
    """

    labels: Int[Tensor, "t h w"]
    sizes: tuple[int, ...]
    dropped: float


@torch.no_grad()
def cluster_video(
    keys: Sequence[Float[Tensor, "c h w"]] | Float[Tensor, "t c h w"],
    clusters: int = 5,
    *,
    steps: int = 100,
    seed: int = 0,
    alpha: float = 0.5,
    most_points: int = 50_000,
    frame_step: int | None = None,
    largest: float = 0.4,
    finer: int = 1,
) -> Clusters:
    """Space-time k-means over a whole video, which labels every cell of every frame.

    clusters     the number of clusters
    alpha        weight of the position encoding beside keys of unit norm
    frame_step   centres are found on every `frame_step`-th frame; None: on as many frames as `most_points` points
                 allow, but at least one
    largest      clusters with more than this share of all pixels become background
    finer        labels per cell along each axis, those of points interpolated between cells (half-pixel bilinear)
    steps, seed  as in `kmeans`
    """
    if not len(keys):
        raise ValueError("a video without frames has no clusters: give at least one frame's keys")
    if finer < 1:
        raise ValueError(f"finer={finer}: give 1 or more labels a cell, along each axis")
    cells = keys[0].shape[1] * keys[0].shape[2]
    times = torch.linspace(0, 1, len(keys), device=keys[0].device)

    def points(frames: Sequence[int]) -> Points:
        stacked = torch.stack([keys[index] for index in frames])
        return space_time_points(stacked, alpha=alpha, times=times[list(frames)]).flatten(0, 2)

    frames = range(len(keys))
    step = frame_step or math.ceil(len(keys) * cells / most_points)
    found = kmeans(points(frames[::step]), clusters, steps=steps, seed=seed)
    few = max(1, CELLS // cells)
    size = keys[0].shape[1:]
    parts = [_fine(points(frames[start : start + few]), found.centres, size, finer) for start in frames[::few]]
    return _number(torch.cat(parts), clusters, largest)


def _fine(points: Points, centres: Float[Tensor, "k c"], size: Sequence[int], finer: int) -> Int[Tensor, "t h2 w2"]:
    """The nearest centre depends on products of points and centres alone, so these are interpolated, not the points."""
    with torch.autocast(points.device.type, enabled=False):
        distances = _relative(points, centres).unflatten(1, (-1, *size)).transpose(0, 1)
        return nnf.interpolate(distances, scale_factor=finer, mode="bilinear").argmin(1)


def _number(labels: Int[Tensor, "t h w"], clusters: int, largest: float) -> Clusters:
    sizes = labels.flatten().bincount(minlength=clusters)
    kept = (sizes > 0) & (sizes <= largest * labels.numel())
    order = [index for index in sizes.argsort(descending=True, stable=True).tolist() if kept[index]]
    numbers = torch.zeros_like(sizes)
    numbers[order] = torch.arange(1, len(order) + 1, device=labels.device)
    dropped = float(sizes[~kept].sum()) / labels.numel()
    return Clusters(numbers[labels], tuple(sizes[order].tolist()), dropped)


def space_time_points(
    keys: Float[Tensor, "t c h w"], *, alpha: float = 0.5, times: Float[Tensor, " t"] | None = None
) -> Float[Tensor, "t h w d"]:
    """The points to cluster: keys scaled to unit norm, then `alpha` times the position encoding; d = c + 126.

    times  of the frames, in [0, 1]; None: evenly spaced
    """
    frames, _, height, width = keys.shape
    unit = nnf.normalize(keys.float(), dim=1).permute(0, 2, 3, 1)
    encoding = position_encoding(frames, height, width, times=times, device=keys.device)
    return torch.cat((unit, alpha * encoding), -1)


def position_encoding(
    frames: int,
    height: int,
    width: int,
    per_axis: int = 42,
    *,
    times: Float[Tensor, " t"] | None = None,
    device: torch.device | None = None,
) -> Float[Tensor, "t h w p"]:
    """Sines and cosines of t, y and x, each in [0, 1] from first to last: p = 3·per_axis numbers of unit norm.

    Frequencies rise geometrically from a quarter of a turn along an axis to one turn. Segments are large, and to finer
    waves all cells but the nearest are equally far apart.

    times  other values of t
    """
    times = torch.linspace(0, 1, frames, device=device) if times is None else times
    axes = (times, *(torch.linspace(0, 1, size, device=device) for size in (height, width)))
    t, y, x = (_waves(axis, per_axis) for axis in axes)
    size = (frames, height, width, per_axis)
    parts = t[:, None, None].expand(size), y[None, :, None].expand(size), x[None, None].expand(size)
    return torch.cat(parts, -1) / math.sqrt(1.5 * per_axis)  # each pair of sine and cosine has norm 1


def _waves(values: Float[Tensor, " n"], count: int) -> Float[Tensor, "n count"]:
    angles = values.unsqueeze(1) * math.pi * 2 ** torch.linspace(-1, 1, count // 2, device=values.device)
    return torch.cat((angles.sin(), angles.cos()), 1)


@torch.no_grad()
def kmeans(points: Points, clusters: int, *, steps: int = 100, seed: int = 0) -> KMeans:
    """k-means++ on a sample (the best of a few runs), then Lloyd's steps on all points until no point changes cluster.

    `steps` limits each run on the sample, and the one on all points. An empty cluster is restarted at the point that is
    furthest from its centre, and stays empty only if there are fewer distinct points than clusters. Deterministic for a
    seed. Needs float32, and points that are not much further from the origin than from each other. Raises ValueError
    for fewer points than clusters, and for NaN and infinity.
    """
    if not 1 <= clusters <= len(points):
        raise ValueError(f"clusters={clusters} of {len(points)} points: give from 1 to as many clusters as points")
    if not torch.isfinite(points.sum()):
        raise ValueError("the points to cluster are not all finite: look at the features they come from")
    generator = torch.Generator().manual_seed(seed)
    with torch.autocast(points.device.type, enabled=False):
        count = max(SAMPLE, SAMPLE_PER_CLUSTER * clusters)
        drawn = torch.randperm(len(points), generator=generator)[:count].sort().values
        sample = points[drawn.to(points.device)] if count < len(points) else points
        starts = [_lloyd(sample, _spread(sample, clusters, generator), steps) for _ in range(STARTS)]
        best = min(starts, key=lambda start: start.inertia)
        return best if sample is points else _lloyd(points, best.centres, steps)


def _relative(points: Points, centres: Float[Tensor, "k c"]) -> Float[Tensor, "k n"]:
    """Squared distances minus the points' squared norms; clusters come first, since minima over columns are fast."""
    return torch.addmm(centres.square().sum(1, keepdim=True), centres, points.T, alpha=-2)


def _spread(points: Points, clusters: int, generator: torch.Generator) -> Float[Tensor, "k c"]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): of a few points drawn by squared distance, each centre is the
    one that lowers the inertia most."""
    squares = points.square().sum(1)
    centres = points[int(torch.randint(len(points), (), generator=generator))].unsqueeze(0)
    best = (_relative(points, centres)[0] + squares).clamp(min=0)
    for _ in range(1, clusters):
        weights = best.cpu() if best.any() else torch.ones(len(points))
        drawn = torch.multinomial(weights, 2 + int(math.log(clusters)), replacement=True, generator=generator)
        candidates = points[drawn.to(points.device)]
        distances = torch.minimum((_relative(points, candidates) + squares).clamp(min=0), best)
        choice = distances.sum(1).argmin()
        best, centres = distances[choice], torch.cat((centres, candidates[choice].unsqueeze(0)))
    return centres


def _lloyd(points: Points, centres: Float[Tensor, "k c"], steps: int) -> KMeans:
    partition = _Partition(points, centres)
    for _ in range(steps):
        partition.move_centres()
        changes = partition.reassign()
        if not partition.fill_empty() + changes:
            break
    return KMeans(partition.centres, partition.labels, partition.inertia())


@dataclass
class _Partition:
    """Points and their clusters. `lead` is a lower bound on how much nearer a point's centre is than any other."""

    points: Points
    centres: Float[Tensor, "k c"]
    squares: Float[Tensor, " n"] = field(init=False)
    labels: Int[Tensor, " n"] = field(init=False)
    lead: Float[Tensor, " n"] = field(init=False)
    sums: Float[Tensor, "k c"] = field(init=False)
    counts: Float[Tensor, " k"] = field(init=False)

    def __post_init__(self) -> None:
        self.squares = torch.linalg.vector_norm(self.points, dim=1).square()
        self.labels, self.lead = self._compare(self.points, self.squares)
        members = self._members(self.labels)
        # Over a hundred corrections, sums would drift in single precision.
        self.sums, self.counts = (members @ self.points).double(), members.sum(1).double()
        self.fill_empty()

    def move_centres(self) -> None:
        """Centres move to the means of their points; that of an empty cluster stays."""
        means = (self.sums / self.counts.unsqueeze(1)).to(self.centres.dtype)
        means = torch.where(self.counts.unsqueeze(1) > 0, means, self.centres)
        moved = (means - self.centres).norm(dim=1)
        # A lead shrinks by as much as the point's own centre moved, and the one of the others that moved most.
        self.lead -= (moved.unsqueeze(1) + moved).fill_diagonal_(0).amax(1)[self.labels]
        self.centres = means

    def reassign(self) -> int:
        """Compares the points whose nearest centre may have changed; returns how many changed cluster."""
        active = (self.lead <= 0).nonzero().squeeze(1)
        found, self.lead[active] = self._compare(self.points[active], self.squares[active])
        changed = found != self.labels[active]
        self._relabel(active[changed], found[changed])
        return int(changed.sum())

    def fill_empty(self) -> int:
        """Moves the points furthest from their centres to the empty clusters, one each; returns how many."""
        empty = (self.counts == 0).nonzero().squeeze(1)
        if not len(empty):
            return 0
        distances = _relative(self.points, self.centres).gather(0, self.labels.unsqueeze(0))[0] + self.squares
        furthest = distances.topk(len(empty)).indices
        furthest = furthest[distances[furthest] > 1e-6 * self.squares[furthest]]  # none that coincides with its centre
        self._relabel(furthest, empty[: len(furthest)])
        self.lead[furthest] = -torch.inf
        return len(furthest)

    def inertia(self) -> float:
        """The sum of squared distances to the centres, in double precision and from the sums alone."""
        centres = self.centres.double()
        spread = (self.counts * centres.square().sum(1)).sum() - 2 * (centres * self.sums).sum()
        return max(0.0, float(self.squares.double().sum() + spread))

    def _compare(self, points: Points, squares: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Each point's nearest centre, and how much nearer it is than the second nearest."""
        distances = _relative(points, self.centres)
        first, labels = distances.min(0)
        second = distances.scatter_(0, labels.unsqueeze(0), torch.inf).min(0).values
        return labels, (second + squares).clamp_(min=0).sqrt_() - (first + squares).clamp_(min=0).sqrt_()

    def _members(self, labels: Int[Tensor, " m"]) -> Float[Tensor, "k m"]:
        clusters = torch.arange(len(self.centres), device=labels.device)
        return (clusters.unsqueeze(1) == labels).to(self.points.dtype)

    def _relabel(self, rows: Int[Tensor, " m"], labels: Int[Tensor, " m"]) -> None:
        change = self._members(labels) - self._members(self.labels[rows])
        self.sums += change @ self.points[rows]
        self.counts += change.sum(1)
        self.labels[rows] = labels
