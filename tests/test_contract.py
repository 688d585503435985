"""What every method in conf/method promises, through the configuration that a user would choose; and that each check of
a promise finds a method that breaks it."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from vosbench.audit import scene
from vosbench.audit.method_checks import Broken, Subject, stored_weights
from vosbench.audit.promises import CHECKS, tried
from vosbench.audit.training_checks import losses_of
from vosbench.cli import configuration
from vosbench.methods.copy_first.method import CopyFirst

METHODS = configuration.groups(configuration.compose("benchmark"))["method"]
SMALL = ("_small", "_narrow")
# Those of a method's narrow networks stand for the whole ones, but in the slow tests.
EACH = [pytest.param(name, marks=pytest.mark.slow) if f"{name}_small" in METHODS else name for name in METHODS]


@cache
def recipe(method: str) -> dict[str, Any]:
    """Its configuration; whatever estimates flow, OpenCV does it here, which needs no weights."""
    composed = configuration.compose("check", [f"method={method}"])
    if "Raft" in composed.flow["_target_"]:
        composed = configuration.compose("check", [f"method={method}", "flow=dis"])
    return configuration.resolve(composed)


def subject(name: str) -> Subject:
    return Subject.of(*(recipe(name)[part] for part in ("method", "memory", "inference", "optimizer")))


@pytest.mark.parametrize("name", METHODS)
def test_it_has_the_name_of_its_recipe_without_the_size(name: str) -> None:
    assert subject(name).made().name == name.removesuffix("_small").removesuffix("_narrow")


@pytest.mark.parametrize("check", [check for check in CHECKS if check != "falling loss"])
@pytest.mark.parametrize("name", EACH)
def test_promises(name: str, check: str) -> None:
    assert CHECKS[check](subject(name))


@pytest.mark.parametrize("name", [name for name in METHODS if recipe(name)["optimizer"] and name.endswith(SMALL)])
def test_the_loss_falls(name: str) -> None:
    """With the recipe's own optimizer, on one clip."""
    losses = losses_of(subject(name))
    assert np.mean(losses[-5:]) < 0.8 * np.mean(losses[:5]), losses


def test_given_masks_are_kept() -> None:
    kept = subject("mamp_small")
    maps = kept.label_maps(kept.made())
    for index, labels in enumerate(maps):
        if (mask := scene.given(index)) is not None:
            np.testing.assert_array_equal(labels[mask > 0], mask[mask > 0])
    np.testing.assert_array_equal(maps[0], scene.given(0))


class Trained(CopyFirst):
    """Copies the first mask, and has one weight to train."""

    supervision = "self-supervised"  # type: ignore[assignment]  # the baseline has no training

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(1))

    def loss(self, clip: Any) -> dict[str, Tensor]:
        return {"square": (self.weight**2).sum()}


def broken_by(change: Callable[[Any], None], rate: float = 0.1) -> dict[str, str]:
    """What the checks say of a method that was changed: the broken promises."""

    def changed() -> Trained:
        method = Trained()
        change(method)
        return method

    found = tried(
        replace(
            subject("copy_first"),
            method=changed,
            optimizer=lambda parameters: torch.optim.SGD([parameter for _, parameter in parameters], lr=rate),
        )
    )
    return {name: said for name, said, kept in found if not kept}


def replaced(name: str, value: Callable[[Any, Any], Any]) -> Callable[[Any], None]:
    """A change that passes what the method's function returns through `value`, with the method."""

    def change(method: Any) -> None:
        inner = getattr(method, name)
        setattr(method, name, lambda *given: value(method, inner(*given)))

    return change


def test_a_good_method_breaks_nothing() -> None:
    assert broken_by(lambda method: None) == {}


def encoding_again(method: Any, scores: Tensor) -> Tensor:
    method.encode(torch.zeros(1, 3, 8, 8))
    return scores


def counting(method: Any, scores: Tensor) -> Tensor:
    method.seen = getattr(method, "seen", 0) + 1
    return scores.roll(3 * method.seen, 3)


def learning(method: Any, scores: Tensor) -> Tensor:
    method.weight.data += 1
    return scores


BREAKS = {
    "supervision": (lambda method: setattr(method, "supervision", "weak"), "declarations", "supervision is 'weak'"),
    "stride": (lambda method: setattr(method, "stride", 0), "declarations", "stride is 0"),
    "padding": (lambda method: setattr(method, "padding", 3), "declarations", "padding is 3"),
    "scores of 2": (replaced("segment", lambda _, scores: 2 * scores), "predictions", "sum to 2 in a pixel"),
    "negative": (replaced("segment", lambda _, scores: -scores), "predictions", "scores from -1"),
    "nan": (replaced("segment", lambda _, scores: scores / 0), "predictions", "not finite"),
    "shape": (replaced("segment", lambda _, scores: scores[0]), "predictions", "give (1, objects + 1, height, width)"),
    "lost": (replaced("segment", lambda _, s: 0 * s + torch.eye(s.shape[1])[0].view(1, -1, 1, 1)), "predictions", "lo"),
    "encoding": (replaced("segment", encoding_again), "predictions", "encode in encode alone"),
    "state": (replaced("segment", learning), "predictions", "prediction changes weight"),
    "memory": (replaced("segment", counting), "repetition", "keep nothing of a video in the method"),
    "unused": (replaced("loss", lambda _, terms: {"one": torch.ones(1, requires_grad=True)}), "gradients", "weight"),
    "infinite": (replaced("loss", lambda m, _: {"one": m.weight.sum() * torch.inf}), "gradients", "the loss is inf"),
    "untrainable": (lambda method: setattr(method, "supervision", "none"), "gradients", "raises no UserError"),
}


@pytest.mark.parametrize(("change", "check", "said"), BREAKS.values(), ids=BREAKS)
def test_a_broken_promise_is_found(change: Callable[[Any], None], check: str, said: str) -> None:
    found = broken_by(change)
    assert said in found.get(check, ""), found


def test_a_loss_that_reads_labels_is_found() -> None:
    def reads_labels(method: Any) -> None:
        method.loss = lambda clip: {"one": method.weight.sum() * (1.0 if clip.labels is None else 2.0)}

    assert "not self-supervised" in broken_by(reads_labels)["labels unseen"]


def test_a_loss_that_does_not_fall_is_found() -> None:
    assert "check optimizer.lr" in broken_by(lambda method: None, rate=0.0)["falling loss"]


class Unregistered(Trained):
    """Its shift is learned, and is no parameter: a checkpoint would not hold it."""

    def __init__(self) -> None:
        super().__init__()
        self.shift = int(torch.randint(1, 1000, ()))

    def segment(self, query: Any, context: Any) -> Tensor:
        scores = super().segment(query, context)
        return scores.roll(self.shift % 50, 3)


def test_weights_that_a_checkpoint_does_not_hold_are_found() -> None:
    with pytest.raises(Broken, match="make them parameters or buffers"):
        stored_weights(replace(subject("copy_first"), method=Unregistered))
