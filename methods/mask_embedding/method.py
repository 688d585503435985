"""Unified mask embedding and correspondence learning (Li et al., CVPR 2023)."""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.contract import Clip, Context, Padding, Segmented
from vosbench.inference.visuals import Masks as MasksVisual
from vosbench.inference.visuals import Visual
from vosbench.method import Method
from vosbench.methods.mask_embedding.correspondence import Correspondence, padded_frames
from vosbench.methods.mask_embedding.masks import (
    ABSENT,
    Masks,
    SmallMasks,
    log_odds,
    to_cells,
    to_pixels,
    with_given,
    without,
)
from vosbench.methods.mask_embedding.networks import (
    STRIDE,
    Depth,
    FrameMaskEncoder,
    FusedFrameMaskEncoder,
    KeyEncoder,
)
from vosbench.methods.mask_embedding.reading import Features, Memory, Reader, Values, packed
from vosbench.methods.mask_embedding.segments import choose_segments, cross_entropy
from vosbench.methods.mask_embedding.variants import VARIANTS
from vosbench.methods.mask_embedding.variants import Name as VariantName
from vosbench.nn.decoder import Decoder
from vosbench.nn.objects import in_groups
from vosbench.nn.resnet import normalise
from vosbench.ops.aggregate import soft_aggregate
from vosbench.ops.colour import normalised_lab
from vosbench.ops.windows import Window
from vosbench.settings.checks import below, not_above, not_sizes, refuse
from vosbench.settings.options import Content
from vosbench.util.errors import UserError


class MaskEmbedding(Method[Features, Memory]):
    """Learns correspondence from video, and mask embedding from clusters of its own features (section 3).

    correspondence    the loss of the encoder (table 4f); null: none
    depth, widths     of the residual networks E and V; 18 and 64 are the paper's smaller ones
    channels          of a key and of a value
    weights           of E's trunk to start from: imagenet, a file, or null
    decoder_widths, decoder_kernel  of D: see `nn.decoder.Decoder`
    decode            false: no V and D; the warped masks are the result (label propagation)
    rounds            how often the mask passes through V and D; 0 decodes only what memory holds (table 4e); null: the
                      warped masks are the result, although there are V and D
    supervise_rounds  rounds whose masks are trained (the paper trains round 1, and round 0 would never learn)
    segments          the most segments of a clip that are followed in training
    temperature, top_k, radius, window  of the affinity at inference: see `ops.matching.readout`
    given             candidates in frames with a given mask: all of their cells (whole), or those in the window
    freeze_trunk      in training, E's trunk stays as it is
    propagate         what later frames read: refined results, or coarse, only the warped masks
    output            refined | mean: of the log-odds of refined masks and the probabilities of coarse ones
    variant           what the paper says, or what the authors' code does: see `variants.Variant`

    Raises UserError naming the options that make no sense.
    """

    name = "mask_embedding"
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
        weights: Content[str | None] = None,
        decode: bool = True,
        rounds: int | None = 3,
        supervise_rounds: Sequence[int] = (0, 1),
        segments: int = 2,
        temperature: float = 0.05,
        top_k: int | None = 10,
        radius: float = 12,
        window: Window = "disk",
        given: Literal["whole", "window"] = "whole",
        freeze_trunk: bool = False,
        propagate: Literal["refined", "coarse"] = "refined",
        output: Literal["refined", "mean"] = "refined",
        variant: VariantName = "paper",
    ) -> None:
        super().__init__()
        found = not_sizes(2, widths=widths, channels=channels) + not_sizes(3, decoder_widths=decoder_widths)
        found += below(1, segments=segments, top_k=top_k) + below(0, rounds=rounds)
        found += not_above(0, temperature=temperature, radius=radius)
        if min(supervise_rounds, default=-1) < 0:
            found.append(f"supervise_rounds={list(supervise_rounds)}: give one or more rounds, from 0 on")
        refuse("method", found)
        key, value = channels
        self.variant = VARIANTS[variant]
        self.correspondence = correspondence
        self.colours = "Lab" if correspondence is not None and correspondence.lab else "RGB"
        self.key_encoder = KeyEncoder(depth, widths[0], key, weights)
        encoder = FusedFrameMaskEncoder if self.variant.fused else FrameMaskEncoder
        self.value_encoder = encoder(depth, widths, value) if decode else None
        decoder = partial(Decoder, widths=tuple(decoder_widths), kernel=decoder_kernel)
        self.decoder = decoder(2 * value, self.key_encoder.skips) if decode else None
        self.reader, self.top_k, self.given = Reader(temperature, radius, window), top_k, given
        self.rounds = rounds if decode else None
        self.supervise_rounds, self.segments = tuple(supervise_rounds), segments
        self.propagate, self.output = propagate, output
        self.freeze_trunk = freeze_trunk
        self.key_encoder.trunk.requires_grad_(not freeze_trunk)
        self.train()

    def train(self, mode: bool = True) -> "MaskEmbedding":
        super().train(mode)
        if self.freeze_trunk:  # its batch normalisation keeps its statistics, too
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
            terms |= self._segmentation(features, choose_segments(segments, self.segments, clip.draws()), clip.valid)
        if not terms:
            raise UserError("nothing to train: choose a correspondence=, or callbacks that make pseudo-labels")
        return terms

    def _keys(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h8 w8"]:
        """Keys for the correspondence. A loss of Lab has prepared its images itself."""
        key: Tensor = self.key_encoder(images if self.colours == "Lab" else normalise(images)).key
        return key

    def _segmentation(
        self, features: Features, masks: Float[Tensor, "b t n h w"], valid: Bool[Tensor, "b t h w"]
    ) -> dict[str, Tensor]:
        """Cross-entropy of frames segmented from the ones before, after each supervised round (eq. 9).

        Clips without a segment in their first frame do not count.
        """
        count, length = masks.shape[:2]
        clips = masks[:, 0, 1:].flatten(1).any(1).nonzero().squeeze(1)
        if not len(clips):  # nothing to follow, but every parameter still needs a gradient
            clips, valid = torch.arange(count, device=masks.device), torch.zeros_like(valid)
        frames = [features.take(clips * length + index) for index in range(length)]
        memory = [self.memorize(frame, masks[clips, index]) for index, frame in enumerate(frames[:-1])]
        queries = range(1, length) if self.variant.supervise_all else (length - 1,)
        losses: dict[int, list[Tensor]] = {number: [] for number in self.supervise_rounds}
        for index in queries:
            given = [True] * index
            _, decoded = self.read_and_decode(frames[index], memory[:index], given, self.supervise_rounds, top_k=None)
            for number, scores in zip(losses, decoded, strict=True):
                losses[number].append(cross_entropy(scores, masks[clips, index], valid[clips, index]))
        return {f"segmentation_{number}": torch.stack(found).mean() for number, found in losses.items()}

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        encoded = self.key_encoder(normalised_lab(images) if self.colours == "Lab" else normalise(images))
        return Features(encoded.key, encoded.eighth, encoded.quarter, encoded.last, normalise(images))

    def keys(self, features: Features) -> Float[Tensor, "b c h8 w8"]:
        return features.key

    def memorize(self, features: Features, masks: Float[Tensor, "b n h w"]) -> Memory:
        size = (features.key.shape[2], features.key.shape[3])
        small, absent = to_cells(masks, size, self.variant.corner_aligned), 0.0
        if features.coarse is not None and self.propagate == "coarse":
            small = with_given(features.coarse, small)
        if features.coarse is not None and self.variant.log_odds_memory:
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

    def forget(self, features: Features, objects: Sequence[int]) -> Features:
        if features.coarse is None:
            return features
        return replace(features, coarse=without(features.coarse, objects))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Segmented[Features]:
        """The features that come back have the coarse masks, for `memorize`."""
        rounds = (self.rounds,) if self.output == "refined" else (self.rounds, None)
        small, (refined, *coarse) = self._after(query, context, rounds)
        scores = ((log_odds(refined) + coarse[0]) / 2).softmax(1) if coarse else refined
        return Segmented(scores, replace(query, coarse=small))

    def intermediate_maps(self, query: Features, context: Context[Features, Memory]) -> dict[str, Visual]:
        """The coarse masks, and those after each round."""
        rounds = [None] if self.rounds is None else [None, *range(self.rounds + 1)]
        names = ["coarse" if number is None else f"round {number}" for number in rounds]
        return dict(zip(names, map(MasksVisual, self._after(query, context, rounds)[1]), strict=True))

    def _after(
        self, query: Features, context: Context[Features, Memory], rounds: Sequence[int | None]
    ) -> tuple[SmallMasks, list[Masks]]:
        memory = [entry.value for entry in context.references]
        given = [entry.given and self.given == "whole" for entry in context.references]
        return self.read_and_decode(query, memory, given, rounds, self.top_k)

    def read_and_decode(
        self,
        query: Features,
        memory: Sequence[Memory],
        given: Sequence[bool],
        rounds: Sequence[int | None],
        top_k: int | None,
    ) -> tuple[SmallMasks, list[Masks]]:
        """The coarse masks of the query's cells, and scores of its pixels after each of the `rounds` (eq. 6 to 9).

        Loss and `segment` both come here. Round 0 decodes what memory holds. In round 1, V also sees the picture with
        the coarse masks; in each later one, with the masks of the round before. The round None is the coarse masks
        themselves, which no decoder has seen.

        given   for each memory, whether all of its cells may be matched, and not only those near by
        """
        coarse, values = self.reader.read(query.key, memory, given, top_k)
        size = (query.image.shape[2], query.image.shape[3])
        masks = to_pixels(coarse, size, self.variant.corner_aligned)
        decoded: dict[int | None, Masks] = {None: masks}
        if 0 in rounds:
            decoded[0] = self._decode(query, values, None)
        if self.training and self.variant.hard_coarse:
            best = nnf.one_hot(coarse.argmax(1), coarse.shape[1]).movedim(3, 1)
            masks = to_pixels(best.to(coarse.dtype), size, self.variant.corner_aligned)
        for number in range(1, 1 + max(filter(None, rounds), default=0)):
            masks = decoded[number] = self._decode(query, values, masks[:, 1:])
        return coarse, [decoded[number] for number in rounds]

    def _decode(self, query: Features, read: Values, masks: Float[Tensor, "b objects h w"] | None) -> Masks:
        """Masks from the values that were read from memory and those of the picture with `masks` (None: zeros)."""
        parts = in_groups(read, self.training)
        seen = [None] * len(parts) if masks is None else in_groups(masks, self.training)
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

    def _values(self, image: Float[Tensor, "b 3 h w"], masks: Masks, last: Float[Tensor, "b d h8 w8"]) -> Values:
        """V of the picture with each mask; no channels without V, or where nothing will be decoded."""
        if self.value_encoder is None or (self.rounds is None and not self.training):
            return image.new_zeros((*masks.shape[:2], 0, *last.shape[2:]))
        return torch.cat([self.value_encoder(image, part, last) for part in in_groups(masks, self.training)], 1)

    def adapt(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """The backbone of the pre-training stage (dino.py): the teacher's."""
        trunk = "teacher.trunk."
        found = {
            f"key_encoder.trunk.{key[len(trunk) :]}": value for key, value in state.items() if key.startswith(trunk)
        }
        return found or state
