"""The loop over a video: frames and what is given go in, label maps or positions of joints come out, frame by frame."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import perf_counter
from typing import Generic

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Context, Entry, F, Previous, Segmented, V
from vosbench.inference.frame import Frame, one_hot
from vosbench.inference.memory import Memory
from vosbench.inference.prompts import Masks, Points, Prompt
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns
from vosbench.video.video import Image, Joints, LabelMap, Video


class Propagator(Generic[F, V]):
    """Segments one video. Handles what methods never see: object ids, padding, original sizes, late objects.

    Call `step` on every frame in order, or `locate` if joints are to be followed. Label maps before the first prompt
    are empty. `seconds` has the duration of each step, from the image in memory to the result in memory. `previous` is
    the last frame as the method stores it, None before the first prompt. `watch`, if set, is called with the inputs of
    each segmentation. `encode` gives the features of a frame, whose index in the video it gets, too.
    """

    def __init__(
        self, method: Method[F, V], memory: Memory[V], resizing: Resizing, device: torch.device | str = "cpu"
    ) -> None:
        self.method, self.memory, self.resizing, self.device = method, memory, resizing, torch.device(device)
        self.ids: list[int] = []  # channel i + 1 is object ids[i]
        self.seconds: list[float] = []
        self.previous: Previous[F, V] | None = None
        self.watch: Callable[[F, Context[F, V]], object] | None = None
        self.encode: Callable[[Frame, int], F] = lambda frame, index: method.encode(frame.pixels)
        self._index = -1

    def step(self, image: Image, given: LabelMap | None = None) -> LabelMap:
        """The label map of the next frame.

        given   the prompt: ids of objects that start in this frame, 0 elsewhere. Its pixels overwrite the result
        """
        with self._timed():
            return self._labels(image, given)

    def locate(self, image: Image, given: Joints | None = None) -> Joints:
        """The positions of the joints in the next frame, in its pixels; NaN for a joint that is lost.

        given   their positions in this frame; needed once, in the first
        """
        with self._timed():
            return self._places(image, given)

    def frame(self, image: Image) -> Frame:
        """An image as the method sees it."""
        return Frame.of(image, self.method, self.resizing, self.device)

    @contextmanager
    def _timed(self) -> Iterator[None]:
        started = perf_counter()
        yield
        self.seconds.append(perf_counter() - started)

    @torch.inference_mode()
    def _labels(self, image: Image, given: LabelMap | None) -> LabelMap:
        if given is not None and given.shape != image.shape[:2]:
            sizes = f"{rows_columns(given.shape)} (rows×columns), its frame {rows_columns(image.shape[:2])}"
            raise UserError(f"the given mask is {sizes}: give one of its size")
        if given is not None and not given.any():
            given = None
        first = self.previous is None
        found = self._scored(image, None if given is None else Masks(given))
        if found is None:
            return np.zeros(image.shape[:2], np.uint8)
        ids = np.array([0, *self.ids], np.uint8)
        labels: LabelMap = ids[self.resizing.output.channels(*found)]
        if given is None or self.resizing.output.given == "scores":
            return labels
        return given if first else np.where(given > 0, given, labels)  # exact at any inference size

    @torch.inference_mode()
    def _places(self, image: Image, given: Joints | None) -> Joints:
        found = self._scored(image, None if given is None else Points(given))
        if found is None:
            raise UserError("no joints are given in the first frame: there is nothing to follow")
        scores, frame = found
        if given is None:
            return self.resizing.joints.positions(scores, frame)
        return self.resizing.joints.given(given, frame, scores)

    def _scored(self, image: Image, prompt: Prompt | None) -> tuple[Float[Tensor, "1 n h w"], Frame] | None:
        """The scores of the next frame, which are remembered; None as long as nothing has been given."""
        if prompt is not None:
            self._start(prompt.ids)
        if not self.ids:
            return None
        self._index += 1
        frame = self.frame(image)
        scores, features = self._segment(frame, self.encode(frame, len(self.seconds)))
        if prompt is not None:
            scores = prompt.onto(scores, frame, self.ids, self.resizing, first=self.previous is None)
        value = self.method.memorize(features, self._remembered(scores))
        self.memory.add(Entry(self._index, prompt is not None, value))
        self.previous = Previous(self._index, features, value)
        return scores, frame

    def _remembered(self, scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h2 w2"]:
        """The masks that memory gets, of the pixels or cells that the method sees."""
        remember = self.method.memory_masks if self.resizing.remember == "own" else self.resizing.remember
        masks = one_hot(scores.argmax(1), len(self.ids) + 1) if remember == "hard" else scores
        n = self.resizing.subsample if self.method.cell is None else 1
        return masks[..., ::n, ::n]

    def _segment(self, frame: Frame, features: F) -> tuple[Float[Tensor, "1 n h w"], F]:
        """Scores of the padded frame's pixels, or of the method's cells, and the features to memorize. Everything is
        background before the first prompt."""
        if self.previous is None:
            background = torch.zeros(1, len(self.ids) + 1, *frame.grid(self.method.cell), device=self.device)
            background[:, 0] = 1
            return background, features
        context = Context(self._index, self.previous, self.memory.references(self._index))
        if self.watch is not None:
            self.watch(features, context)
        found = self.method.segment(features, context)
        if not isinstance(found, Segmented):
            found = Segmented(found)
        if any(usage is not None for usage in found.usage):
            self.memory.note_usage(found.usage)
        scores = found.scores.float()
        if self.method.cell is None:
            scores = self.resizing.upsample(scores, frame.padded)
        return scores, features if found.features is None else found.features

    def _start(self, given: Sequence[int]) -> None:
        """Gives new objects their channels, also in memory."""
        new = [i for i in given if i not in self.ids]
        self.ids += new
        if new and self.previous is not None:
            last = self.previous.value  # memory may hold it as well
            extended = self.method.extend(last, len(new))
            self.memory.replace(lambda value: extended if value is last else self.method.extend(value, len(new)))
            self.previous = Previous(self.previous.index, self.previous.features, extended)


def propagate(propagator: Propagator[F, V], video: Video) -> Iterator[LabelMap]:
    """Label maps of all frames of a video, in order."""
    for index in range(len(video.frame_names)):
        yield propagator.step(video.frame(index), video.given(index))


def follow(propagator: Propagator[F, V], video: Video) -> Iterator[Joints]:
    """Positions of the joints in all frames of a video, in order. Those of frame 0 are given."""
    for index in range(len(video.frame_names)):
        yield propagator.locate(video.frame(index), None if index else video.joints(0))
