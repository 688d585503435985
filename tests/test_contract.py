"""What every method in conf/method promises, through the configuration that a user would choose."""

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hydra.utils import instantiate
from torch import Tensor

from vosbench.cli import configuration
from vosbench.contract import Clip, Segmented
from vosbench.inference.memory import FrameMemory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import ShortSide
from vosbench.method import Method
from vosbench.video.video import Image, LabelMap

METHODS = configuration.groups(configuration.compose("benchmark"))["method"]
SIZE = (46, 62)  # no multiple of any stride
FRAMES = 5
START = {3: 0, 200: 0, 17: 3}  # object → the frame that it starts at


@cache
def recipe(method: str) -> dict[str, Any]:
    """Its configuration; whatever estimates flow, OpenCV does it here, which needs no weights."""
    composed = configuration.compose("benchmark", [f"method={method}"])
    if "Raft" in composed.flow["_target_"]:
        composed = configuration.compose("benchmark", [f"method={method}", "flow=dis"])
    return configuration.resolve(composed)


def made(method: str) -> Method[Any, Any]:
    torch.manual_seed(0)
    network: Method[Any, Any] = instantiate(recipe(method)["method"], _convert_="all")
    return network.eval()


@pytest.mark.parametrize("method", METHODS)
def test_it_has_the_name_of_its_recipe_without_the_size(method: str) -> None:
    assert made(method).name == method.removesuffix("_small")


def scene(index: int) -> tuple[Image, LabelMap]:
    """Frame and true label map: rectangles of one colour each, moving over a texture; two of them fill most of it."""
    h, w = SIZE
    y, x = np.mgrid[:h, :w]
    image = np.stack([90 + 40 * np.sin((x + 2 * y) / 5), 100 + 40 * np.cos((2 * x - y) / 7), 0 * x + 80], 2)
    labels = np.zeros(SIZE, np.uint8)
    boxes = ((3, (220, 60, 60), 0, 0, 46, 24), (200, (60, 220, 60), 2, 32, 44, 26), (17, (60, 60, 230), 14, 20, 20, 18))
    for label, colour, top, left, height, width in boxes:
        box = (slice(top, top + height), slice(left + index, left + index + width))
        image[box] = np.array(colour) + 20 * ((x + y) % 6 > 2)[box][..., None]
        labels[box] = label
    return image.astype(np.uint8), labels


def given(index: int) -> LabelMap | None:
    labels = scene(index)[1]
    starting = np.isin(labels, [label for label, start in START.items() if start == index])
    return np.where(starting, labels, 0).astype(np.uint8) if starting.any() else None


class Checked:
    """A method whose every score is checked on its way out."""

    def __init__(self, method: Method[Any, Any], monkeypatch: pytest.MonkeyPatch) -> None:
        self.calls = {"encode": 0, "segment": 0}
        encode, segment = method.encode, method.segment

        def counting(images: Tensor) -> Any:
            self.calls["encode"] += 1
            assert images.shape[2] % method.stride == images.shape[3] % method.stride == 0
            return encode(images)

        def checking(query: Any, context: Any) -> Any:
            self.calls["segment"] += 1
            found = segment(query, context)
            scores = found.scores if isinstance(found, Segmented) else found
            assert scores.isfinite().all()
            assert scores.min() >= 0
            assert scores.sum(1).max() <= 1 + 1e-5
            return found

        monkeypatch.setattr(method, "encode", counting)
        monkeypatch.setattr(method, "segment", checking)


def segmented(method: Method[Any, Any], name: str) -> Iterator[LabelMap]:
    memory: FrameMemory[Any] = instantiate(recipe(name)["memory"])
    run = Propagator(method, memory, ShortSide())
    for index in range(FRAMES):
        yield run.step(scene(index)[0], given(index))


@pytest.mark.parametrize("name", METHODS)
def test_predictions(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    method = made(name)
    checked = Checked(method, monkeypatch)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    maps = list(segmented(method, name))
    for index, labels in enumerate(maps):
        assert labels.shape == SIZE
        assert set(np.unique(labels)) <= {0, *(label for label, start in START.items() if start <= index)}
        if (mask := given(index)) is not None:
            np.testing.assert_array_equal(labels[mask > 0], mask[mask > 0])
    np.testing.assert_array_equal(maps[0], given(0))
    # Untrained networks prefer some cells to all others and may lose an object, but never all, and never invent one.
    assert all(labels.any() for labels in maps)
    assert checked.calls["encode"] == FRAMES
    assert FRAMES - 1 <= checked.calls["segment"] <= 2 * (FRAMES - 1)  # objects that start late are read apart
    for key, value in method.state_dict().items():
        assert torch.equal(value, before[key]), f"prediction changes {key}"


@pytest.mark.parametrize("name", METHODS)
def test_the_same_result_twice(name: str) -> None:
    for first, second in zip(segmented(made(name), name), segmented(made(name), name), strict=True):
        np.testing.assert_array_equal(first, second)


def clip(size: int = 44) -> Clip:
    """Two clips of two frames with their labels, which may pass for pseudo-labels too."""
    pairs = [[scene(0), scene(2)], [scene(1), scene(4)]]
    images = torch.tensor(np.array([[image[:size, :size] for image, _ in pair] for pair in pairs]))
    labels = torch.tensor(np.array([[labels[:size, :size] for _, labels in pair] for pair in pairs])).long()
    frames = images.permute(0, 1, 4, 2, 3) / 255
    valid = torch.ones(labels.shape, dtype=torch.bool)
    return Clip(frames, labels, torch.tensor([[0, 5], [2, 9]]), ("one", "two"), valid, labels)


SUPERVISION = {name: made(name).supervision for name in METHODS}
TRAINED = [name for name in METHODS if SUPERVISION[name] != "none"]


@pytest.mark.parametrize("name", [name for name in METHODS if name not in TRAINED])
def test_what_cannot_be_trained_says_so(name: str) -> None:
    with pytest.raises(ValueError, match=rf"{name} has nothing to train"):
        made(name).loss(clip())


@pytest.mark.parametrize("name", TRAINED)
def test_losses_are_finite(name: str) -> None:
    method = made(name).train()
    terms = method.loss(clip())
    total = torch.stack(list(terms.values())).sum()
    total.backward()
    assert total.isfinite()
    for key, parameter in method.named_parameters():
        assert parameter.grad is not None, f"{key} is not trained"
        assert parameter.grad.isfinite().all(), key


@pytest.mark.parametrize("name", [name for name in TRAINED if SUPERVISION[name] == "self-supervised"])
def test_a_self_supervised_loss_sees_no_labels(name: str) -> None:
    method, batch = made(name), clip()
    losses = []
    for labelled in (batch, replace(batch, labels=None)):
        torch.manual_seed(1)
        losses.append(torch.stack(list(method.loss(labelled).values())))
    assert torch.equal(*losses)


@pytest.mark.parametrize("name", [name for name in TRAINED if name.endswith("_small")])
def test_the_loss_falls(name: str) -> None:
    """With the recipe's own optimizer, on one clip."""
    method, batch = made(name).train(), clip(32)
    optimizer = instantiate(recipe(name)["optimizer"])(method.parameters())
    losses = []
    for step in range(20):
        torch.manual_seed(step)
        loss = torch.stack(list(method.loss(batch).values())).sum()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5]), losses
