"""Blocked matching against the plain full affinity, and which cells are candidates."""

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from vosbench.ops import top_k
from vosbench.ops.candidates import Candidates
from vosbench.ops.matching import global_local_readout, match, read
from vosbench.ops.search_block import Block
from vosbench.ops.windows import Window

SIZES = [(16, 24), (13, 21), (3, 20), (5, 3), (1, 1)]  # whole blocks, overhanging ones, sides smaller than the radius
FIRST = (True, False, False)


def full_readout(
    query: Tensor,
    keys: Sequence[Tensor],
    values: Sequence[Tensor],
    *,
    unrestricted: Sequence[bool],
    radius: float,
    temperature: float,
    top_k: int | None,
    window: str = "disk",
) -> Tensor:
    """`global_local_readout` the plain way: one HW × NHW matrix, masked in place, top-k, softmax, gather."""
    h, w = query.shape[2:]
    affinity = (query.flatten(2)[0].T / temperature) @ torch.cat([key.flatten(2)[0] for key in keys], 1)
    affinity = affinity.view(h * w, len(keys), h * w)
    far = ~inside(h, w, radius, window)
    for i, free in enumerate(unrestricted):
        if not free:
            affinity[:, i].masked_fill_(far, -torch.inf)
    rows = torch.cat([value.flatten(2)[0] for value in values], 1).T
    if top_k is None:
        read = affinity.flatten(1).softmax(1) @ rows
    else:
        best, which = affinity.flatten(1).topk(min(top_k, len(rows)), 1)
        read = (best.softmax(1).unsqueeze(1) @ rows[which]).squeeze(1)
    return read.T.reshape(1, -1, h, w)


def inside(h: int, w: int, radius: float, window: str) -> Tensor:
    """Whether a cell lies in a query's window: (query, cell)."""
    y, x = (each.flatten() for each in torch.meshgrid(torch.arange(float(h)), torch.arange(float(w)), indexing="ij"))
    dy, dx = (y[:, None] - y).abs(), (x[:, None] - x).abs()
    if window == "square":
        return (dy <= radius) & (dx <= radius)
    distance = (dy**2 + dx**2).sqrt()
    return distance < radius if window == "disk" else distance <= radius


def maps(h: int, w: int, references: int = 3, n: int = 3, c: int = 16, seed: int = 0) -> tuple[Tensor, Any, Any]:
    """A query and keys of unit norm, and values."""
    rng = torch.Generator().manual_seed(seed)
    query, *keys = torch.nn.functional.normalize(torch.randn(references + 1, 1, c, h, w, generator=rng), dim=2)
    return query, keys, list(torch.rand(references, 1, n, h, w, generator=rng))


def both(tensors: tuple[Tensor, Any, Any], **options: Any) -> tuple[Tensor, Tensor]:
    options = {"unrestricted": FIRST, "radius": 4, "temperature": 0.05, "top_k": 10, **options}
    return global_local_readout(*tensors, **options), full_readout(*tensors, **options)


def assert_equal(read: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(read, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("window", ["disk", "closed_disk", "square"])
@pytest.mark.parametrize("top_k", [None, 1, 10, 10_000])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_equals_the_full_affinity(h: int, w: int, top_k: int | None, window: str) -> None:
    assert_equal(*both(maps(h, w), top_k=top_k, window=window))


@pytest.mark.parametrize("top_k", [None, 10])
@pytest.mark.parametrize(
    "unrestricted",
    [(True,), (False,), (False, True), (True, True, True), (False, False), (False, True, False, True, False)],
)
def test_equals_the_full_affinity_whichever_are_unrestricted(unrestricted: Sequence[bool], top_k: int | None) -> None:
    assert_equal(*both(maps(11, 18, len(unrestricted)), unrestricted=unrestricted, top_k=top_k))


@pytest.mark.parametrize("radius", [0.5, 1, 2.5, 12, 100, 1e9])
def test_equals_the_full_affinity_at_any_radius(radius: float) -> None:
    assert_equal(*both(maps(14, 27), radius=radius))


def test_equals_the_full_affinity_at_its_defaults_and_one_channel() -> None:
    tensors = maps(30, 41, 5, n=1)
    unrestricted = (True, *[False] * 4)
    expected = full_readout(*tensors, unrestricted=unrestricted, radius=12, temperature=0.05, top_k=10)
    assert_equal(global_local_readout(*tensors, unrestricted=unrestricted), expected)


@pytest.mark.parametrize("references", [9, 23])
@pytest.mark.parametrize("window", ["disk", "square"])
def test_equals_the_full_affinity_with_many_references(references: int, window: str) -> None:
    """Bands of the search are then lower than with few."""
    unrestricted = (*[False] * (references - 1), True)
    assert_equal(*both(maps(19, 26, references), unrestricted=unrestricted, radius=5, window=window))
    assert_equal(*both(maps(19, 26, references), unrestricted=[False] * references, radius=5, window=window))


def test_equals_the_full_affinity_over_several_blocks() -> None:
    assert_equal(*both(maps(70, 21, 2, c=8), unrestricted=(False, False), radius=3))


def test_equals_the_full_affinity_where_torch_chooses(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with many threads."""
    monkeypatch.setattr(top_k, "FEW", 0)
    assert_equal(*both(maps(13, 21)))


def test_the_result_is_the_same_every_time() -> None:
    query, keys, _ = tied_maps(13, 21)
    first, second = (match(query, keys, unrestricted=FIRST, radius=4, top_k=7) for _ in range(2))
    assert torch.equal(first.weights, second.weights)
    assert torch.equal(first.cells, second.cells)
    assert torch.equal(first.references, second.references)


def tied_maps(h: int, w: int, references: int = 3) -> tuple[Tensor, list[Tensor], list[Tensor]]:
    """Small whole numbers, whose products have no rounding errors and many ties."""
    query, keys, values = maps(h, w, references, c=4)
    return (query * 2).round(), [(key * 2).round() for key in keys], values


@pytest.mark.parametrize("gradients", [False, True])
@pytest.mark.parametrize("unrestricted", [FIRST, (False, False, False), (True, True, True)])
@pytest.mark.parametrize("top_k", [1, 5, 10_000])
def test_kept_ties_all_take_part(top_k: int, unrestricted: Sequence[bool], gradients: bool) -> None:
    """By one search or, with gradients, by the other."""
    h, w = 13, 21
    query, keys, values = tied_maps(h, w)
    logits = 4 * torch.stack([query.flatten(2)[0].T @ key.flatten(2)[0] for key in keys], 1)
    for i, free in enumerate(unrestricted):
        if not free:
            logits[:, i].masked_fill_(~inside(h, w, 4, "disk"), -torch.inf)
    kth = logits.flatten(1).topk(min(top_k, logits[0].numel()), 1).values[:, -1:]
    weights = logits.flatten(1).masked_fill(logits.flatten(1) < kth, -torch.inf).softmax(1)
    options: dict[str, Any] = {"unrestricted": unrestricted, "radius": 4, "temperature": 0.25, "top_k": top_k}
    matches = match(query.requires_grad_(gradients), keys, ties="kept", **options)
    if top_k < 10:
        assert matches.weights.shape[1] > top_k
    expected = (weights @ torch.cat([value.flatten(2)[0].T for value in values])).T.reshape(1, -1, h, w)
    assert_equal(read(matches, values), expected)
    assert match(query, keys, **options).weights.shape[1] <= top_k


def test_without_ties_keeping_them_changes_nothing() -> None:
    query, keys, values = maps(13, 21)
    kept = match(query, keys, unrestricted=FIRST, radius=4, ties="kept")
    assert kept.weights.shape[1] == 10
    assert_equal(read(kept, values), global_local_readout(query, keys, values, unrestricted=FIRST, radius=4))


def test_the_restriction_changes_the_result() -> None:
    """What the tests above compare does depend on radius, window and first frame."""
    tensors = maps(16, 24)
    results = [
        both(tensors, **options)[0]
        for options in ({}, {"radius": 5}, {"window": "square"}, {"unrestricted": (False,) * 3}, {"top_k": 11})
    ]
    for i, one in enumerate(results):
        assert all((one - other).abs().max() > 1e-3 for other in results[:i])


@pytest.mark.parametrize("top_k", [None, 10_000])
@pytest.mark.parametrize(
    ("window", "offsets"),
    [
        ("disk", {(dy, dx) for dy in range(-4, 5) for dx in range(-4, 5) if dy**2 + dx**2 < 25}),
        ("closed_disk", {(dy, dx) for dy in range(-5, 6) for dx in range(-5, 6) if dy**2 + dx**2 <= 25}),
        ("square", {(dy, dx) for dy in range(-5, 6) for dx in range(-5, 6)}),
    ],
)
def test_candidates_are_nearer_than_the_radius(
    window: Window, offsets: set[tuple[int, int]], top_k: int | None
) -> None:
    """Values that name each cell read out the weights: for (3, 4), which is 5 away, only in a closed disk, none outside
    of the picture, and all of them sum to 1."""
    h, w = 13, 17
    query, keys, _ = maps(h, w, 1)
    names = torch.eye(h * w).view(1, h * w, h, w)
    weights = global_local_readout(
        query, keys, [names], unrestricted=[False], radius=5, temperature=1.0, top_k=top_k, window=window
    )[0]
    torch.testing.assert_close(weights.sum(0), torch.ones(h, w))
    for y, x in [(0, 0), (6, 8), (12, 3), (7, 16)]:
        expected = {(y + dy, x + dx) for dy, dx in offsets if 0 <= y + dy < h and 0 <= x + dx < w}
        assert {(i // w, i % w) for i in weights[:, y, x].nonzero().flatten().tolist()} == expected


def test_only_an_unrestricted_reference_is_searched_far_away() -> None:
    """The same key, moved by 12 cells: found where all cells are candidates."""
    _, (key, other), _ = maps(20, 30, 2, c=64)
    query = key.roll(12, 3)
    places = torch.arange(600.0).view(1, 1, 20, 30)
    options: dict[str, Any] = {"radius": 12, "top_k": 1}
    found = global_local_readout(query, [other, key], [places, places], unrestricted=[False, True], **options)
    assert torch.equal(found, places.roll(12, 3))
    lost = global_local_readout(query, [other, key], [places, places], unrestricted=[True, False], **options)
    assert (lost != places.roll(12, 3))[..., 12:].all()


def test_a_self_match_reads_its_own_label() -> None:
    _, keys, _ = maps(13, 18, c=64)
    labels = torch.arange(13 * 18).view(1, 1, 13, 18).float()
    values = [torch.zeros_like(labels), labels, torch.zeros_like(labels)]
    assert torch.equal(global_local_readout(keys[1], keys, values, unrestricted=FIRST, top_k=1), labels)


@pytest.mark.parametrize("top_k", [None, 7])
def test_gradients_equal_those_of_the_full_affinity(top_k: int | None) -> None:
    query, keys, values = maps(9, 14)
    tensors = [each.requires_grad_() for each in (query, *keys, *values)]
    read, expected = both((query, keys, values), top_k=top_k, temperature=0.2)
    direction = torch.randn(read.shape, generator=torch.Generator().manual_seed(9))
    own, plain = (torch.autograd.grad(each, tensors, direction) for each in (read, expected))
    assert max(each.abs().max() for each in own) > 0.1
    for gradient, other in zip(own, plain, strict=True):
        torch.testing.assert_close(gradient, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("top_k", [None, 10])
def test_everything_is_float32_under_autocast(top_k: int | None) -> None:
    query, keys, values = maps(11, 18)
    expected = global_local_readout(query, keys, values, unrestricted=FIRST, top_k=top_k)
    with torch.autocast("cpu", torch.bfloat16):
        assert (query[0, :, 0].T @ keys[0][0, :, 0]).dtype == torch.bfloat16
        assert torch.equal(global_local_readout(query, keys, values, unrestricted=FIRST, top_k=top_k), expected)


@pytest.mark.parametrize("top_k", [None, 10])
def test_half_precision_comes_out_as_float32(top_k: int | None) -> None:
    """Bits lost before the call are lost, none after."""
    query, keys, values = maps(11, 18)
    half = query.bfloat16(), [key.bfloat16() for key in keys], [value.bfloat16() for value in values]
    exact = half[0].float(), [key.float() for key in half[1]], [value.float() for value in half[2]]
    read = global_local_readout(*half, unrestricted=FIRST, top_k=top_k)
    assert read.dtype == torch.float32
    assert torch.equal(read, global_local_readout(*exact, unrestricted=FIRST, top_k=top_k))


def test_chunks_bound_what_is_held_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    search = Candidates.affinities

    def counting(self: Candidates) -> Any:
        for affinity, rows in search(self):
            held.append(affinity.numel())
            yield affinity, rows

    monkeypatch.setattr(Candidates, "affinities", counting)
    tensors, results, most = maps(21, 34), [], []
    for chunk in (1, 20_000, 60_000, 1 << 30):
        held.clear()
        results.append(global_local_readout(*tensors, unrestricted=FIRST, radius=4, top_k=None, chunk=chunk))
        most.append(max(held))
    assert most[0] == 21 * 34 + 2 * 7 * 7  # one query
    assert most[0] < most[1] <= 20_000 < most[2] <= 60_000 < most[3]
    for each in results[1:]:
        assert_equal(each, results[0])


def test_chunks_bound_what_the_search_holds_and_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    held: list[int] = []
    best = Block.best

    def counting(self: Block, *rest: Any) -> Any:
        held.append(len(self.shared.affinity))
        return best(self, *rest)

    monkeypatch.setattr(Block, "best", counting)
    tensors, results, most = maps(21, 34), [], []
    for chunk in (1, 5_000, 30_000, 1 << 30):
        held.clear()
        results.append(global_local_readout(*tensors, unrestricted=FIRST, radius=4, chunk=chunk))
        most.append(max(held))
    assert most[0] < most[1] <= 5_000 < most[2] <= 30_000 < most[3]
    for each in results[1:]:
        assert_equal(each, results[0])


def test_one_search_serves_several_values() -> None:
    query, keys, values = maps(13, 21)
    matches = match(query, keys, unrestricted=(False, True, False), radius=4)
    options: dict[str, Any] = {"unrestricted": (False, True, False), "radius": 4}
    wide = [torch.randn(1, 100, 13, 21, generator=torch.Generator().manual_seed(i)) for i in range(3)]
    assert torch.equal(read(matches, values), global_local_readout(query, keys, values, **options))
    assert_equal(read(matches, wide, chunk=5000), both((query, keys, wide), **options)[1])


def test_matches_name_references_as_they_were_given() -> None:
    query, keys, _ = maps(13, 21)
    matches = match(query, keys, unrestricted=(False, True, False), radius=4, top_k=5)
    assert matches.size == (13, 21)
    assert set(matches.references.unique().tolist()) == {0, 1, 2}
    torch.testing.assert_close(matches.weights.sum(1), torch.ones(13 * 21))
    near = inside(13, 21, 4, "disk").gather(1, matches.cells)
    assert near[matches.references != 1].all()
    assert not near[matches.references == 1].all()
    rows = torch.stack(keys).squeeze(1).flatten(2)  # reference, channel, cell
    cosine = torch.einsum("qc,qkc->qk", query[0].flatten(1).T, rows[matches.references, :, matches.cells])
    torch.testing.assert_close((cosine / 0.05).softmax(1), matches.weights, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"radius": 0}, "disk of radius 0 holds no cell"),
        ({"radius": -1, "window": "closed_disk"}, "closed_disk of radius -1 holds no cell"),
        ({"radius": -0.5, "window": "square"}, "square of radius -0.5 holds no cell"),
        ({"top_k": 0}, "top_k must be at least 1, not 0"),
        ({"temperature": 0}, "temperature must be positive, not 0"),
        ({"unrestricted": (True, False)}, "speaks of 2 references, there are 3"),
    ],
)
def test_what_cannot_be_searched_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        global_local_readout(*maps(5, 6), **{"unrestricted": FIRST, **options})


def test_values_of_every_reference_are_needed() -> None:
    query, keys, values = maps(5, 6)
    with pytest.raises(ValueError, match="values of 1 references, but matches in more"):
        global_local_readout(query, keys, values[:1], unrestricted=FIRST)
