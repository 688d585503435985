"""Unified mask embedding and correspondence learning (Li et al., CVPR 2023)."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.method import Method
from vosbench.methods.mask_embedding.correspondence import Correspondence, padded_frames
from vosbench.methods.mask_embedding.networks import STRIDE, Depth, FrameMaskEncoder, KeyEncoder
from vosbench.nn.decoder import Decoder
from vosbench.nn.resnet import normalise
from vosbench.ops.aggregate import soft_aggregate
from vosbench.ops.align import resize
from vosbench.ops.colour import normalised_lab
from vosbench.ops.matching import Window, match, read, readout
from vosbench.types import Clip, Context, Padding


@dataclass(frozen=True)
class Features:
    """A frame: its key at stride 8, the decoder's skips at strides 8 and 4, and the normalised picture."""

    key: Float[Tensor, "b c h w"]
    eighth: Float[Tensor, "b c8 h w"]
    quarter: Float[Tensor, "b c4 h2 w2"]
    image: Float[Tensor, "b 3 h8 w8"]

    def take(self, frames: Int[Tensor, " n"] | slice) -> "Features":
        """Some frames of the batch."""
        return Features(self.key[frames], self.eighth[frames], self.quarter[frames], self.image[frames])


@dataclass(frozen=True)
class Memory:
    """What is kept of a frame: key, masks at stride 8 (background first), the value of each object, and the picture.

    The picture, in half precision, is for objects that start later: a frame without an object has a value, too.
    b is 1 at inference; in training, it counts clips.
    """

    key: Float[Tensor, "b c h w"]
    masks: Float[Tensor, "b n h w"]
    values: Float[Tensor, "b objects v h w"]
    image: Float[Tensor, "b 3 h8 w8"]


class MaskEmbedding(Method[Features, Memory]):
    """Learns correspondence from video, and mask embedding from clusters of its own features (section 3).

    correspondence    the loss of the encoder (table 4f); null: none
    depth, widths     of the residual networks E and V; 18 and 64 are the paper's smaller ones
    channels          of a key and of a value
    weights           of E's trunk to start from: imagenet, a file, or null
    decode            false: no V and D; the warped masks are the result (label propagation)
    rounds            how often the mask passes through V and D; 0 decodes what memory holds alone (table 4e); null:
                      the warped masks are the result, although there are V and D
    supervise_rounds  rounds whose masks are trained (the paper trains round 1, and round 0 would never learn)
    segments          of a clip that are followed in training, at most
    temperature, top_k, radius, window: of the affinity at inference; the first frame's cells are all candidates
    """

    supervision = "self-supervised"
    padding = Padding("centre", (-1.0, -1.0, -1.0))  # told from the picture by its sign, zero once normalised
    memory_masks = "soft"
    stride = STRIDE

    def __init__(
        self,
        correspondence: Correspondence | None = None,
        depth: Depth = 18,
        widths: tuple[int, int] = (64, 64),
        channels: tuple[int, int] = (128, 512),
        decoder_widths: Sequence[int] = (512, 256, 128),
        weights: str | None = None,
        decode: bool = True,
        rounds: int | None = 3,
        supervise_rounds: Sequence[int] = (0, 1),
        segments: int = 2,
        temperature: float = 0.05,
        top_k: int | None = 10,
        radius: float = 12,
        window: Window = "disk",
    ) -> None:
        super().__init__()
        key, value = channels
        self.correspondence = correspondence
        self.lab = correspondence is not None and correspondence.lab
        self.key_encoder = KeyEncoder(depth, widths[0], key, weights)
        self.value_encoder = FrameMaskEncoder(depth, widths[1], value) if decode else None
        self.decoder = Decoder(2 * value, self.key_encoder.skips, tuple(decoder_widths)) if decode else None
        self.rounds = rounds if decode else None
        self.supervise_rounds, self.segments = tuple(supervise_rounds), segments
        self.temperature, self.top_k, self.radius, self.window = temperature, top_k, radius, window

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Correspondence of the frames and, where the clip has pseudo-labels, segmentation of its last frame."""
        frames = padded_frames(clip).flatten(0, 1)
        segments = None if self.decoder is None else clip.pseudo_labels
        features = None if self.lab and segments is None else self.encode(frames)
        keys = None if features is None else features.key
        terms = self.correspondence(self._keys, clip, keys) if self.correspondence else {}
        if features is not None and segments is not None:
            terms |= self._segmentation(features, choose_segments(segments, self.segments), clip.valid)
        if not terms:
            raise ValueError("nothing to train: choose a correspondence=, or callbacks that make pseudo-labels")
        return terms

    def _keys(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """What a correspondence learns: E's keys of RGB pictures, or of what a loss of Lab has prepared itself."""
        key: Tensor = self.key_encoder(images if self.lab else normalise(images)).key
        return key

    def _segmentation(
        self, features: Features, masks: Float[Tensor, "b t n h w"], valid: Bool[Tensor, "b t h w"]
    ) -> dict[str, Tensor]:
        """Cross-entropy of the last frames segmented from the others, after each supervised round (eq. 9). Clips
        without a segment in their first frame do not count."""
        count, length = masks.shape[:2]
        clips = masks[:, 0, 1:].flatten(1).any(1).nonzero().squeeze(1)
        if not len(clips):  # nothing to follow; every parameter has a gradient all the same
            clips, valid = torch.arange(count, device=masks.device), torch.zeros_like(valid)
        frames = [features.take(clips * length + index) for index in range(length)]
        memory = [self.memorize(frame, masks[clips, index]) for index, frame in enumerate(frames[:-1])]
        decoded = self.read_and_decode(frames[-1], memory, [True] * len(memory), self.supervise_rounds, top_k=None)
        target, counted = masks[clips, -1], valid[clips, -1]
        return {
            f"segmentation_{number}": _cross_entropy(scores, target, counted)
            for number, scores in zip(self.supervise_rounds, decoded, strict=True)
        }

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        encoded = self.key_encoder(normalised_lab(images) if self.lab else normalise(images))
        return Features(encoded.key, encoded.eighth, encoded.quarter, normalise(images))

    def memorize(self, features: Features, masks: Float[Tensor, "b n h w"]) -> Memory:
        small = nnf.interpolate(masks, features.key.shape[-2:], mode="bilinear", align_corners=True)
        values = self._values(features.image, masks[:, 1:])
        if not torch.is_grad_enabled():
            values = values.half()  # the largest part of memory; only those that are read become float32
        return Memory(features.key, small, values, features.image.half())

    def extend(self, value: Memory, count: int) -> Memory:
        masks = nnf.pad(value.masks, (0, 0, 0, 0, 0, count))
        absent = self._values(value.image.float(), value.image.new_zeros((1, count, *value.image.shape[-2:])).float())
        return replace(value, masks=masks, values=torch.cat([value.values, absent.to(value.values.dtype)], 1))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Float[Tensor, "1 n h w"]:
        memory = [entry.value for entry in context.references]
        given = [entry.given for entry in context.references]
        return self.read_and_decode(query, memory, given, (self.rounds,), self.top_k)[0]

    def read_and_decode(
        self,
        query: Features,
        memory: Sequence[Memory],
        given: Sequence[bool],
        rounds: Sequence[int | None],
        top_k: int | None,
    ) -> list[Float[Tensor, "b n h w"]]:
        """Scores of the query's pixels after each of the `rounds` (eq. 6 to 9); loss and segment alike come here.

        Round 0 decodes what memory holds; round 1 has V look at the picture with the coarse masks, too, and each later
        one with the masks of the round before. None stands for the coarse masks, which no decoder has seen.
        given: per entry, whether every cell of it may be matched, and not only those near by.
        """
        coarse, values = self._read(query, memory, given, top_k)
        masks = resize(coarse, (query.image.shape[2], query.image.shape[3]))
        decoded: dict[int | None, Float[Tensor, "b n h w"]] = {None: masks}
        if 0 in rounds:
            decoded[0] = self._decode(query, values, torch.zeros_like(values))
        for number in range(1, 1 + max(filter(None, rounds), default=0)):
            masks = decoded[number] = self._decode(query, values, self._values(query.image, masks[:, 1:]))
        return [decoded[number] for number in rounds]

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The backbone of the pre-training stage (dino.py): the teacher's, without its last stage's heads."""
        trunk = "teacher.trunk."
        found = {
            f"key_encoder.trunk.{key[len(trunk) :]}": value for key, value in state.items() if key.startswith(trunk)
        }
        return found or state

    def _decode(
        self, query: Features, read: Float[Tensor, "b objects v h w"], seen: Float[Tensor, "b objects v h w"]
    ) -> Float[Tensor, "b n h8 w8"]:
        """Masks from the values that were read from memory and those seen in the picture."""
        assert self.decoder is not None
        logits = self.decoder(torch.cat([read, seen], 2).flatten(0, 1), query.eighth, query.quarter)
        return soft_aggregate(logits.sigmoid().view(*read.shape[:2], *logits.shape[2:]))

    def _read(
        self, query: Features, memory: Sequence[Memory], given: Sequence[bool], top_k: int | None
    ) -> tuple[Float[Tensor, "b n h w"], Float[Tensor, "b objects v h w"]]:
        """The coarse masks and the values of the query's cells, by one affinity for all objects (eq. 6 to 8)."""
        clips = [
            self._read_one(
                query.key[clip],
                [entry.key[clip] for entry in memory],
                [entry.masks[clip] for entry in memory],
                [entry.values[clip].flatten(1, 2) for entry in memory],
                given,
                top_k,
            )
            for clip in (slice(i, i + 1) for i in range(len(query.key)))
        ]
        coarse, found = (torch.cat(maps) for maps in zip(*clips, strict=True))
        return coarse, found.unflatten(1, memory[0].values.shape[1:3])

    def _read_one(
        self,
        query: Float[Tensor, "1 c h w"],
        keys: Sequence[Float[Tensor, "1 c h w"]],
        masks: Sequence[Float[Tensor, "1 n h w"]],
        values: Sequence[Float[Tensor, "1 v h w"]],
        given: Sequence[bool],
        top_k: int | None,
    ) -> tuple[Float[Tensor, "1 n h w"], Float[Tensor, "1 v h w"]]:
        near: dict[str, Any] = {"unrestricted": given, "radius": self.radius, "window": self.window}
        if top_k is None:  # in training, where nothing is left out
            both = [torch.cat(pair, 1) for pair in zip(masks, values, strict=True)]
            everything = readout(query, keys, both, temperature=self.temperature, top_k=None, **near)
            coarse, found = everything.split([masks[0].shape[1], values[0].shape[1]], 1)
            return coarse, found
        matches = match(query, keys, temperature=self.temperature, top_k=top_k, **near)
        coarse = read(matches, masks)
        return coarse, read(matches, values) if values[0].shape[1] else coarse[:, :0]

    def _values(self, image: Float[Tensor, "b 3 h w"], masks: Float[Tensor, "b n h w"]) -> Float[Tensor, "b n v h8 w8"]:
        """V of the picture with each mask; no channels without V, or where nobody will decode."""
        if self.value_encoder is None or (self.rounds is None and not self.training):
            return image.new_zeros((*masks.shape[:2], 0, image.shape[2] // STRIDE, image.shape[3] // STRIDE))
        values: Tensor = self.value_encoder(image, masks)
        return values


def choose_segments(labels: Int[Tensor, "b t h w"], most: int, least: float = 0.005) -> Float[Tensor, "b t n h w"]:
    """Masks of background and of up to `most` segments of each clip, drawn from those that fill the share `least` of
    its first frame or more; the others are background. n = most + 1: masks of a clip with fewer are empty.

    Draws from torch's CPU generator.
    """
    chosen = torch.full((len(labels), most), -1)
    for clip, first in enumerate(labels[:, 0].flatten(1).cpu()):
        sizes = first.bincount()
        sizes[0] = 0
        large = (sizes >= max(1, least * len(first))).nonzero().squeeze(1)
        drawn = large[torch.randperm(len(large))[:most]]
        chosen[clip, : len(drawn)] = drawn
    segments = labels.unsqueeze(2) == chosen.to(labels.device).view(len(labels), 1, most, 1, 1)
    return torch.cat([~segments.any(2, keepdim=True), segments], 2).float()


def _cross_entropy(
    scores: Float[Tensor, "b n h w"], target: Float[Tensor, "b n h w"], counted: Bool[Tensor, "b h w"]
) -> Float[Tensor, ""]:
    """The mean over all counted pixels, 0 without any."""
    error = -(scores.clamp_min(1e-7).log() * target).sum(1)
    return (error * counted).sum() / counted.sum().clamp(min=1)
