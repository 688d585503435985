"""Training clips: chooses and reads frames, and crops or resizes them to one size."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Literal, NamedTuple, TypedDict, TypeVar

import numpy as np
import torch
from jaxtyping import Bool, Float, Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from vosbench.contract import Clip
from vosbench.datasets.augment import Augment, Warp, shows
from vosbench.datasets.pseudo_labels import PseudoLabels
from vosbench.datasets.sampling import ClipTable, FrameSampler
from vosbench.settings.making import placed
from vosbench.util.errors import UserError
from vosbench.video.images import resize_labels
from vosbench.video.palette import VOID
from vosbench.video.video import Dataset, Image, LabelMap, Video

T = TypeVar("T")


class Source(TypedDict):
    """One of `data.sources`: a data set, and how often it is repeated in an epoch."""

    dataset: Dataset
    repeat: int


class _Box(NamedTuple):
    """A rectangle of the frames, the height and width it is resized to, and the clip's `size`, in pixels."""

    top: int
    left: int
    rows: int
    columns: int
    height: int
    width: int
    mirror: bool
    size: int

    def images(self, frames: UInt8[Tensor, "t 3 h w"]) -> Float[Tensor, "t 3 s s"]:
        return self._fit(frames, InterpolationMode.BILINEAR).float() / 255

    def labels(self, maps: UInt8[Tensor, "t h w"]) -> Int[Tensor, "t s s"]:
        return self._fit(maps[:, None], InterpolationMode.NEAREST_EXACT)[:, 0].long()

    def valid(self) -> Bool[Tensor, "1 s s"]:
        valid = torch.zeros(1, self.size, self.size, dtype=torch.bool)
        valid[:, : self.height, : self.width] = True
        return valid

    def _fit(self, images: UInt8[Tensor, "t c h w"], interpolation: InterpolationMode) -> UInt8[Tensor, "t c s s"]:
        """Crops the box, resizes it, mirrors it, and pads it with zeros on the right and at the bottom."""
        images = images[..., self.top : self.top + self.rows, self.left : self.left + self.columns]
        images = transform.resize(images, [self.height, self.width], interpolation, antialias=True)
        images = images.flip(-1) if self.mirror else images
        return torch.nn.functional.pad(images, (0, self.size - self.width, 0, self.size - self.height))


class Clips(TorchDataset[Clip]):
    """Clips of all sources; clip i is a pure function of (seed, i), for any i ≥ 0.

    sources   name → data set and repeat
    sampler   chooses the frames
    size      height and width of a clip, in pixels
    mode      "resize": whole frames to size×size, ignoring aspect ratio (MAMP's recipe); "crop": the same crop of all
              frames
    scale     crop only: the frames' shorter side is first resized to a random length in this range, in pixels
    flip      mirrors half of the clips, all frames of a clip alike
    labels    true: also read annotations; pseudo: these are pseudo-labels. A frame without any is all background
    augment   draws crops and colours of frames instead of `mode`, `scale` and `flip`; null: none
    objects   most objects per clip, drawn from those in its first frame and numbered 1, 2, … in random order; other
              objects and void become background. null: all ids stay as annotated
    paste     number of other clips, now and then of the same video, whose objects are pasted on top as further objects,
              so that the target cannot be found by saliency alone (as in XMem's training on still images)

    A training that makes pseudo-labels itself sets the attribute `pseudo_labels` to where they are.
    """

    pseudo_labels: PseudoLabels | None = None

    def __init__(
        self,
        sources: Mapping[str, Source],
        sampler: FrameSampler,
        size: int,
        mode: Literal["resize", "crop"] = "resize",
        scale: Sequence[float] | None = None,
        flip: bool = False,
        labels: bool | Literal["pseudo"] = False,
        augment: Augment | None = None,
        objects: int | None = None,
        paste: int = 0,
        seed: int = 0,
    ) -> None:
        if mode not in ("resize", "crop") or size < 1:
            raise UserError(f"data.clips: mode={mode}, size={size}: mode is resize or crop, size 1 or more")
        if scale is not None and (len(scale) != 2 or not 0 < scale[0] <= scale[1]):
            raise UserError(f"data.clips.scale={list(scale)}: give the smallest and the largest shorter side in pixels")
        if objects is not None and (objects < 1 or labels is not True):
            raise UserError(f"data.clips.objects={objects} with labels={labels}: give 1 or more, and labels=true")
        if paste < 0 or (paste and labels is not True):
            raise UserError(f"data.clips.paste={paste} with labels={labels}: give 0 or more, and labels=true")
        if augment is not None:
            if mode != "resize" or scale is not None or flip:
                raise UserError("data.clips.augment flips and crops itself: leave out mode, scale and flip")
            for name in sources:
                augment.area(name)  # raises for an unknown source
        self.size, self.mode, self.flip, self.labels, self.seed = size, mode, flip, labels, seed
        self.augment, self.objects, self.paste = augment, objects, paste
        self.scale = None if scale is None else (scale[0], scale[1])
        self.videos: list[tuple[str, Video]] = [
            (f"{name}/{video.name}", video)
            for name, source in sources.items()
            for video in list(source["dataset"].videos) * source["repeat"]
        ]
        self.table = ClipTable([len(video.frame_names) for _, video in self.videos], sampler, seed)

    def __getitem__(self, index: int) -> Clip:
        rng = np.random.default_rng(np.random.SeedSequence((self.seed, index)))
        clip = self._clip(index, rng)
        for _ in range(self.paste):
            clip = _pasted(clip, self._clip(self.table.other(index, rng), rng))
        if self.objects and clip.labels is not None:
            clip = replace(clip, labels=_chosen(clip.labels, self.objects, rng))
        return clip

    def _clip(self, index: int, rng: np.random.Generator) -> Clip:
        """A clip before pasting, with all its objects."""
        which, indices = self.table[index]
        name, video = self.videos[which]
        source = name.removesuffix(f"/{video.name}")
        labels = pseudo = None
        with placed(f"data.sources.{source}.dataset"):
            frames = _stack(_each(video.frame, indices), name)
            height, width = frames.shape[-2:]
            if self.labels:
                labels = _scaled(_each(video.annotation, indices), height, width)
        if self.augment is None:
            place: _Box | Warp = self._box(height, width, rng)
        else:
            place = self.augment.draw(source, len(indices), height, width, labels, self.size, rng)
        labels = None if labels is None else place.labels(labels)[None]
        if self.pseudo_labels:
            epoch, names = self.table.epoch(index), video.frame_names
            found = [self.pseudo_labels.read(epoch, name, names[i]) for i in indices]
            pseudo = place.labels(_scaled(found, height, width))[None]
        elif self.labels == "pseudo":
            labels, pseudo = None, labels
        return Clip(
            frames=place.images(frames)[None],
            labels=labels,
            indices=torch.tensor([indices]),
            videos=(name,),
            valid=place.valid().expand(len(indices), -1, -1)[None],
            pseudo_labels=pseudo,
            seeds=(_seed(self.seed, index),),
        )

    def _box(self, height: int, width: int, rng: np.random.Generator) -> _Box:
        """The crop for frames of this size."""
        mirror, size = bool(rng.random() < 0.5) and self.flip, self.size
        if self.mode == "resize":
            return _Box(0, 0, height, width, size, size, mirror, size)
        scale = rng.uniform(*self.scale) / min(height, width) if self.scale else 1.0
        # Cropping before resizing saves most of the work; the crop's side is rounded to whole pixels.
        rows, columns = (min(side, max(1, round(size / scale))) for side in (height, width))
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        out_rows, out_columns = (min(size, max(1, round(side * scale))) for side in (height, width))
        return _Box(top, left, rows, columns, out_rows, out_columns, mirror, size)


def collate(clips: Sequence[Clip]) -> Clip:
    """Single clips as one batch."""
    labels = [clip.labels for clip in clips if clip.labels is not None]
    pseudo = [clip.pseudo_labels for clip in clips if clip.pseudo_labels is not None]
    return Clip(
        frames=torch.cat([clip.frames for clip in clips]),
        labels=torch.cat(labels) if labels else None,
        indices=torch.cat([clip.indices for clip in clips]),
        videos=tuple(video for clip in clips for video in clip.videos),
        valid=torch.cat([clip.valid for clip in clips]),
        pseudo_labels=torch.cat(pseudo) if pseudo else None,
        seeds=tuple(seed for clip in clips for seed in clip.seeds or ()) or None,
    )


def _seed(seed: int, index: int) -> int:
    """The seed of what training draws for a clip."""
    return int(np.random.SeedSequence((seed, index), spawn_key=(3,)).generate_state(1)[0])


def _stack(frames: Sequence[Image], name: str) -> UInt8[Tensor, "t 3 h w"]:
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        raise UserError(f"video {name} has frames of different sizes ({sorted(sizes)}): make them equal or exclude it")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)


def _each(read: Callable[[int], T], indices: Sequence[int]) -> list[T]:
    """Reads every frame once: a clip of a still image repeats one frame."""
    found = {index: read(index) for index in dict.fromkeys(indices)}
    return [found[index] for index in indices]


def _scaled(maps: Sequence[LabelMap | None], height: int, width: int) -> UInt8[Tensor, "t height width"]:
    """Label maps of any size, resized to that of their frames."""
    scaled = [resize_labels(np.zeros((1, 1), np.uint8) if each is None else each, height, width) for each in maps]
    return torch.from_numpy(np.stack(scaled))


def _pasted(clip: Clip, other: Clip) -> Clip:
    """The clip with the objects of another labelled clip pasted on top, numbered after its own."""
    assert clip.labels is not None
    assert other.labels is not None
    on_top = (other.labels > 0) & (other.labels != VOID)
    if clip.pseudo_labels is not None:
        raise UserError("data.clips.paste: pseudo-labels do not know of objects that are pasted; set it to 0")
    ids = other.labels + clip.labels.where(clip.labels != VOID, 0).amax()
    return replace(
        clip,
        frames=other.frames.where(on_top.unsqueeze(2), clip.frames),
        labels=(ids + (ids >= VOID)).where(on_top, clip.labels),
        valid=clip.valid | on_top,
    )


def _chosen(labels: Int[Tensor, "1 t s s"], most: int, rng: np.random.Generator) -> Int[Tensor, "1 t s s"]:
    """Label maps of at most `most` of the first frame's objects, drawn at random and numbered from 1."""
    ids = rng.permutation(sorted(shows(labels[0, 0])))[:most]
    new = torch.zeros(int(labels.max()) + 1, dtype=torch.long)
    new[ids.tolist()] = torch.arange(1, len(ids) + 1)
    return new[labels]
