"""MAST's matching against loops over every query and candidate."""

import math

import pytest
import torch
from torch import Tensor

from vosbench.ops.affinity import local_readout
from vosbench.ops.offset import coarse_offsets, offset_readout

RADIUS, SCALE = 2, 0.7


def maps(count: int, channels: int, h: int = 7, w: int = 9, seed: int = 0) -> list[Tensor]:
    rng = torch.Generator().manual_seed(seed)
    return [torch.randn(1, channels, h, w, generator=rng, dtype=torch.float64) for _ in range(count)]


def at(maps: Tensor, y: float, x: float) -> Tensor:
    """Bilinear reading of (1, c, h, w) at one place, zero outside."""
    top, left = math.floor(y), math.floor(x)
    total = torch.zeros_like(maps[0, :, 0, 0])
    for j, i in ((top, left), (top, left + 1), (top + 1, left), (top + 1, left + 1)):
        if 0 <= j < maps.shape[2] and 0 <= i < maps.shape[3]:
            total = total + maps[0, :, j, i] * (1 - abs(y - j)) * (1 - abs(x - i))
    return total


def slow_offsets(query: Tensor, key: Tensor, gap: int) -> Tensor:
    h, w = query.shape[2:]
    offsets = torch.zeros(2, h, w, dtype=query.dtype)
    dilation = min(4, gap // 15 + 1)
    reach = [dilation * step for step in range(-RADIUS, RADIUS + 1)]
    for i in range(h if gap > 15 else 0):
        for j in range(w):
            steps = torch.tensor([(dx, dy) for dy in reach for dx in reach], dtype=query.dtype)
            logits = [SCALE * query[0, :, i, j] @ at(key, i + dy, j + dx) for dy in reach for dx in reach]
            offsets[:, i, j] = torch.stack(logits).softmax(0) @ steps
    return offsets


def slow_readout(query: Tensor, keys: list[Tensor], values: list[Tensor], offsets: list[Tensor]) -> Tensor:
    h, w = query.shape[2:]
    read = torch.zeros(1, values[0].shape[1], h, w, dtype=query.dtype)
    reach = range(-RADIUS, RADIUS + 1)
    for i in range(h):
        for j in range(w):
            logits, seen = [], []
            for key, value, offset in zip(keys, values, offsets, strict=True):
                x, y = j + offset[0, i, j].item(), i + offset[1, i, j].item()
                logits += [SCALE * query[0, :, i, j] @ at(key, y + dy, x + dx) for dy in reach for dx in reach]
                seen += [at(value, y + dy, x + dx) for dy in reach for dx in reach]
            read[0, :, i, j] = torch.stack(logits).softmax(0) @ torch.stack(seen)
    return read


@pytest.mark.parametrize("gap", [1, 15, 16, 30, 44, 45, 200])
def test_offsets_equal_a_dilated_soft_argmax(gap: int) -> None:
    query, key = maps(2, 5)
    torch.testing.assert_close(coarse_offsets(query, key, gap, RADIUS, SCALE), slow_offsets(query, key, gap))


def test_near_references_are_not_searched() -> None:
    query, key = maps(2, 5)
    assert not coarse_offsets(query, key, 15, RADIUS, SCALE).any()
    assert coarse_offsets(query, key, 16, RADIUS, SCALE).any()


def test_the_offset_points_from_query_to_reference() -> None:
    (key,) = maps(1, 64, 24, 30)
    query = key.roll((-2, 4), (2, 3))  # the query's cell (y, x) shows what the reference shows at (y + 2, x - 4)
    offsets = coarse_offsets(query, key, 16, 3, 10.0)
    torch.testing.assert_close(offsets[:, 8:16, 10:20].mean((1, 2)), torch.tensor([-4.0, 2.0], dtype=torch.float64))


@pytest.mark.parametrize("spread", [0.0, 1.0, 6.0])
def test_readout_equals_bilinear_windows(spread: float) -> None:
    query, *keys = maps(3, 5)
    values = maps(2, 3, seed=1)
    offsets = [spread * each[0] for each in maps(2, 2, seed=2)]
    read = offset_readout(query, keys, values, offsets, RADIUS, SCALE)
    torch.testing.assert_close(read, slow_readout(query, keys, values, offsets))


def test_readout_without_offsets_is_the_local_readout() -> None:
    query, *keys = maps(3, 5, 30, 31)  # more queries than are handled at a time
    values = maps(2, 3, 30, 31, seed=1)
    offsets = [torch.zeros(2, 30, 31, dtype=torch.float64)] * 2
    read = offset_readout(query, keys, values, offsets, RADIUS, SCALE)
    torch.testing.assert_close(read, local_readout(query, keys, values, radius=RADIUS, scale=SCALE))
