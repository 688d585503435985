"""Blocked local attention against the plain unfold version of tests/reference.py."""

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from vosbench.ops import block_readout
from vosbench.ops.affinity import local_readout
from vosbench.ops.align import gather_positions
from vosbench.ops.search_block import Block
from vosbench.ops.windows import BLOCK

Readout = Callable[..., Tensor]

SIZES = [(16, 24), (13, 21), (9, 8), (3, 5), (1, 1)]  # whole blocks, overhanging ones, smaller than a block or window


@pytest.fixture
def unfold_readout(reference: dict[str, Any]) -> Readout:
    readout: Readout = reference["unfold_readout"]
    return readout


def maps(h: int, w: int, references: int = 2, b: int = 1, c: int = 6, n: int = 3, seed: int = 0) -> list[Tensor]:
    """A query, then keys, then values of the references."""
    rng = torch.Generator().manual_seed(seed)
    channels = [c, *[c] * references, *[n] * references]
    return [torch.randn(b, each, h, w, generator=rng, dtype=torch.float64) for each in channels]


def both(unfold_readout: Readout, tensors: Sequence[Tensor], **options: Any) -> tuple[Tensor, Tensor]:
    half = len(tensors) // 2
    arguments = (tensors[0], list(tensors[1 : half + 1]), list(tensors[half + 1 :]))
    options = {"radius": 4, "scale": 0.4, **options}
    return local_readout(*arguments, **options), unfold_readout(*arguments, **options)


def flow_positions(h: int, w: int, seed: int) -> Tensor:
    """Positions under a wild flow: many outside, and with repeats."""
    return gather_positions(8 * torch.randn(2, h, w, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize("top_k", [None, 1, 7, 10_000])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_equals_unfold(unfold_readout: Readout, h: int, w: int, top_k: int | None, mask_oob: bool) -> None:
    read, expected = both(unfold_readout, maps(h, w), top_k=top_k, mask_oob=mask_oob)
    torch.testing.assert_close(read, expected)


@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize(("h", "w"), [(13, 21), (70, 9), (3, 5)])
def test_equals_unfold_in_single_precision(unfold_readout: Readout, h: int, w: int, mask_oob: bool) -> None:
    tensors = [each.float() for each in maps(h, w, 5)]
    read, expected = both(unfold_readout, tensors, top_k=9, mask_oob=mask_oob)
    torch.testing.assert_close(read, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("references", [1, 2, 5])
@pytest.mark.parametrize("top_k", [None, 9])
def test_the_best_are_chosen_over_all_references(unfold_readout: Readout, references: int, top_k: int | None) -> None:
    read, expected = both(unfold_readout, maps(11, 18, references), top_k=top_k)
    torch.testing.assert_close(read, expected)


def test_top_k_over_the_union_differs_from_top_k_of_each(unfold_readout: Readout) -> None:
    tensors = maps(11, 18, 2)
    union, _ = both(unfold_readout, tensors, top_k=4)
    each = [local_readout(tensors[0], [tensors[i]], [tensors[i + 2]], radius=4, scale=0.4, top_k=2) for i in (1, 2)]
    assert (union - torch.stack(each).mean(0)).abs().max() > 0.1


@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("mask_oob", [False, True])
def test_a_batch(unfold_readout: Readout, top_k: int | None, mask_oob: bool) -> None:
    read, expected = both(unfold_readout, maps(10, 17, b=3), top_k=top_k, mask_oob=mask_oob)
    torch.testing.assert_close(read, expected)


@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize(("h", "w"), SIZES)
def test_references_read_through_a_flow(
    unfold_readout: Readout, h: int, w: int, top_k: int | None, mask_oob: bool
) -> None:
    positions = [flow_positions(h, w, seed) for seed in (1, 2)]
    read, expected = both(unfold_readout, maps(h, w), positions=positions, top_k=top_k, mask_oob=mask_oob)
    # With every candidate outside there is nothing to read: 0 here, 0/0 in the reference.
    torch.testing.assert_close(read, expected.nan_to_num(0))


def test_all_candidates_outside_give_no_label(unfold_readout: Readout) -> None:
    outside = [torch.full((9, 12), 9 * 12)] * 2
    for mask_oob in (False, True):
        for top_k in (None, 5):
            read, _ = both(unfold_readout, maps(9, 12), positions=outside, mask_oob=mask_oob, top_k=top_k)
            assert torch.equal(read, torch.zeros_like(read))


def test_positions_need_a_batch_of_one(unfold_readout: Readout) -> None:
    with pytest.raises(ValueError, match="batch of one"):
        both(unfold_readout, maps(9, 12, b=2), positions=[flow_positions(9, 12, 0)] * 2)


def test_candidates_outside_compete_with_affinity_zero() -> None:
    """A lone cell that its query dislikes: the eight cells around it lie outside and take their share."""
    one = torch.ones(1, 1, 1, 1)
    read = local_readout(one, [-one], [one], radius=1, scale=1.0)
    torch.testing.assert_close(read.item(), (torch.e**-1 / (torch.e**-1 + 8)))
    assert local_readout(one, [-one], [one], radius=1, scale=1.0, top_k=8).item() == 0
    assert local_readout(one, [-one], [one], radius=1, scale=1.0, top_k=8, mask_oob=True).item() == 1


def test_windows_are_square_and_numbered_row_by_row(reference: dict[str, Any]) -> None:
    """corr(dy, dx, i, j) = ⟨q(i, j), r(i+dy, j+dx)⟩, 0 outside, in both implementations."""
    radius, h, w = 2, 5, 7
    query, key = (each.float() for each in maps(h, w, 1)[:2])
    products = reference["unfold_affinity"](query, key, radius).unflatten(2, (h, w))
    own = torch.zeros(25, h, w)
    for dy in range(-radius, radius + 1):
        for dx in range(-radius, radius + 1):
            for i in range(h):
                for j in range(w):
                    if 0 <= i + dy < h and 0 <= j + dx < w:
                        number = (dy + radius) * 5 + dx + radius
                        own[number, i, j] = query[0, :, i, j] @ key[0, :, i + dy, j + dx]
    torch.testing.assert_close(products[0], own)
    # What local_readout favours under a huge scale is the best of exactly these cells: its coordinates tell which.
    y, x = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    places = torch.stack((y, x)).unsqueeze(0).float()
    best = own.where(own != 0, torch.tensor(-torch.inf)).argmax(0)
    found = local_readout(query, [key], [places], radius=radius, scale=1e4, top_k=1, mask_oob=True)[0]
    torch.testing.assert_close(found, torch.stack((y + best // 5 - radius, x + best % 5 - radius)).float())


def test_a_self_match_reads_its_own_label() -> None:
    key = torch.nn.functional.normalize(torch.randn(1, 16, 13, 18, generator=torch.Generator().manual_seed(0)), dim=1)
    labels = torch.arange(13 * 18).view(1, 1, 13, 18).float()
    assert torch.equal(local_readout(key, [key], [labels], radius=12, scale=1.0, top_k=1), labels)


@pytest.mark.parametrize("top_k", [None, 7])
def test_chunks_change_nothing(top_k: int | None) -> None:
    query, *rest = maps(21, 34)
    parts = [
        local_readout(query, rest[:2], rest[2:], radius=4, scale=0.4, top_k=top_k, chunk=chunk)
        for chunk in (1, 70_000, 1 << 30)
    ]
    torch.testing.assert_close(parts[0], parts[1], rtol=0, atol=1e-12)
    torch.testing.assert_close(parts[0], parts[2], rtol=0, atol=1e-12)


@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize("top_k", [None, 7])
@pytest.mark.parametrize("aligned", [False, True])
def test_skipping_uniform_windows_changes_nothing(top_k: int | None, mask_oob: bool, aligned: bool) -> None:
    h, w = 43, 50
    query, *keys = maps(h, w)[:3]
    labels = torch.zeros(h, w, dtype=torch.long)
    labels[18:24, 30:41], labels[20:30, 36:40] = 1, 2
    values = [torch.nn.functional.one_hot(each, 3).permute(2, 0, 1)[None].double() for each in (labels, labels.roll(3))]
    positions = [flow_positions(h, w, 1).where(torch.arange(w) > 45, torch.arange(h * w).view(h, w))] * 2
    options: dict[str, Any] = {"radius": 4, "scale": 0.4, "top_k": top_k, "mask_oob": mask_oob}
    options["positions"] = positions if aligned else None
    plain = local_readout(query, keys, values, **options)
    skipped = local_readout(query, keys, values, **options, skip_uniform=True)
    torch.testing.assert_close(skipped, plain, rtol=0, atol=1e-12)
    assert torch.equal(skipped.argmax(1), plain.argmax(1))


@pytest.mark.parametrize("sign", [-1, 1])
def test_zeros_outside_of_a_uniform_picture_compete(sign: int) -> None:
    """Only where too few candidates have positive affinities are zeros outside read."""
    query = torch.rand(1, 4, 20, 24, generator=torch.Generator().manual_seed(0)) + 0.1
    value = torch.ones(1, 1, 20, 24)
    options: dict[str, Any] = {"radius": 4, "scale": 1.0, "top_k": 7}
    plain = local_readout(query, [sign * query], [value], **options)
    skipped = local_readout(query, [sign * query], [value], **options, skip_uniform=True)
    torch.testing.assert_close(skipped, plain)
    assert (plain[..., 0, 0] < 0.5).all() == (sign < 0)
    assert plain[..., 10, 12].item() == pytest.approx(1)


def test_uniform_windows_at_the_border_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where zeros outside cannot be among the best."""
    searched = []
    best = Block.best

    def counting(block: Block, *rest: Any) -> Any:
        searched.append(block.own)
        return best(block, *rest)

    monkeypatch.setattr(Block, "best", counting)
    key, value = torch.rand(1, 4, 80, 80), torch.zeros(1, 2, 80, 80)
    value[:, 0] = 1
    options: dict[str, Any] = {"radius": 4, "scale": 1.0, "top_k": 7}
    assert torch.equal(local_readout(key, [key], [value], skip_uniform=True, **options), value)
    assert not searched
    value[:, :, 40, 40] = torch.tensor([0.0, 1.0])
    local_readout(key, [key], [value], skip_uniform=True, **options)
    rows, columns = zip(*searched, strict=True)
    assert min(each.start for each in rows) >= 28
    assert max(each.stop for each in rows) <= 52
    assert {(each.start, each.stop) for each in columns} == {(32, 40), (40, 48)}


def test_uniform_windows_are_skipped(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks that need no search are not searched: a label in one corner leaves the blocks far from it alone."""
    searched = []
    search = block_readout._read_all

    def counting(rows: Tensor, *rest: Any) -> Tensor:
        searched.append(len(rows))
        return search(rows, *rest)

    monkeypatch.setattr(block_readout, "_read_all", counting)
    key, value = torch.randn(1, 4, 80, 80), torch.zeros(1, 2, 80, 80)
    value[:, 1, :5, :5] = 1
    local_readout(key, [key], [value], radius=4, scale=1.0, skip_uniform=True)
    assert sum(searched) == 4
    local_readout(key, [key], [torch.zeros_like(value)], radius=4, scale=1.0, skip_uniform=True)
    assert sum(searched) == 4
    local_readout(key, [key], [value], radius=4, scale=1.0)
    assert sum(searched) == 4 + (80 // BLOCK) ** 2


@pytest.mark.parametrize("mask_oob", [False, True])
@pytest.mark.parametrize("top_k", [None, 5])
@pytest.mark.parametrize(("h", "w"), [(13, 18), (9, 17)])
def test_gradients_equal_those_of_unfold(
    unfold_readout: Readout, h: int, w: int, top_k: int | None, mask_oob: bool
) -> None:
    """At radius 4 the last rows of an overhanging block see nothing of the picture: they must not spoil the rest."""
    tensors = [each.requires_grad_() for each in maps(h, w, b=2)]
    read, expected = both(unfold_readout, tensors, top_k=top_k, mask_oob=mask_oob)
    direction = torch.randn(read.shape, generator=torch.Generator().manual_seed(9), dtype=read.dtype)
    own, plain = (torch.autograd.grad(each, tensors, direction) for each in (read, expected))
    for gradient, other in zip(own, plain, strict=True):
        torch.testing.assert_close(gradient, other)
