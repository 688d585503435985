"""Space-time clustering of a video's features (mask embedding, section 3.1, step 1): k-means on keys and positions."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.ops.kmeans import Points, kmeans, relative_distances

CELLS = 1 << 16  # assigned at a time


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
    beside: Float[Tensor, "t d h w"] | None = None,
    most_points: int = 50_000,
    frame_step: int | None = None,
    largest: float = 0.4,
    finer: int = 1,
) -> Clusters:
    """Space-time k-means over a whole video, which labels every cell of every frame.

    clusters     the number of clusters
    alpha        weight of the position encoding beside keys of unit norm
    beside       further features of the cells, such as motion, which are used as they are
    frame_step   centres are found on every `frame_step`-th frame; None: on as many frames as `most_points` points
                 allow, but at least one
    largest      clusters with more than this share of all pixels become background
    finer        labels per cell along each axis; points between cells are interpolated (half-pixel bilinear)
    steps, seed  as in `kmeans`

    Raises UserError for fewer points than clusters.
    """
    if not len(keys):
        raise ValueError("a video without frames has no clusters: give at least one frame's keys")
    if finer < 1:
        raise ValueError(f"finer={finer}: give 1 or more labels a cell, along each axis")
    cells = keys[0].shape[1] * keys[0].shape[2]
    times = torch.linspace(0, 1, len(keys), device=keys[0].device)

    def points(frames: Sequence[int]) -> Points:
        stacked = torch.stack([keys[index] for index in frames])
        found = space_time_points(stacked, alpha=alpha, times=times[list(frames)])
        if beside is not None:
            found = torch.cat([found, beside[list(frames)].permute(0, 2, 3, 1)], -1)
        return found.flatten(0, 2)

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
        distances = relative_distances(points, centres).unflatten(1, (-1, *size)).transpose(0, 1)
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
