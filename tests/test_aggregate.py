"""Soft aggregation: by hand, against loops, and where probabilities are 0 or 1."""

import math

import pytest
import torch
import torch.nn.functional as nnf
from torch import Tensor

from vosbench.ops.aggregate import aggregated_logits, soft_aggregate


def plain(probabilities: list[float]) -> list[float]:
    """One pixel of any number of objects, in double precision."""
    all_ = [math.prod(1 - p for p in probabilities), *probabilities]
    clamped = [min(max(p, 1e-7), 1 - 1e-7) for p in all_]
    odds = [p / (1 - p) for p in clamped]
    return [each / sum(odds) for each in odds]


def pixel(*probabilities: float) -> Tensor:
    return torch.tensor(probabilities, dtype=torch.float32).view(1, -1, 1, 1)


def test_by_hand() -> None:
    """Background .2 · .5 = .1: odds 1/9, 4 and 1."""
    found = soft_aggregate(pixel(0.8, 0.5)).flatten()
    torch.testing.assert_close(found, torch.tensor([1, 36, 9]) / 46)
    odds = aggregated_logits(pixel(0.8, 0.5).logit()).flatten().exp()
    torch.testing.assert_close(odds, torch.tensor([1 / 9, 4, 1]))


@pytest.mark.parametrize("p", [0.0, 0.01, 0.3, 0.5, 0.9, 1.0])
def test_one_object(p: float) -> None:
    background, object_ = soft_aggregate(pixel(p)).flatten().tolist()
    assert object_ == pytest.approx(p**2 / (p**2 + (1 - p) ** 2), abs=1e-6)
    assert background == pytest.approx(1 - object_, abs=1e-6)


@pytest.mark.parametrize("n", [0, 1, 3, 12])
def test_every_pixel_of_a_batch(n: int) -> None:
    torch.manual_seed(n)
    probabilities = torch.rand(2, n, 3, 4)
    probabilities[probabilities < 0.1] = 0
    found = soft_aggregate(probabilities)
    assert found.shape == (2, n + 1, 3, 4)
    expected = [plain(each) for each in probabilities.double().permute(0, 2, 3, 1).flatten(0, 2).tolist()]
    torch.testing.assert_close(found.permute(0, 2, 3, 1).flatten(0, 2), torch.tensor(expected), rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(found.sum(1), torch.ones(2, 3, 4))
    torch.testing.assert_close(aggregated_logits(probabilities.logit(1e-7)).softmax(1), found, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("others", [(0.0, 0.0), (0.5, 0.5), (1.0, 0.0), (1.0, 1.0), (0.001, 0.999)])
def test_an_absent_object_stays_absent(others: tuple[float, float]) -> None:
    with_it, without = soft_aggregate(pixel(*others, 0.0)), soft_aggregate(pixel(*others))
    assert with_it[0, 3] < 1e-6
    torch.testing.assert_close(with_it[:, :3], without, atol=1e-6, rtol=0)


def test_all_absent_is_background() -> None:
    torch.testing.assert_close(
        soft_aggregate(pixel(0, 0, 0)).flatten(), torch.tensor([1.0, 0, 0, 0]), atol=1e-6, rtol=0
    )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_in_float32(dtype: torch.dtype) -> None:
    probabilities = torch.tensor([0.0, 0.25, 0.5, 1.0], dtype=dtype).view(1, 2, 1, 2)
    with torch.autocast("cpu", torch.bfloat16):
        found = soft_aggregate(probabilities)
    assert found.dtype == torch.float32
    assert torch.equal(found, soft_aggregate(probabilities.float()))


def test_gradients() -> None:
    """Those of the plain formula inside, and finite everywhere, through the aggregation alone and a cross-entropy."""
    torch.manual_seed(0)
    probabilities = 0.1 + 0.8 * torch.rand(2, 3, 4, 5)
    weights = torch.randn(2, 4, 4, 5)
    inside, exact = probabilities.clone().requires_grad_(), probabilities.double().requires_grad_()
    (soft_aggregate(inside) * weights).sum().backward()
    odds = torch.cat([(1 - exact).prod(1, keepdim=True), exact], 1)
    odds = odds / (1 - odds)
    (odds / odds.sum(1, keepdim=True) * weights).sum().backward()
    assert inside.grad is not None
    assert exact.grad is not None
    torch.testing.assert_close(inside.grad, exact.grad.float(), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("target", [0, 1, 2])
@pytest.mark.parametrize(
    "logits", [(0.0, 0.0), (-200.0, 200.0), (200.0, 200.0), (-200.0, -200.0), (-80.0, -69.0), (-14.0, 17.0)]
)
def test_gradients_are_finite(logits: tuple[float, float], target: int) -> None:
    parameters = torch.tensor(logits).view(1, 2, 1, 1).requires_grad_()
    loss = nnf.cross_entropy(aggregated_logits(parameters), torch.full((1, 1, 1), target))
    loss.backward()
    assert loss.isfinite()
    assert parameters.grad is not None
    assert parameters.grad.isfinite().all()
    assert parameters.grad.abs().max() < 10


@pytest.mark.parametrize("gap", [1.0, 8.0, 12.0, 30.0, 60.0, 200.0])
@pytest.mark.parametrize("target", [0, 1])
def test_wrong_pixels_have_a_gradient_however_certain(gap: float, target: int) -> None:
    """One object's log-odds count twice (p² against (1 − p)²), and those of the background end at 69."""
    parameters = torch.full((1, 1, 1, 1), gap * (1 - 2 * target), requires_grad=True)
    nnf.cross_entropy(aggregated_logits(parameters), torch.full((1, 1, 1), target)).backward()
    assert parameters.grad is not None
    expected = 2 * torch.tensor(2 * gap).sigmoid().item()
    assert parameters.grad.abs().item() == pytest.approx(expected if gap < 69 or target == 0 else 1, rel=1e-4)
