"""The largest values of rows, by numpy and by torch."""

import pytest
import torch

from vosbench.ops import top_k
from vosbench.ops.top_k import largest, top


@pytest.mark.parametrize("few", [0, 4])
@pytest.mark.parametrize("k", [1, 5, 40, 100])
def test_the_largest_are_those_of_torch(monkeypatch: pytest.MonkeyPatch, few: int, k: int) -> None:
    """Among values of both signs, both zeros, infinities, denormal numbers and ties."""
    monkeypatch.setattr(top_k, "FEW", few)
    values = torch.randn(50, 40, generator=torch.Generator().manual_seed(0))
    values[:, ::7], values[:, 1::9], values[:, 2::11], values[:, 3::13] = 0, -0.0, -torch.inf, 1e-40
    values[:, 4::6] = values[:, 5:6]
    values[0] = 0
    best, which = largest(values, k)
    assert torch.equal(best.sort(1).values, values.topk(min(k, 40), 1).values.sort(1).values)
    assert torch.equal(values.gather(1, which), best)
    assert all(len(row.unique()) == len(row) for row in which)


def test_kept_ties_get_more_columns() -> None:
    values = torch.tensor([[3.0, 1, 1, 1, 0], [5, 4, 3, 2, 1], [2, -torch.inf, -torch.inf, -torch.inf, -torch.inf]])
    best, which = top(values, 2, "kept")
    assert best.sort(1, descending=True).values.tolist() == [
        [3, 1, 1, 1],
        [5, 4, -torch.inf, -torch.inf],
        [2, -torch.inf, -torch.inf, -torch.inf],
    ]
    assert set(which[0].tolist()) == {0, 1, 2, 3}
    assert top(values, 2, "topk")[0].shape == (3, 2)
