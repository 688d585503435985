"""Unified mask embedding and correspondence learning (Li et al., CVPR 2023)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as nnf
from jaxtyping import Float, Int
from torch import Tensor

from vosbench.method import Method
from vosbench.methods.mask_embedding.correspondence import Correspondence
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

    def split(self) -> Iterator["Features"]:
        """The frames of a batch, each as a batch of one."""
        return map(Features, *(maps.split(1) for maps in (self.key, self.eighth, self.quarter, self.image)))


@dataclass(frozen=True)
class Memory:
    """What is kept of a frame: key, masks at stride 8 (background first), the value of each object, and the picture.

    The picture, in half precision, is for objects that start later: a frame without an object has a value, too.
    """

    key: Float[Tensor, "1 c h w"]
    masks: Float[Tensor, "1 n h w"]
    values: Float[Tensor, "objects v h w"]
    image: Float[Tensor, "1 3 h8 w8"]


class MaskEmbedding(Method[Features, Memory]):
    """Learns correspondence from video, and mask embedding from clusters of its own features (section 3).

    correspondence    the loss of the encoder (table 4f); null: none
    depth, width      of both residual networks; 18 and 64 are the paper's smaller one
    channels          of a key and of a value
    weights           of E's trunk to start from: imagenet, a file, or null
    decode            false: no V and D; the warped masks are the result (label propagation)
    rounds            how often the mask passes through V and D; 0 decodes what memory holds alone (table 4e)
    supervise_rounds  rounds whose masks are trained (the paper trains round 1, and round 0 would never learn)
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
        width: int = 64,
        channels: tuple[int, int] = (128, 512),
        decoder_widths: Sequence[int] = (512, 256, 128),
        weights: str | None = None,
        decode: bool = True,
        rounds: int = 3,
        supervise_rounds: Sequence[int] = (0, 1),
        temperature: float = 0.05,
        top_k: int | None = 10,
        radius: float = 12,
        window: Window = "disk",
    ) -> None:
        super().__init__()
        key, value = channels
        self.correspondence = correspondence
        self.lab = correspondence is not None and correspondence.lab
        self.key_encoder = KeyEncoder(depth, width, key, weights)
        self.value_encoder = FrameMaskEncoder(depth, width, value) if decode else None
        self.decoder = Decoder(2 * value, self.key_encoder.skips, tuple(decoder_widths)) if decode else None
        self.rounds, self.supervise_rounds = rounds, tuple(supervise_rounds)
        self.temperature, self.top_k, self.radius, self.window = temperature, top_k, radius, window

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Correspondence of the frames and, where the clip has (pseudo-)labels, segmentation of its last frame."""
        terms = self.correspondence(self._keys, clip) if self.correspondence else {}
        if self.decoder is not None and clip.labels is not None:
            terms |= self._segmentation(clip, clip.labels)
        return terms

    def _keys(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """What a correspondence learns: E's keys of RGB pictures, or of what a loss of Lab has prepared itself."""
        key: Tensor = self.key_encoder(images if self.lab else normalise(images)).key
        return key

    def _segmentation(self, clip: Clip, labels: Int[Tensor, "b t h w"]) -> dict[str, Tensor]:
        """Cross-entropy of the last frame segmented from the others, in each supervised round, over all clips."""
        losses: dict[str, list[Tensor]] = {f"segmentation_{rounds}": [] for rounds in self.supervise_rounds}
        features = self.encode(clip.frames.masked_fill(~clip.valid.unsqueeze(2), -1).flatten(0, 1)).split()
        for masks, valid in zip(labels, clip.valid, strict=True):
            *given, query = (next(features) for _ in masks)
            hot = _one_hot(masks)
            if hot.shape[1] == 1:
                continue  # nothing to follow
            memory = [self.memorize(frame, mask.unsqueeze(0)) for frame, mask in zip(given, hot, strict=False)]
            target = hot[-1].argmax(0)[valid[-1]]
            decoded = self.read_and_decode(query, memory, [True] * len(memory), self.supervise_rounds, top_k=None)
            for found, scores in zip(losses.values(), decoded, strict=True):
                log = scores[0].permute(1, 2, 0)[valid[-1]].clamp_min(1e-7).log()
                found.append(nnf.nll_loss(log, target))
        return {name: torch.stack(found).mean() for name, found in losses.items() if found}

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        encoded = self.key_encoder(normalised_lab(images) if self.lab else normalise(images))
        return Features(encoded.key, encoded.eighth, encoded.quarter, normalise(images))

    def memorize(self, features: Features, masks: Float[Tensor, "1 n h w"]) -> Memory:
        small = nnf.interpolate(masks, features.key.shape[-2:], mode="bilinear", align_corners=True)
        values = self._values(features.image, masks[:, 1:])
        if not torch.is_grad_enabled():
            values = values.half()  # the largest part of memory; only those that are read become float32
        return Memory(features.key, small, values, features.image.half())

    def extend(self, value: Memory, count: int) -> Memory:
        masks = nnf.pad(value.masks, (0, 0, 0, 0, 0, count))
        absent = self._values(value.image.float(), value.image.new_zeros((1, count, *value.image.shape[-2:])).float())
        return replace(value, masks=masks, values=torch.cat([value.values, absent.to(value.values.dtype)]))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Float[Tensor, "1 n h w"]:
        memory = [entry.value for entry in context.references]
        given = [entry.given for entry in context.references]
        return self.read_and_decode(query, memory, given, (self.rounds,), self.top_k)[0]

    def read_and_decode(
        self,
        query: Features,
        memory: Sequence[Memory],
        given: Sequence[bool],
        rounds: Sequence[int],
        top_k: int | None,
    ) -> list[Float[Tensor, "1 n h w"]]:
        """Scores of the query's pixels after each of the `rounds` (eq. 6 to 9); loss and segment alike come here.

        Round 0 decodes what memory holds; round 1 has V look at the picture with the coarse masks, too, and each later
        one with the masks of the round before. Without a decoder the coarse masks are the only result.
        given: per entry, whether every cell of it may be matched, and not only those near by.
        """
        coarse, values = self._read(query, memory, given, top_k)
        masks = resize(coarse, (query.image.shape[2], query.image.shape[3]))
        if self.decoder is None:
            return [masks]
        decoded = {0: self._decode(query, values, torch.zeros_like(values))} if 0 in rounds else {}
        for number in range(1, max(rounds) + 1):
            masks = decoded[number] = self._decode(query, values, self._values(query.image, masks[:, 1:]))
        return [decoded[number] for number in rounds]

    def _decode(
        self, query: Features, read: Float[Tensor, "objects v h w"], seen: Float[Tensor, "objects v h w"]
    ) -> Float[Tensor, "1 n h8 w8"]:
        """Masks from the values that were read from memory and those seen in the picture."""
        assert self.decoder is not None
        logits = self.decoder(torch.cat([read, seen], 1), query.eighth, query.quarter)
        return soft_aggregate(logits.sigmoid().transpose(0, 1))

    def _read(
        self, query: Features, memory: Sequence[Memory], given: Sequence[bool], top_k: int | None
    ) -> tuple[Float[Tensor, "1 n h w"], Float[Tensor, "objects v h w"]]:
        """The coarse masks and the values of the query's cells, by one affinity for all objects (eq. 6 to 8)."""
        keys, masks = [entry.key for entry in memory], [entry.masks for entry in memory]
        values = [entry.values.flatten(0, 1).unsqueeze(0) for entry in memory]
        near: dict[str, Any] = {"unrestricted": given, "radius": self.radius, "window": self.window}
        if top_k is None:  # in training, where nothing is left out
            both = [torch.cat(pair, 1) for pair in zip(masks, values, strict=True)]
            everything = readout(query.key, keys, both, temperature=self.temperature, top_k=None, **near)
            coarse, found = everything.split([masks[0].shape[1], values[0].shape[1]], 1)
        else:
            matches = match(query.key, keys, temperature=self.temperature, top_k=top_k, **near)
            coarse = read(matches, masks)
            found = read(matches, values) if self.decoder else coarse[:, :0]
        return coarse, found[0].unflatten(0, memory[0].values.shape[:2])

    def _values(self, image: Float[Tensor, "1 3 h w"], masks: Float[Tensor, "1 n h w"]) -> Float[Tensor, "n v h8 w8"]:
        """V of the picture with each mask; without V, no channels."""
        if self.value_encoder is None:
            return image.new_zeros((masks.shape[1], 0, image.shape[2] // STRIDE, image.shape[3] // STRIDE))
        values: Tensor = self.value_encoder(image, masks)
        return values


def _one_hot(labels: Int[Tensor, "t h w"]) -> Float[Tensor, "t n h w"]:
    """Background, and one channel for each object of the first frame."""
    ids = [int(id_) for id_ in labels[0].unique() if id_]
    objects = [labels == id_ for id_ in ids]
    background = ~torch.stack(objects).any(0) if objects else torch.ones_like(labels, dtype=torch.bool)
    return torch.stack([background, *objects], 1).float()
