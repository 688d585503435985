"""The one loop over a video: frames and first masks go in, label maps come out, frame by frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import Generic, Literal

import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.memory import Memory
from vosbench.method import Method
from vosbench.ops.align import resize, upsample_centres
from vosbench.types import Context, Entry, F, Previous, V
from vosbench.videos import Image, LabelMap, Video


@dataclass(frozen=True)
class Inference:
    """At which size a method sees the frames.

    short_side  frames are resized (bicubic) so that their shorter side has so many pixels; null: as they are
    square      frames are resized to so many pixels squared, whatever their aspect, in place of short_side
    halve_from  frames that are then so many pixels wide or wider are resized to half of that; null: none
    subsample   of the padded frame, every n-th pixel is seen; memory then holds every n-th pixel of the full-size
                result, and given pixels overwrite at full size (MAMP's half-size inference on YouTube-VOS is 2)
    upsample    of a subsampled result: exact puts every n-th pixel back where it was taken; released is half-pixel
                bilinear, which moves masks by half a pixel a frame
    """

    short_side: int | None = None
    subsample: int = 1
    upsample: Literal["exact", "released"] = "exact"
    halve_from: int | None = None
    square: int | None = None

    def __post_init__(self) -> None:
        if self.square is not None and (self.short_side is not None or self.halve_from is not None):
            raise ValueError("inference.square is all that is said of the size: leave short_side and halve_from null")

    def resized(self, height: int, width: int) -> tuple[int, int]:
        """Height and width to which frames of this size are brought."""
        if self.square is not None:
            return self.square, self.square
        ratio = 1.0 if self.short_side is None else self.short_side / min(height, width)
        if self.halve_from is not None and round(width * ratio) >= self.halve_from:
            ratio /= 2
        return round(height * ratio), round(width * ratio)


class Propagator(Generic[F, V]):
    """Segments one video. Owns what methods never see: object ids, padding, original size, objects that start late.

    Call `step` on every frame in order. Frames before the first given mask come out empty. `seconds` holds how long
    each step took, from the image in memory to the label map in memory. `previous` is the last frame as the method
    keeps it, None before the first given mask. `watch`, if set, sees what each segmentation starts from.
    """

    def __init__(
        self, method: Method[F, V], memory: Memory[V], inference: Inference, device: torch.device | str = "cpu"
    ) -> None:
        self.method, self.memory, self.inference, self.device = method, memory, inference, torch.device(device)
        self.ids: list[int] = []  # channel i + 1 is object ids[i]
        self.seconds: list[float] = []
        self.previous: Previous[F, V] | None = None
        self.watch: Callable[[F, Context[F, V]], object] | None = None
        self._index = -1

    def step(self, image: Image, given: LabelMap | None = None) -> LabelMap:
        """The label map of the next frame. `given`: ids of objects that start here, 0 elsewhere; its pixels
        overwrite."""
        started = perf_counter()
        labels = self._step(image, given)
        self.seconds.append(perf_counter() - started)
        return labels

    def frame(self, image: Image) -> "Frame":
        """A picture as the method sees it."""
        return Frame.of(image, self.method, self.inference, self.device)

    @torch.inference_mode()
    def _step(self, image: Image, given: LabelMap | None) -> LabelMap:
        if given is not None and given.shape != image.shape[:2]:
            (h, w), (rows, columns) = image.shape[:2], given.shape
            raise ValueError(
                f"the given mask is {rows}×{columns} (rows×columns), its frame {h}×{w}: give one of its size"
            )
        if given is not None and not given.any():
            given = None
        if given is not None:
            self._start(given)
        if not self.ids:
            return np.zeros(image.shape[:2], np.uint8)
        self._index += 1
        frame = self.frame(image)
        features = self.method.encode(frame.pixels)
        scores = self._scores(frame, features)
        if given is not None:
            scores = self._overwrite(scores, frame, given)
        masks = _one_hot(scores.argmax(1), len(self.ids) + 1) if self.method.memory_masks == "hard" else scores
        n = self.inference.subsample
        value = self.method.memorize(features, masks[..., ::n, ::n])
        self.memory.add(Entry(self._index, given is not None, value))
        self.previous = Previous(self._index, features, value)
        labels = self._label_map(frame.restore(scores))
        return labels if given is None else np.where(given > 0, given, labels)  # exact at another size, too

    def _scores(self, frame: "Frame", features: F) -> Float[Tensor, "1 n hp wp"]:
        """Scores at the padded full size; before anything is remembered, all is background."""
        if self.previous is None:
            background = torch.zeros(1, len(self.ids) + 1, *frame.padded, device=self.device)
            background[:, 0] = 1
            return background
        context = Context(self._index, self.previous, self.memory.references(self._index))
        if self.watch is not None:
            self.watch(features, context)
        scores = self.method.segment(features, context).float()
        if self.inference.subsample == 1:
            return scores
        if self.inference.upsample == "exact":
            return upsample_centres(scores, self.inference.subsample)
        return resize(scores, frame.padded)

    def _start(self, given: LabelMap) -> None:
        """Gives new objects their channels, in what is remembered too."""
        new = [i for i in np.unique(given).tolist() if i not in (0, *self.ids)]
        self.ids += new
        if new and self.previous is not None:
            last = self.previous.value  # memory may hold it, too
            extended = self.method.extend(last, len(new))
            self.memory.replace(lambda value: extended if value is last else self.method.extend(value, len(new)))
            self.previous = Previous(self.previous.index, self.previous.features, extended)

    def _overwrite(
        self, scores: Float[Tensor, "1 n hp wp"], frame: "Frame", given: LabelMap
    ) -> Float[Tensor, "1 n hp wp"]:
        channels = np.zeros(256, np.int64)
        channels[self.ids] = np.arange(1, len(self.ids) + 1)
        where = frame.place(torch.from_numpy(channels[given]).to(self.device))
        return torch.where(where > 0, _one_hot(where, len(self.ids) + 1), scores)

    def _label_map(self, scores: Float[Tensor, "1 n h w"]) -> LabelMap:
        ids = np.array([0, *self.ids], np.uint8)
        labels: LabelMap = ids[scores.argmax(1)[0].cpu().numpy()]
        return labels


@dataclass(frozen=True)
class Frame:
    """A frame as the method sees it, and the way back.

    original, resized, padded are (height, width); `top` and `left` are the padding before the picture.
    """

    pixels: Float[Tensor, "1 3 h w"]
    original: tuple[int, int]
    resized: tuple[int, int]
    padded: tuple[int, int]
    top: int
    left: int

    @classmethod
    def of(cls, image: Image, method: Method[F, V], inference: Inference, device: torch.device) -> "Frame":
        pixels = torch.tensor(image, device=device).permute(2, 0, 1).unsqueeze(0) / 255
        h, w = original = (image.shape[0], image.shape[1])
        h, w = inference.resized(h, w)
        if (h, w) != original:
            pixels = nnf.interpolate(pixels, (h, w), mode="bicubic", antialias=True).clamp(0, 1)
        multiple = method.stride * inference.subsample
        bottom, right = -h % multiple, -w % multiple
        top, left = (bottom // 2, right // 2) if method.padding.side == "centre" else (0, 0)
        padded = (h + bottom, w + right)
        canvas = torch.tensor(method.padding.value, device=device).view(1, 3, 1, 1).repeat(1, 1, *padded)
        canvas[..., top : top + h, left : left + w] = pixels
        n = inference.subsample
        return cls(canvas[..., ::n, ::n], original, (h, w), padded, top, left)

    def place(self, labels: Int[Tensor, "h w"]) -> Int[Tensor, "1 h2 w2"]:
        """A label map of the original size on the padded canvas, background around it."""
        if self.resized != self.original:
            labels = nnf.interpolate(labels[None, None].float(), self.resized, mode="nearest-exact")[0, 0].long()
        (h, w), (height, width) = self.resized, self.padded
        return nnf.pad(labels, (self.left, width - w - self.left, self.top, height - h - self.top)).unsqueeze(0)

    def restore(self, scores: Float[Tensor, "1 n h w"]) -> Float[Tensor, "1 n h2 w2"]:
        """Scores of the picture alone, at its original size."""
        h, w = self.resized
        picture = scores[..., self.top : self.top + h, self.left : self.left + w]
        return picture if self.resized == self.original else resize(picture, self.original)

    def cells(self, grid: tuple[int, int]) -> tuple[Int[np.ndarray, " h"], Int[np.ndarray, " w"]]:
        """The row and the column that are nearest to each row and each column of the original picture, in a map of
        `pixels` on a grid of this (height, width), whose cell j has its centre on pixel s·j (s: its stride)."""
        sides = zip(self.original, self.resized, self._strides(grid), (self.top, self.left), grid, strict=True)
        rows, columns = (_nearest(*side) for side in sides)
        return rows, columns

    def cell_size(self, grid: tuple[int, int]) -> tuple[float, float]:
        """Height and width of such a map's cells, in pixels of the original picture."""
        sides = zip(self.original, self.resized, self._strides(grid), strict=True)
        height, width = (stride * original / resized for original, resized, stride in sides)
        return height, width

    def _strides(self, grid: tuple[int, int]) -> tuple[int, int]:
        """In pixels of the padded frame, of which the method may see every n-th."""
        return -(-self.padded[0] // grid[0]), -(-self.padded[1] // grid[1])


def _nearest(original: int, resized: int, stride: int, start: int, cells: int) -> Int[np.ndarray, " n"]:
    positions = (np.arange(original) + 0.5) * resized / original - 0.5 + start
    return np.clip(np.floor(positions / stride + 0.5).astype(np.int64), 0, cells - 1)


def _one_hot(channels: Tensor, count: int) -> Float[Tensor, "1 n h w"]:
    return nnf.one_hot(channels, count).permute(0, 3, 1, 2).float()


def propagate(propagator: "Propagator[F, V]", video: Video) -> Iterator[LabelMap]:
    """Label maps of all frames of a video, in order."""
    for index in range(len(video.frame_names)):
        yield propagator.step(video.frame(index), video.given(index))
