"""Random numbers belong to clips, and means to all processes: a batch may be divided in any way."""

import pytest
import torch
from torch import Tensor

from vosbench.contract import Clip
from vosbench.ops.draws import Draws


def test_a_clip_draws_the_same_numbers_in_any_batch() -> None:
    together, first, second = Draws([5, 7]), Draws([5]), Draws([7])
    for shape in ((), (3,), (40, 40), (2, 1)):  # more than one block
        whole = together.rand(4, *shape)
        assert whole.shape == (4, *shape)
        torch.testing.assert_close(whole, torch.cat([first.rand(2, *shape), second.rand(2, *shape)]), rtol=0, atol=0)


def test_numbers_are_uniform_and_never_repeat() -> None:
    drawn = torch.cat([Draws([1, 2]).uniform(-1, 3, 4000, 2).flatten(), Draws([3, 4]).rand(4000).flatten() * 4 - 1])
    assert -1 <= drawn.min() < -0.99
    assert 2.99 < drawn.max() < 3
    assert drawn.mean() == pytest.approx(1, abs=0.05)
    assert len(drawn.unique()) > 0.99 * len(drawn)


def test_things_that_do_not_divide_among_the_clips_are_an_error() -> None:
    with pytest.raises(ValueError, match="3 is not a multiple of 2 clips"):
        Draws([0, 1]).rand(3)


def test_clips_without_seeds_follow_torch_s_generator() -> None:
    clip = Clip(torch.zeros(2, 1, 3, 4, 4), None, torch.zeros(2, 1).long(), ("a", "b"), torch.ones(2, 1, 4, 4).bool())
    found: list[Tensor] = []
    for seed in (0, 0, 1):
        torch.manual_seed(seed)
        found.append(clip.draws().rand(2))
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    assert found[0][0] != found[0][1]
