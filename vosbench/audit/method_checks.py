"""What a method promises (see `vosbench.method`), each promise tried on a made-up scene.

A check returns what it found, in a few words. It raises Broken if the method does not keep its promise, with a line
that says what would be right. Any other exception is the method's own.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from vosbench.audit.scene import FRAMES, START, frame, given
from vosbench.contract import Padding, Segmented
from vosbench.inference.memory import Memory
from vosbench.inference.propagator import Propagator
from vosbench.inference.resizing import Resizing
from vosbench.method import Colours, Method
from vosbench.settings.making import factory, made
from vosbench.util.errors import UserError
from vosbench.util.supervision import Supervision
from vosbench.video.video import LabelMap
from vosbench.weights.origin import name_of

DECLARED: dict[str, tuple[object, ...]] = {
    "supervision": get_args(Supervision),
    "memory_masks": ("hard", "soft"),
    "colours": get_args(Colours),
}


class Broken(UserError):
    """A promise that a method does not keep."""


@dataclass(frozen=True)
class Subject:
    """What is checked: how to make the method with random weights, its memory, and its optimizer if it is trained."""

    method: Callable[[], Method[Any, Any]]
    memory: Callable[[], Memory[Any]]
    inference: Resizing
    optimizer: Callable[..., torch.optim.Optimizer] | None

    @classmethod
    def of(
        cls,
        method: Mapping[str, Any],
        memory: Mapping[str, Any],
        inference: Mapping[str, Any],
        optimizer: Mapping[str, Any] | None,
    ) -> "Subject":
        """From the settings of each. Raises UsageError for settings of which nothing can be made."""
        return cls(
            factory(method, "method", _convert_="all"),
            factory(memory, "memory", _convert_="all"),
            made(inference, "inference"),
            made(optimizer, "optimizer") if optimizer else None,
        )

    def made(self, seed: int = 0) -> Method[Any, Any]:
        torch.manual_seed(seed)
        return self.method().eval()

    def label_maps(self, method: Method[Any, Any]) -> list[LabelMap]:
        """Those of the scene."""
        run = Propagator(method, self.memory(), self.inference)
        return [run.step(frame(index)[0], given(index)) for index in range(FRAMES)]


def declarations(subject: Subject) -> str:
    """The class says what the framework has to know of it."""
    method = subject.made()
    for name, known in DECLARED.items():
        if (value := getattr(method, name, None)) not in known:
            raise Broken(f"{name} is {value!r}: give one of {', '.join(map(repr, known))}")
    stride, padding = getattr(method, "stride", None), getattr(method, "padding", None)
    if not isinstance(stride, int) or stride < 1:
        raise Broken(f"stride is {stride!r}: give the multiple to which frames are padded, 1 or more")
    if not isinstance(padding, Padding):
        raise Broken(f"padding is {padding!r}: give a vosbench.contract.Padding")
    weights = sum(parameter.numel() for parameter in method.parameters())
    return f"{name_of(method)}, {method.supervision}, stride {stride}, {weights:,} weights"


def predictions(subject: Subject) -> str:
    """Scores are as `Method.segment` says, each frame is encoded once, and only given objects are found."""
    method = subject.made()
    calls = _watched(method)
    before = {key: value.clone() for key, value in method.state_dict().items()}
    maps = subject.label_maps(method)
    for index, labels in enumerate(maps):
        if unknown := set(np.unique(labels)) - {0, *(label for label, start in START.items() if start <= index)}:
            raise Broken(f"frame {index} shows the objects {sorted(unknown)}, which were not given")
    if not all(labels.any() for labels in maps):
        raise Broken("segment loses all objects within five frames, though two of them fill most of each")
    if calls["encode"] != FRAMES:
        raise Broken(f"encode was called {calls['encode']} times for {FRAMES} frames: encode in encode alone")
    for key, value in method.state_dict().items():
        if not torch.equal(value, before[key]):
            raise Broken(f"prediction changes {key}: keep what belongs to a video in its features and memory entries")
    return f"{FRAMES} frames, {len(START)} objects, one of them from frame {max(START.values())} on"


def repetition(subject: Subject) -> str:
    """The same video gives the same label maps, also to a method that has seen it before."""
    method = subject.made()
    first, second = (subject.label_maps(method) for _ in range(2))
    if not all(map(np.array_equal, first, second)):
        raise Broken("a second reading of the same video gives other label maps: keep nothing of a video in the method")
    return "a second reading gives the same label maps"


def stored_weights(subject: Subject) -> str:
    """All that a method has learned is in its `state_dict`."""
    one, other = subject.made(), subject.made(seed=1)
    other.load_state_dict(one.state_dict())
    if not all(map(np.array_equal, subject.label_maps(one), subject.label_maps(other))):
        raise Broken("weights in a checkpoint do not give the same label maps: make them parameters or buffers")
    return "label maps depend on the state_dict alone"


def _watched(method: Method[Any, Any]) -> dict[str, int]:
    """Has every score checked on its way out. The counts of calls are filled in later."""
    calls = {"encode": 0}
    encode, segment = method.encode, method.segment

    def counting(images: Tensor) -> Any:
        calls["encode"] += 1
        return encode(images)

    def checking(query: Any, context: Any) -> Any:
        found = segment(query, context)
        _check_scores(found.scores if isinstance(found, Segmented) else found)
        return found

    method.encode, method.segment = counting, checking  # type: ignore[method-assign]
    return calls


def _check_scores(scores: Tensor) -> None:
    if scores.ndim != 4 or len(scores) != 1:
        raise Broken(f"segment returns scores of {tuple(scores.shape)}: give (1, objects + 1, height, width)")
    if not scores.isfinite().all():
        raise Broken("segment returns scores that are not finite")
    if scores.min() < 0 or scores.sum(1).max() > 1 + 1e-5:
        raise Broken(
            f"segment returns scores from {scores.min():.3g}, which sum to {scores.sum(1).max():.3g} in a pixel: they "
            "are to be 0 or more and to sum to 1 at most, as after a softmax"
        )
