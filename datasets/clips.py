"""Training clips: chooses frames, reads them, and crops or resizes them to one size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, TypedDict

import numpy as np
import torch
from jaxtyping import Int, UInt8
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2 import functional as transform

from vosbench.datasets.pseudo_labels import PseudoLabels
from vosbench.datasets.sampling import ClipTable, FrameSampler
from vosbench.images import resize_labels
from vosbench.types import Clip
from vosbench.videos import Dataset, Image, LabelMap, Video


class Source(TypedDict):
    """One of `data.sources`: a data set, and how often an epoch goes through it."""

    dataset: Dataset
    repeat: int


class _Box(NamedTuple):
    """A rectangle of the frames, and the height and width it is brought to, in pixels."""

    top: int
    left: int
    rows: int
    columns: int
    height: int
    width: int
    mirror: bool


class Clips(TorchDataset[Clip]):
    """Clips of all sources; clip i is a pure function of (seed, i), for any i ≥ 0.

    sources   name → data set and repeat
    sampler   chooses the frames
    size      height and width of a clip, in pixels
    mode      "resize": whole frames to size×size, ignoring aspect (MAMP's recipe); "crop": one place in all frames
    scale     crop only: the shorter side of the frame is brought to a random length in this range first, in pixels
    flip      half of the clips are mirrored, all frames of a clip alike
    labels    true: read annotations too; pseudo: they are pseudo-labels. Frames that have none are all background

    Training that makes pseudo-labels itself says where with the attribute `pseudo_labels`.
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
        seed: int = 0,
    ) -> None:
        if mode not in ("resize", "crop") or size < 1:
            raise ValueError(f"data.clips: mode={mode}, size={size}: mode is resize or crop, size 1 or more")
        if scale is not None and (len(scale) != 2 or not 0 < scale[0] <= scale[1]):
            raise ValueError(
                f"data.clips.scale={list(scale)}: give the smallest and the largest shorter side in pixels"
            )
        self.size, self.mode, self.flip, self.labels, self.seed = size, mode, flip, labels, seed
        self.scale = None if scale is None else (scale[0], scale[1])
        self.videos: list[tuple[str, Video]] = [
            (f"{name}/{video.name}", video)
            for name, source in sources.items()
            for video in list(source["dataset"].videos) * source["repeat"]
        ]
        self.table = ClipTable([len(video.frame_names) for _, video in self.videos], sampler, seed)

    def __getitem__(self, index: int) -> Clip:
        which, indices = self.table[index]
        name, video = self.videos[which]
        frames = _stack([video.frame(i) for i in indices], name)
        height, width = frames.shape[-2:]
        box = self._box(height, width, np.random.default_rng(np.random.SeedSequence((self.seed, index))))
        labels = pseudo = None
        if self.labels:
            labels = self._fit_labels([video.annotation(i) for i in indices], box, height, width)
        if self.pseudo_labels:
            epoch, names = self.table.epoch(index), video.frame_names
            found = [self.pseudo_labels.read(epoch, name, names[i]) for i in indices]
            pseudo = self._fit_labels(found, box, height, width)
        elif self.labels == "pseudo":
            labels, pseudo = None, labels
        valid = self._fit(
            torch.ones(len(indices), 1, height, width, dtype=torch.uint8), box, InterpolationMode.NEAREST_EXACT
        )
        return Clip(
            frames=self._fit(frames, box, InterpolationMode.BILINEAR)[None].float() / 255,
            labels=labels,
            indices=torch.tensor([indices]),
            videos=(name,),
            valid=valid[None, :, 0].bool(),
            pseudo_labels=pseudo,
        )

    def _fit_labels(
        self, maps: Sequence[LabelMap | None], box: _Box, height: int, width: int
    ) -> Int[Tensor, "1 t s s"]:
        """Label maps of any size, of frames of `height` by `width` pixels."""
        scaled = [resize_labels(np.zeros((1, 1), np.uint8) if each is None else each, height, width) for each in maps]
        fitted = self._fit(torch.from_numpy(np.stack(scaled))[:, None], box, InterpolationMode.NEAREST_EXACT)
        return fitted[None, :, 0].long()

    def _box(self, height: int, width: int, rng: np.random.Generator) -> _Box:
        """Where the clip is cut from frames of this size."""
        mirror = bool(rng.random() < 0.5) and self.flip
        if self.mode == "resize":
            return _Box(0, 0, height, width, self.size, self.size, mirror)
        scale = rng.uniform(*self.scale) / min(height, width) if self.scale else 1.0
        # Cutting first and scaling after it saves most of the work; the side that is cut is rounded to whole pixels.
        rows, columns = (min(side, max(1, round(self.size / scale))) for side in (height, width))
        top, left = int(rng.integers(height - rows + 1)), int(rng.integers(width - columns + 1))
        out_rows, out_columns = (min(self.size, max(1, round(side * scale))) for side in (height, width))
        return _Box(top, left, rows, columns, out_rows, out_columns, mirror)

    def _fit(
        self, images: UInt8[Tensor, "t c h w"], box: _Box, interpolation: InterpolationMode
    ) -> UInt8[Tensor, "t c s s"]:
        """Cuts the box out, scales it, mirrors it, and pads it with zeros at the right and the bottom."""
        images = images[..., box.top : box.top + box.rows, box.left : box.left + box.columns]
        images = transform.resize(images, [box.height, box.width], interpolation, antialias=True)
        images = images.flip(-1) if box.mirror else images
        return torch.nn.functional.pad(images, (0, self.size - box.width, 0, self.size - box.height))


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
    )


def _stack(frames: Sequence[Image], name: str) -> UInt8[Tensor, "t 3 h w"]:
    sizes = {frame.shape[:2] for frame in frames}
    if len(sizes) > 1:
        raise ValueError(f"video {name} has frames of different sizes ({sorted(sizes)}): make them equal or exclude it")
    return torch.from_numpy(np.stack(frames)).permute(0, 3, 1, 2)
