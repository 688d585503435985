"""Unified mask embedding and correspondence learning (Li et al., CVPR 2023)."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.insides import Inside
from vosbench.insides import Masks as Seen
from vosbench.method import Method
from vosbench.methods.mask_embedding.correspondence import Correspondence, padded_frames
from vosbench.methods.mask_embedding.networks import (
    STRIDE,
    Depth,
    FrameMaskEncoder,
    FusedFrameMaskEncoder,
    KeyEncoder,
)
from vosbench.methods.mask_embedding.reading import Features, Masks, Memory, Reader, SmallMasks, Values, packed
from vosbench.methods.mask_embedding.segments import choose_segments, cross_entropy
from vosbench.nn.decoder import Decoder
from vosbench.nn.resnet import normalise
from vosbench.ops.aggregate import EPS, soft_aggregate
from vosbench.ops.align import sample_centres, upsample_centres
from vosbench.ops.colour import normalised_lab
from vosbench.ops.windows import Window
from vosbench.types import Clip, Context, Padding

OBJECTS = 4  # that V and D see at a time, other than in training: no maps are larger
ABSENT = math.log(EPS / (1 - EPS)) / 2  # what `log_odds` makes of 0


class MaskEmbedding(Method[Features, Memory]):
    """Learns correspondence from video, and mask embedding from clusters of its own features (section 3).

    correspondence    the loss of the encoder (table 4f); null: none
    depth, widths     of the residual networks E and V; 18 and 64 are the paper's smaller ones
    channels          of a key and of a value
    weights           of E's trunk to start from: imagenet, a file, or null
    decoder_widths, decoder_kernel  of D: see `nn.decoder.Decoder`
    decode            false: no V and D; the warped masks are the result (label propagation)
    rounds            how often the mask passes through V and D; 0 decodes what memory holds alone (table 4e); null:
                      the warped masks are the result, although there are V and D
    supervise_rounds  rounds whose masks are trained (the paper trains round 1, and round 0 would never learn)
    segments          of a clip that are followed in training, at most
    temperature, top_k, radius, window: of the affinity at inference; the first frame's cells are all candidates

    alignment         exact: masks are taken to stride 8 and back at the centres of E's kernels; released: from corner
                      to corner, as the authors' code, by which cells at the far borders lie 7 pixels from their kernels

    Where the authors' code does otherwise than the paper says:

    value_encoder     plain: V is built like E; fused: it ends a stage earlier and takes in E's last map
    freeze_trunk      E's trunk stays as it is
    supervise_frames  last: of a clip, segmented from all others; all: each from those before
    coarse_input      soft: V sees the coarse masks; hard: in training, their best object, without gradient
    propagate         refined: later frames read results; coarse: the warped masks, so that refinement never adds up
    memory_input      probabilities | log_odds: what V sees of results that are memorized (see `log_odds`)
    output            refined | mean: of the log-odds of refined masks and the probabilities of coarse ones
    """

    supervision = "self-supervised"
    padding = Padding("centre", (-1.0, -1.0, -1.0))  # told from the picture by its sign, zero once normalised
    memory_masks = "soft"
    stride = STRIDE

    def __init__(
        self,
        correspondence: Correspondence | None = None,
        depth: Depth = 18,
        widths: Sequence[int] = (64, 64),
        channels: Sequence[int] = (128, 512),
        decoder_widths: Sequence[int] = (512, 256, 128),
        decoder_kernel: Literal[1, 3] = 1,
        weights: str | None = None,
        decode: bool = True,
        rounds: int | None = 3,
        supervise_rounds: Sequence[int] = (0, 1),
        segments: int = 2,
        temperature: float = 0.05,
        top_k: int | None = 10,
        radius: float = 12,
        window: Window = "disk",
        alignment: Literal["exact", "released"] = "exact",
        value_encoder: Literal["plain", "fused"] = "plain",
        freeze_trunk: bool = False,
        supervise_frames: Literal["last", "all"] = "last",
        coarse_input: Literal["soft", "hard"] = "soft",
        propagate: Literal["refined", "coarse"] = "refined",
        memory_input: Literal["probabilities", "log_odds"] = "probabilities",
        output: Literal["refined", "mean"] = "refined",
    ) -> None:
        super().__init__()
        if segments < 1 or min((rounds or 0, *supervise_rounds)) < 0 or not supervise_rounds:
            given = f"rounds={rounds}, supervise_rounds={list(supervise_rounds)}, segments={segments}"
            raise ValueError(f"method: {given}: give rounds from 0 on, one or more to supervise, and 1 segment or more")
        key, value = channels
        encoder = FusedFrameMaskEncoder if value_encoder == "fused" else FrameMaskEncoder
        self.correspondence = correspondence
        self.colours = "Lab" if correspondence is not None and correspondence.lab else "RGB"
        self.key_encoder = KeyEncoder(depth, widths[0], key, weights)
        self.value_encoder = encoder(depth, widths, value) if decode else None
        decoder = partial(Decoder, widths=tuple(decoder_widths), kernel=decoder_kernel)
        self.decoder = decoder(2 * value, self.key_encoder.skips) if decode else None
        self.reader, self.top_k = Reader(temperature, radius, window), top_k
        self.rounds = rounds if decode else None
        self.supervise_rounds, self.segments = tuple(supervise_rounds), segments
        self.supervise_frames, self.coarse_input = supervise_frames, coarse_input
        self.alignment = alignment
        self.propagate, self.memory_input, self.output = propagate, memory_input, output
        self.freeze_trunk = freeze_trunk
        self.key_encoder.trunk.requires_grad_(not freeze_trunk)
        self.train()

    def train(self, mode: bool = True) -> "MaskEmbedding":
        super().train(mode)
        if self.freeze_trunk:  # with the statistics that it has, too
            self.key_encoder.trunk.eval()
        return self

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Correspondence of the frames and, where the clip has pseudo-labels, their segmentation."""
        frames = padded_frames(clip).flatten(0, 1)
        segments = None if self.decoder is None else clip.pseudo_labels
        features = None if self.colours == "Lab" and segments is None else self.encode(frames)
        keys = None if features is None else features.key
        terms = self.correspondence(self._keys, clip, keys) if self.correspondence else {}
        if features is not None and segments is not None:
            terms |= self._segmentation(features, choose_segments(segments, self.segments), clip.valid)
        if not terms:
            raise ValueError("nothing to train: choose a correspondence=, or callbacks that make pseudo-labels")
        return terms

    def _keys(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """What a correspondence learns: E's keys of RGB pictures, or of what a loss of Lab has prepared itself."""
        key: Tensor = self.key_encoder(images if self.colours == "Lab" else normalise(images)).key
        return key

    def _segmentation(
        self, features: Features, masks: Float[Tensor, "b t n h w"], valid: Bool[Tensor, "b t h w"]
    ) -> dict[str, Tensor]:
        """Cross-entropy of frames segmented from the ones before, after each supervised round (eq. 9). Clips without a
        segment in their first frame do not count."""
        count, length = masks.shape[:2]
        clips = masks[:, 0, 1:].flatten(1).any(1).nonzero().squeeze(1)
        if not len(clips):  # nothing to follow; every parameter has a gradient all the same
            clips, valid = torch.arange(count, device=masks.device), torch.zeros_like(valid)
        frames = [features.take(clips * length + index) for index in range(length)]
        memory = [self.memorize(frame, masks[clips, index]) for index, frame in enumerate(frames[:-1])]
        queries = range(1, length) if self.supervise_frames == "all" else (length - 1,)
        losses: dict[int, list[Tensor]] = {number: [] for number in self.supervise_rounds}
        for index in queries:
            given = [True] * index
            decoded = self.read_and_decode(frames[index], memory[:index], given, self.supervise_rounds, top_k=None)
            for number, scores in zip(losses, decoded, strict=True):
                losses[number].append(cross_entropy(scores, masks[clips, index], valid[clips, index]))
        return {f"segmentation_{number}": torch.stack(found).mean() for number, found in losses.items()}

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        encoded = self.key_encoder(normalised_lab(images) if self.colours == "Lab" else normalise(images))
        return Features(encoded.key, encoded.eighth, encoded.quarter, encoded.last, normalise(images))

    def keys(self, features: Features) -> Float[Tensor, "b c h8 w8"]:
        return features.key

    def memorize(self, features: Features, masks: Float[Tensor, "b n h w"]) -> Memory:
        small, absent = self._to_cells(masks, features), 0.0
        if features.coarse and self.propagate == "coarse":
            small = _with_given(features.coarse[0], small)
        if features.coarse and self.memory_input == "log_odds":
            masks, absent = log_odds(masks), ABSENT
        values = self._values(features.image, masks[:, 1:], features.last)
        if not torch.is_grad_enabled():
            values = packed(values.half())  # the largest part of memory; only what is read becomes float32
        last = features.last if isinstance(self.value_encoder, FusedFrameMaskEncoder) else features.last[:, :0]
        return Memory(features.key, small, values, features.image.half(), last.half(), absent)

    def extend(self, value: Memory, count: int) -> Memory:
        masks, image = nnf.pad(value.masks, (0, 0, 0, 0, 0, count)), value.image.float()
        nowhere = image.new_full((1, count, *image.shape[-2:]), value.absent)
        absent = self._values(image, nowhere, value.last.float())
        return replace(value, masks=masks, values=packed(torch.cat([value.values, absent.to(value.values.dtype)], 1)))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Float[Tensor, "1 n h w"]:
        rounds = (self.rounds,) if self.output == "refined" else (self.rounds, None)
        refined, *coarse = self._after(query, context, rounds)
        if not coarse:
            return refined
        return ((log_odds(refined) + coarse[0]) / 2).softmax(1)

    def insides(self, query: Features, context: Context[Features, Memory]) -> dict[str, Inside]:
        """The coarse masks, and those after each round."""
        rounds = [None] if self.rounds is None else [None, *range(self.rounds + 1)]
        names = ["coarse" if number is None else f"round {number}" for number in rounds]
        return dict(zip(names, map(Seen, self._after(query, context, rounds)), strict=True))

    def _after(
        self, query: Features, context: Context[Features, Memory], rounds: Sequence[int | None]
    ) -> list[Float[Tensor, "1 n h w"]]:
        memory = [entry.value for entry in context.references]
        given = [entry.given for entry in context.references]
        return self.read_and_decode(query, memory, given, rounds, self.top_k)

    def read_and_decode(
        self,
        query: Features,
        memory: Sequence[Memory],
        given: Sequence[bool],
        rounds: Sequence[int | None],
        top_k: int | None,
    ) -> list[Masks]:
        """Scores of the query's pixels after each of the `rounds` (eq. 6 to 9); loss and segment alike come here.

        Round 0 decodes what memory holds; round 1 has V look at the picture with the coarse masks, too, and each later
        one with the masks of the round before. None stands for the coarse masks, which no decoder has seen.
        given: per entry, whether every cell of it may be matched, and not only those near by.
        """
        coarse, values = self.reader.read(query.key, memory, given, top_k)
        query.coarse[:] = [coarse]  # for `memorize`
        masks = self._to_pixels(coarse, query)
        decoded: dict[int | None, Masks] = {None: masks}
        if 0 in rounds:
            decoded[0] = self._decode(query, values, None)
        if self.training and self.coarse_input == "hard":
            best = nnf.one_hot(coarse.argmax(1), coarse.shape[1]).movedim(3, 1)
            masks = self._to_pixels(best.to(coarse.dtype), query)
        for number in range(1, 1 + max(filter(None, rounds), default=0)):
            masks = decoded[number] = self._decode(query, values, masks[:, 1:])
        return [decoded[number] for number in rounds]

    def _decode(self, query: Features, read: Values, masks: Float[Tensor, "b objects h w"] | None) -> Masks:
        """Masks from the values that were read from memory and those of the picture with `masks` (None: zeros)."""
        step = max(1, read.shape[1]) if self.training else OBJECTS
        parts = read.split(step, 1)
        seen = [None] * len(parts) if masks is None else masks.split(step, 1)
        logits = torch.cat([self._logits(query, *pair) for pair in zip(parts, seen, strict=True)], 1)
        # In float32: half precision ends at 1 - 2⁻⁸, where a confident mistake would have no gradient.
        return soft_aggregate(logits.float().sigmoid())

    def _logits(
        self, query: Features, read: Values, masks: Float[Tensor, "b objects h w"] | None
    ) -> Float[Tensor, "b objects h w"]:
        assert self.decoder is not None
        seen = torch.zeros_like(read) if masks is None else self._values(query.image, masks, query.last)
        logits: Tensor = self.decoder(torch.cat([read, seen], 2).flatten(0, 1), query.eighth, query.quarter)
        return logits.reshape(*read.shape[:2], *logits.shape[2:])

    def _to_cells(self, masks: Masks, frame: Features) -> SmallMasks:
        if self.alignment == "exact":
            return sample_centres(masks, STRIDE)
        return nnf.interpolate(masks, frame.key.shape[-2:], mode="bilinear", align_corners=True)

    def _to_pixels(self, masks: SmallMasks, frame: Features) -> Masks:
        h, w = frame.image.shape[-2:]  # of a training clip maybe no multiple of the stride
        if self.alignment == "exact":
            return upsample_centres(masks, STRIDE)[..., :h, :w]
        return nnf.interpolate(masks, (h, w), mode="bilinear", align_corners=True)

    def _values(self, image: Float[Tensor, "b 3 h w"], masks: Masks, last: Float[Tensor, "b d h8 w8"]) -> Values:
        """V of the picture with each mask; no channels without V, or where nobody will decode."""
        if self.value_encoder is None or (self.rounds is None and not self.training):
            return image.new_zeros((*masks.shape[:2], 0, *last.shape[2:]))
        step = max(1, masks.shape[1]) if self.training else OBJECTS
        return torch.cat([self.value_encoder(image, part, last) for part in masks.split(step, 1)], 1)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The backbone of the pre-training stage (dino.py): the teacher's."""
        trunk = "teacher.trunk."
        found = {
            f"key_encoder.trunk.{key[len(trunk) :]}": value for key, value in state.items() if key.startswith(trunk)
        }
        return found or state


def log_odds(scores: Masks) -> Masks:
    """Half of log(s / (1 - s)). Scores are a softmax over aggregated log-odds, which those of one object are twice."""
    return scores.logit(EPS) / 2


def _with_given(coarse: SmallMasks, masks: SmallMasks) -> SmallMasks:
    """Coarse masks, overwritten where an object starts: nothing has been warped to it, but the result has it."""
    starting = ~coarse.flatten(2).any(2)
    given = (masks * starting[..., None, None]).amax(1, keepdim=True) > 0.5
    return torch.where(given, masks, coarse)
