"""k-means by Lloyd's algorithm, made fast in three ways.

It starts from the best of a few runs on a sample. It keeps a lower bound on how much nearer each point's centre is than
any other, and compares a point again only once the centres have moved that far (Hamerly 2010). And it updates the sums
only by the points that changed cluster. The result is still a fixed point of Lloyd's iteration.
"""

import math
from dataclasses import dataclass, field

import torch
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.util.errors import UserError

SAMPLE, SAMPLE_PER_CLUSTER = 5_000, 500  # points of the first runs: the larger of the two
STARTS = 3  # first runs, of which the best goes on

Points = Float[Tensor, "n c"]


@dataclass(frozen=True)
class KMeans:
    """`inertia` is the sum of squared distances of points to the centre of their cluster."""

    centres: Float[Tensor, "k c"]
    labels: Int[Tensor, " n"]
    inertia: float


@torch.no_grad()
def kmeans(points: Points, clusters: int, *, steps: int = 100, seed: int = 0) -> KMeans:
    """k-means++ on a sample (the best of a few runs), then Lloyd's steps on all points until no point changes cluster.

    `steps` is the limit on the sample and on all points each. An empty cluster restarts at the point furthest from
    its centre; it stays empty only if there are fewer distinct points than clusters. Deterministic for a seed. Needs
    float32, and points not much further from the origin than from each other.

    Raises UserError for fewer points than clusters, and ValueError for NaN and infinity.
    """
    if not 1 <= clusters <= len(points):
        raise UserError(f"clusters={clusters} of {len(points)} points: give from 1 to as many clusters as points")
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


def relative_distances(points: Points, centres: Float[Tensor, "k c"]) -> Float[Tensor, "k n"]:
    """Squared distances less the points' squared norms; clusters first, since minima over columns are quick."""
    return torch.addmm(centres.square().sum(1, keepdim=True), centres, points.T, alpha=-2)


def _spread(points: Points, clusters: int, generator: torch.Generator) -> Float[Tensor, "k c"]:
    """Greedy k-means++ (Arthur and Vassilvitskii 2007): of a few points drawn by squared distance, the one that helps
    most."""
    squares = points.square().sum(1)
    centres = points[int(torch.randint(len(points), (), generator=generator))].unsqueeze(0)
    best = (relative_distances(points, centres)[0] + squares).clamp(min=0)
    for _ in range(1, clusters):
        weights = best.cpu() if best.any() else torch.ones(len(points))
        drawn = torch.multinomial(weights, 2 + int(math.log(clusters)), replacement=True, generator=generator)
        candidates = points[drawn.to(points.device)]
        distances = torch.minimum((relative_distances(points, candidates) + squares).clamp(min=0), best)
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
    """Points and their clusters. `lead`: how much nearer a point's centre is than any other, at least."""

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
        # Corrected a hundred times over, sums would drift in single precision.
        self.sums, self.counts = (members @ self.points).double(), members.sum(1).double()
        self.fill_empty()

    def move_centres(self) -> None:
        """Moves centres to the means of their points; an empty cluster's centre stays."""
        means = (self.sums / self.counts.unsqueeze(1)).to(self.centres.dtype)
        means = torch.where(self.counts.unsqueeze(1) > 0, means, self.centres)
        moved = (means - self.centres).norm(dim=1)
        # A lead shrinks by how far the point's own centre and the fastest of the others moved.
        self.lead -= (moved.unsqueeze(1) + moved).fill_diagonal_(0).amax(1)[self.labels]
        self.centres = means

    def reassign(self) -> int:
        """Moves points to their nearest centre, where it may have changed; returns how many points moved."""
        active = (self.lead <= 0).nonzero().squeeze(1)
        found, self.lead[active] = self._compare(self.points[active], self.squares[active])
        changed = found != self.labels[active]
        self._relabel(active[changed], found[changed])
        return int(changed.sum())

    def fill_empty(self) -> int:
        """The points furthest from their centres each take an empty cluster; returns how many did."""
        empty = (self.counts == 0).nonzero().squeeze(1)
        if not len(empty):
            return 0
        distances = relative_distances(self.points, self.centres).gather(0, self.labels.unsqueeze(0))[0] + self.squares
        furthest = distances.topk(len(empty)).indices
        furthest = furthest[distances[furthest] > 1e-6 * self.squares[furthest]]  # not those that are their centre
        self._relabel(furthest, empty[: len(furthest)])
        self.lead[furthest] = -torch.inf
        return len(furthest)

    def inertia(self) -> float:
        """Inertia in double precision, from the sums alone."""
        centres = self.centres.double()
        spread = (self.counts * centres.square().sum(1)).sum() - 2 * (centres * self.sums).sum()
        return max(0.0, float(self.squares.double().sum() + spread))

    def _compare(self, points: Points, squares: Float[Tensor, " n"]) -> tuple[Int[Tensor, " n"], Float[Tensor, " n"]]:
        """Each point's nearest centre, and by how much it is nearer than the second."""
        distances = relative_distances(points, self.centres)
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
