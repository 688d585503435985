"""k-means against plain Lloyd steps, and a video's clusters: position encoding, the 40 % rule, every frame labelled."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from vosbench.ops import cluster
from vosbench.ops import kmeans as kmeans_module
from vosbench.ops.cluster import cluster_video, position_encoding, space_time_points
from vosbench.ops.kmeans import kmeans
from vosbench.video.images import read_image, resize_image


def blobs(count: int, sizes: tuple[int, ...], spread: float = 0.1, seed: int = 0) -> Tensor:
    """Points of `count` dimensions around one far-apart centre per size, in a random order."""
    generator = torch.Generator().manual_seed(seed)
    centres = 2 * torch.randn(len(sizes), count, generator=generator)
    points = centres.repeat_interleave(torch.tensor(sizes), 0)
    points = points + spread * torch.randn(points.shape, generator=generator)
    return points[torch.randperm(len(points), generator=generator)]


def squared(points: Tensor, centres: Tensor) -> Tensor:
    """The whole n × k × c way."""
    return (points.double().unsqueeze(1) - centres.double()).square().sum(2)


@pytest.mark.parametrize(("count", "clusters"), [(900, 4), (6_000, 5)], ids=["whole", "from a sample"])
def test_the_result_is_a_fixed_point_of_plain_steps(count: int, clusters: int) -> None:
    """On one cloud without gaps, where many points change cluster over many steps."""
    points = torch.randn(count, 8, generator=torch.Generator().manual_seed(1))
    found = kmeans(points, clusters, steps=1000)
    distances = squared(points, found.centres)
    assert torch.equal(distances.argmin(1), found.labels)
    means = torch.stack([points[found.labels == index].mean(0) for index in range(clusters)])
    torch.testing.assert_close(found.centres, means, rtol=0, atol=1e-5)
    assert found.inertia == pytest.approx(float(distances.min(1).values.sum()), rel=1e-5)


def plain(points: Tensor, clusters: int, seed: int) -> float:
    """Inertia of Lloyd's steps from random points."""
    centres = points[torch.randperm(len(points), generator=torch.Generator().manual_seed(seed))[:clusters]]
    for _ in range(200):
        labels = squared(points, centres).argmin(1)
        centres = torch.stack([points[labels == index].mean(0) for index in range(clusters)])
    return float(squared(points, centres).min(1).values.sum())


def test_inertia_is_no_worse_than_that_of_many_plain_runs() -> None:
    points = torch.randn(400, 3, generator=torch.Generator().manual_seed(2))
    best = min(plain(points, 6, seed) for seed in range(12))
    assert np.median([kmeans(points, 6, seed=seed).inertia for seed in range(5)]) <= 1.01 * best


def test_clusters_of_unequal_size_are_found() -> None:
    """A cluster of 40 points among 12,040, and so of some 17 in the sample."""
    found = kmeans(blobs(10, (6_000, 4_000, 2_000, 40)), 4)
    assert sorted(found.labels.bincount().tolist()) == [40, 2_000, 4_000, 6_000]


def test_the_seed_alone_decides() -> None:
    points = torch.randn(2_000, 6, generator=torch.Generator().manual_seed(3))
    torch.manual_seed(1)
    first = kmeans(points, 7, seed=5)
    torch.manual_seed(2)
    again = kmeans(points, 7, seed=5)
    assert torch.equal(first.labels, again.labels)
    assert torch.equal(first.centres, again.centres)
    assert not torch.equal(first.labels, kmeans(points, 7, seed=6).labels)


def test_no_more_steps_than_asked_for() -> None:
    points = torch.randn(1_000, 4, generator=torch.Generator().manual_seed(4))
    few, many = kmeans(points, 8, steps=1), kmeans(points, 8, steps=200)
    assert torch.equal(torch.cdist(points, few.centres).argmin(1), few.labels)
    assert few.inertia > 1.005 * many.inertia
    assert few.inertia == pytest.approx(float(squared(points, few.centres).min(1).values.sum()), rel=1e-5)


def test_an_empty_cluster_starts_anew_at_the_furthest_point() -> None:
    points = torch.cat((blobs(5, (50, 50, 50)), torch.full((1, 5), 30.0)))
    centres = torch.cat((points[:3], torch.full((2, 5), 1e3)))  # nothing is near the last two
    found = kmeans_module._lloyd(points, centres, 100)
    assert found.labels.bincount(minlength=5).min() > 0
    assert (found.labels == found.labels[-1]).sum() == 1
    assert found.inertia == pytest.approx(float(squared(points, found.centres).min(1).values.sum()), rel=1e-4)


def test_fewer_distinct_points_than_clusters() -> None:
    points = torch.eye(3).repeat(20, 1)
    found = kmeans(points, 5)
    torch.testing.assert_close(found.centres[found.labels], points)
    assert found.inertia == pytest.approx(0, abs=1e-4)


def test_one_cluster_is_the_mean() -> None:
    points = blobs(4, (30, 20))
    found = kmeans(points, 1)
    torch.testing.assert_close(found.centres[0], points.mean(0))
    assert not found.labels.any()


@pytest.mark.parametrize("clusters", [0, 11])
def test_numbers_of_clusters_that_cannot_be(clusters: int) -> None:
    with pytest.raises(ValueError, match=f"clusters={clusters} of 10 points"):
        kmeans(torch.randn(10, 3), clusters)


def test_features_that_are_not_finite() -> None:
    points = torch.randn(10, 3)
    points[4, 1] = torch.nan
    with pytest.raises(ValueError, match="not all finite"):
        kmeans(points, 2)


def test_half_precision_training_does_not_reach_in() -> None:
    points = torch.randn(500, 16, generator=torch.Generator().manual_seed(5))
    expected = kmeans(points, 4)
    with torch.autocast("cpu", torch.bfloat16):
        found = kmeans(points, 4)
    assert torch.equal(found.centres, expected.centres)


# Position encoding.


def test_position_encoding_has_unit_norm_and_42_dimensions_an_axis() -> None:
    encoding = position_encoding(3, 4, 5)
    assert encoding.shape == (3, 4, 5, 126)
    torch.testing.assert_close(encoding.norm(dim=-1), torch.ones(3, 4, 5))
    for axis, part in enumerate(encoding.split(42, -1)):
        moved = [float(part.diff(dim=other).abs().max()) for other in range(3)]
        assert [value > 1e-3 for value in moved] == [other == axis for other in range(3)]


def test_positions_further_apart_differ_more() -> None:
    """Over half an axis; and its two ends are not the same place."""
    row = position_encoding(1, 1, 9)[0, 0]
    distances = (row - row[0]).norm(dim=-1)
    assert (distances[:6].diff() > 0.05).all()
    assert distances[-1] > distances[4]


def test_one_frame_has_an_encoding() -> None:
    assert torch.isfinite(position_encoding(1, 1, 1)).all()


def test_points_are_unit_keys_beside_scaled_positions() -> None:
    keys = 7 * torch.randn(2, 6, 3, 4)
    points = space_time_points(keys, alpha=0.25)
    torch.testing.assert_close(points[..., :6], nnf.normalize(keys, dim=1).permute(0, 2, 3, 1))
    torch.testing.assert_close(points[..., 6:], 0.25 * position_encoding(2, 3, 4))


# Videos.


def two_regions(columns: int, frames: int = 4) -> Tensor:
    """Keys of a 10×10 grid: the first `columns` columns are one region, the others the other."""
    keys = torch.zeros(frames, 4, 10, 10)
    keys[:, 0, :, :columns], keys[:, 1, :, columns:] = 1, 1
    return keys + 0.01 * torch.randn(keys.shape, generator=torch.Generator().manual_seed(0))


def test_a_region_over_40_percent_becomes_background() -> None:
    found = cluster_video(two_regions(3), clusters=2)
    expected = torch.zeros(4, 10, 10, dtype=torch.long)
    expected[:, :, :3] = 1
    assert torch.equal(found.labels, expected)
    assert found.sizes == (120,)
    assert found.dropped == pytest.approx(0.7)


def test_a_region_of_40_percent_just_stays() -> None:
    assert cluster_video(two_regions(4), clusters=2).sizes == (160,)
    halves = cluster_video(two_regions(5), clusters=2)
    assert halves.sizes == ()
    assert halves.dropped == 1
    assert not halves.labels.any()


def test_the_share_is_an_option_and_the_largest_comes_first() -> None:
    found = cluster_video(two_regions(3), clusters=2, largest=0.9)
    assert found.sizes == (280, 120)
    assert found.dropped == 0
    assert (found.labels[:, :, 3:] == 1).all()
    assert (found.labels[:, :, :3] == 2).all()


def test_the_share_counts_all_frames_and_not_those_clustered() -> None:
    """A region that fills the clustered frames, every other one, but only 34 % of the video."""
    keys = torch.zeros(8, 4, 10, 10)
    keys[:, 1] = 1
    keys[::2, :, :, :7] = torch.tensor([1.0, 0, 0, 0]).view(4, 1, 1)
    found = cluster_video(keys, clusters=2, most_points=400)
    assert found.sizes == (280,)
    assert (found.labels[::2, :, :7] == 1).all()
    assert not found.labels[1::2].any()


def test_centres_come_from_every_kth_frame(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten frames of 100 cells and at most 450 points: frames 0, 3, 6 and 9, at their own times."""
    seen = []

    def spy(points: Tensor, *args: int, **kwargs: int) -> kmeans_module.KMeans:
        seen.append(points)
        return kmeans(points, *args, **kwargs)

    monkeypatch.setattr(cluster, "kmeans", spy)
    keys = two_regions(3, frames=10)
    labels = cluster_video(keys, clusters=2, most_points=450).labels
    assert labels.shape == (10, 10, 10)
    torch.testing.assert_close(seen[0].view(4, 10, 10, -1), space_time_points(keys)[::3])


def test_assignment_in_parts_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    keys = torch.randn(7, 8, 6, 5, generator=torch.Generator().manual_seed(1))
    whole = cluster_video(keys, clusters=3, largest=1.0)
    monkeypatch.setattr(cluster, "CELLS", 70)
    parts = cluster_video(list(keys), clusters=3, largest=1.0)
    assert torch.equal(parts.labels, whole.labels)
    assert parts.sizes == whole.sizes


def test_finer_labels_are_those_of_points_between_cells() -> None:
    keys = torch.randn(3, 8, 6, 5, generator=torch.Generator().manual_seed(1))
    found = cluster_video(keys, clusters=3, largest=1.0, finer=4)
    points = space_time_points(keys)
    centres = kmeans(points.flatten(0, 2), 3).centres
    between = nnf.interpolate(points.permute(0, 3, 1, 2), scale_factor=4, mode="bilinear").permute(0, 2, 3, 1)
    expected = torch.cdist(between, centres).argmin(-1)
    assert found.labels.shape == (3, 24, 20)
    assert sum(found.sizes) == expected.numel()
    agrees = [[((found.labels == one) == (expected == other)).all() for other in range(3)] for one in (1, 2, 3)]
    assert [sum(row) for row in agrees] == [1, 1, 1]


def test_finer_is_one_or_more() -> None:
    with pytest.raises(ValueError, match="finer=0"):
        cluster_video(two_regions(3), clusters=2, finer=0)


def test_halves_and_gradients_are_accepted() -> None:
    keys = two_regions(3)
    expected = cluster_video(keys.half().float(), clusters=2).labels
    assert torch.equal(cluster_video(keys.half(), clusters=2).labels, expected)
    assert not cluster_video(keys.requires_grad_(), clusters=2).labels.requires_grad


def test_a_video_without_frames() -> None:
    with pytest.raises(ValueError, match="without frames"):
        cluster_video([])


@pytest.mark.real
def test_positions_hold_the_segments_of_a_real_video_together(real_data: Path) -> None:
    """Of colours, averaged over 8×8 pixels: with positions, more cells than without them have their neighbour's label,
    along each axis, and most do."""
    paths = sorted((real_data / "davis2016-train-256p/JPEGImages/256p/bear").glob("*.jpg"))[:20]
    frames = [torch.from_numpy(resize_image(read_image(path), 32, 57).copy()) for path in paths]
    keys = [frame.permute(2, 0, 1) / 255 - 0.45 for frame in frames]
    found, without = (cluster_video(keys, alpha=alpha, largest=1).labels for alpha in (1.0, 0.0))
    for axis in range(3):
        together, apart = (float((labels.diff(dim=axis) == 0).float().mean()) for labels in (found, without))
        assert together > max(0.6, apart)
