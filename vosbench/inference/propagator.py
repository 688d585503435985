"""The loop over a video: frames and what is given go in, label maps or positions of joints come out, frame by frame."""

import copy
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from time import perf_counter
from typing import Any, Generic

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor

from vosbench.contract import Context, Entry, F, Previous, Segmented, V
from vosbench.inference.device import autocast
from vosbench.inference.frame import Frame, one_hot
from vosbench.inference.given import Mask, checked_frame, checked_mask
from vosbench.inference.late_objects import read_since_their_starts
from vosbench.inference.memory import Memory
from vosbench.inference.prompts import Masks, Points, Prompt
from vosbench.inference.resampling import resized_maps
from vosbench.inference.resizing import Resizing
from vosbench.method import Method
from vosbench.util.errors import UserError
from vosbench.util.wording import some
from vosbench.video.video import Image, Joints, LabelMap, Video

STATE = ("memory", "ids", "starts", "again", "seconds", "steps", "previous", "_removed", "_image", "_last", "_index")
LATEST = 10_000  # steps whose durations are kept


class Propagator(Generic[F, V]):
    """Segments one video. Handles what methods never see: object ids, padding, original sizes, late objects.

    Call `step` on every frame in order, or `locate` if joints are to be followed. Label maps before the first mask
    are empty. Memory does not grow with the video.

    ids      of all objects, in the order of their channels: channel i + 1 is object ids[i]
    starts   for each of them, the frame where it was first given, counted from the first frame with a mask
    again    the frames where objects that had been removed were given again, by their ids
    steps    how many frames there were
    seconds  the durations of the latest steps, from the image in memory to the result in memory
    previous the last frame as the method stores it, None before the first mask
    watch    if set, is called with the inputs of each segmentation
    encode   gives the features of a frame, whose index in the video it gets, too
    """

    def __init__(
        self,
        method: Method[F, V],
        memory: Memory[V],
        resizing: Resizing,
        device: torch.device | str = "cpu",
        precision: str = "32-true",
    ) -> None:
        self.method, self.resizing, self.device, self.precision = method, resizing, torch.device(device), precision
        self.watch: Callable[[F, Context[F, V]], object] | None = None
        self.encode: Callable[[Frame, int], F] = lambda frame, index: method.encode(frame.pixels)
        self._empty = memory
        self.reset()

    def reset(self) -> None:
        """Forgets the video: the next frame is the first of another one."""
        self.memory: Memory[V] = copy.deepcopy(self._empty)
        self.ids: list[int] = []
        self.starts: list[int] = []
        self.again: dict[int, int] = {}
        self.seconds: deque[float] = deque(maxlen=LATEST)
        self.steps = 0
        self.previous: Previous[F, V] | None = None
        self._removed: set[int] = set()
        self._image: Image | None = None
        self._last: tuple[Float[Tensor, "1 n h w"], Frame] | None = None
        self._index = -1

    def state(self) -> dict[str, Any]:
        """All that it knows of the video so far."""
        return {name: getattr(self, name) for name in STATE}

    def go_on(self, state: Mapping[str, Any]) -> None:
        """Continues from a `state`: the next frame is the one that followed."""
        for name in STATE:
            setattr(self, name, state[name])

    def step(self, image: Image, mask: Mask | None = None) -> LabelMap:
        """The label map of the next frame: uint8 ids of its objects, 0 for the background.

        image  RGB, uint8
        mask   ids (1 to 254) of objects that start in this frame or are corrected in it, 0 elsewhere; or True for
               object 1. Its pixels overwrite the result, and a known object has no others in this frame

        Raises UserError for arrays of another kind or size.
        """
        image = checked_frame(image, self._image)
        given = None if mask is None else checked_mask(mask, image)
        self._image = image
        with self._computing():
            return self._labels(image, given)

    def add(self, mask: Mask) -> LabelMap:
        """The label map of the last frame once more, with objects that start in it or are corrected, as in `step`."""
        if self._image is None:
            raise UserError("there is no frame yet: give the mask to step")
        given = checked_mask(mask, self._image)
        with autocast(self.device, self.precision), torch.inference_mode():
            return self._added(self._image, given)

    def remove(self, *ids: int) -> None:
        """Ends these objects: label maps show background in their place from the next frame on. They keep their place
        in memory, and are told apart from others, until `reset`. An object that is given again starts anew."""
        if unknown := [i for i in ids if i not in self.ids]:
            raise UserError(f"there is no object {some(unknown)}: choose from {some(self.ids)}")
        self._removed.update(ids)

    @property
    def scores(self) -> Float[np.ndarray, "n h w"]:
        """The scores of the last frame's pixels, between 0 and 1: the background first, then the objects `ids`."""
        if self._last is None:
            raise UserError("there are no scores before the first mask")
        scores, frame = self._last
        found: Float[np.ndarray, "n h w"] = (
            resized_maps(frame.picture(scores), frame.original, self.resizing.output.kernel)[0].cpu().numpy()
        )
        return found

    def locate(self, image: Image, given: Joints | None = None) -> Joints:
        """The positions of the joints in the next frame, in its pixels; NaN for a joint that is lost.

        given   their positions in this frame; needed once, in the first
        """
        with self._computing():
            return self._places(image, given)

    def frame(self, image: Image) -> Frame:
        """An image as the method sees it."""
        return Frame.of(image, self.method, self.resizing, self.device)

    @contextmanager
    def _computing(self) -> Iterator[None]:
        started = perf_counter()
        with autocast(self.device, self.precision), torch.inference_mode():
            yield
        self.seconds.append(perf_counter() - started)
        self.steps += 1

    def _labels(self, image: Image, given: LabelMap | None) -> LabelMap:
        first = self.previous is None
        found = self._scored(image, None if given is None else Masks(given))
        return np.zeros(image.shape[:2], np.uint8) if found is None else self._shown(*found, given, first)

    def _shown(self, scores: Float[Tensor, "1 n h2 w2"], frame: Frame, given: LabelMap | None, first: bool) -> LabelMap:
        """The label map of these scores, and of what is given."""
        ids = np.array([0, *(0 if i in self._removed else i for i in self.ids)], np.uint8)
        labels: LabelMap = ids[self.resizing.output.channels(scores, frame)]
        if given is None or self.resizing.output.given == "scores":
            return labels
        return given if first else np.where(given > 0, given, labels)  # exact at any inference size

    def _places(self, image: Image, given: Joints | None) -> Joints:
        found = self._scored(image, None if given is None else Points(given))
        if found is None:
            raise UserError("no joints are given in the first frame: there is nothing to follow")
        scores, frame = found
        if given is None:
            return self.resizing.joints.positions(scores, frame)
        return self.resizing.joints.given(given, frame, scores)

    def _added(self, image: Image, given: LabelMap | None) -> LabelMap:
        if self._last is None or self.previous is None:
            return self._labels(image, given)
        scores, frame = self._last
        if given is None:
            return self._shown(scores, frame, None, False)
        prompt = Masks(given)
        scores, features = self._started(prompt, scores, self.previous.features, self._index)
        scores, frame = self._keep(scores, frame, features, prompt, first=False)
        return self._shown(scores, frame, given, False)

    def _scored(self, image: Image, prompt: Prompt | None) -> tuple[Float[Tensor, "1 n h w"], Frame] | None:
        """The scores of the next frame, which are remembered; None as long as nothing has been given."""
        if prompt is None and not self.ids:
            return None
        self._index += 1
        frame, first = self.frame(image), self.previous is None
        scores, features = self._segment(frame, self.encode(frame, self.steps))
        if prompt is not None:
            scores, features = self._started(prompt, scores, features, self._index)
        return self._keep(scores, frame, features, prompt, first=first)

    def _keep(
        self, scores: Float[Tensor, "1 n h w"], frame: Frame, features: F, prompt: Prompt | None, *, first: bool
    ) -> tuple[Float[Tensor, "1 n h w"], Frame]:
        """Puts a prompt into the scores of the last frame, and the frame into memory."""
        if prompt is not None:
            scores = prompt.onto(scores, frame, self.ids, self.resizing, first=first)
        value = self.method.memorize(features, self._remembered(scores))
        self.memory.add(Entry(self._index, prompt is not None, value))
        self.previous = Previous(self._index, features, value)
        self._last = scores, frame
        return self._last

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
        known = self.starts
        if self.resizing.before_start == "background":
            known = [self.again.get(id_, 0) for id_ in self.ids]
        found = read_since_their_starts(self._found, features, context, known)
        if any(usage is not None for usage in found.usage):
            self.memory.note_usage(found.usage)
        scores = found.scores.float()
        if self.method.cell is None:
            scores = self.resizing.upsample(scores, frame.padded)
        return scores, features if found.features is None else found.features

    def _found(self, query: F, context: Context[F, V]) -> Segmented[F]:
        found = self.method.segment(query, context)
        return found if isinstance(found, Segmented) else Segmented(found)

    def _started(
        self, prompt: Prompt, scores: Float[Tensor, "1 n h w"], features: F, index: int
    ) -> tuple[Float[Tensor, "1 m h w"], F]:
        """Gives the objects that start in frame `index` their channels, also in memory. Scores that known objects had
        in this frame go to the background: what is given is all there is of them."""
        known = [1 + self.ids.index(i) for i in prompt.ids if i in self.ids]
        new = [i for i in prompt.ids if i not in self.ids]
        if new:
            self.memory.replace(lambda value: self.method.extend(value, len(new)))
        self._restart(self._removed.intersection(prompt.ids), index)
        self.ids += new
        self.starts += [index] * len(new)
        objects = torch.tensor(known, dtype=torch.long, device=scores.device)
        scores = nnf.pad(scores, (0, 0, 0, 0, 0, len(new)))
        scores[:, 0] += scores.index_select(1, objects).sum(1)
        return scores.index_fill(1, objects, 0), self.method.forget(features, known)

    def _restart(self, ids: set[int], index: int) -> None:
        """Objects that were removed start anew in frame `index`."""
        places = [self.ids.index(id_) for id_ in ids]
        for place in places:
            self.starts[place] = index
        self.again |= dict.fromkeys(ids, index)
        self.memory.forget(places)
        self._removed -= ids


def propagate(propagator: Propagator[F, V], video: Video, start: int = 0) -> Iterator[LabelMap]:
    """Label maps of all frames of a video, in order, or of those from `start` on, if the propagator saw the others."""
    for index in range(start, len(video.frame_names)):
        yield propagator.step(video.frame(index), video.given(index))


def follow(propagator: Propagator[F, V], video: Video) -> Iterator[Joints]:
    """Positions of the joints in all frames of a video, in order. Those of frame 0 are given."""
    for index in range(len(video.frame_names)):
        yield propagator.locate(video.frame(index), None if index else video.joints(0))
