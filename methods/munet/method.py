"""MUNet: a memory network that also uses the query's motion (Sun et al., 2023)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import accumulate
from typing import Literal

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from vosbench.contract import Clip, Context, Padding, Segmented
from vosbench.inference.visuals import Heat, Matches, Vectors, Visual, cell_at
from vosbench.method import Method
from vosbench.methods.munet.losses import bootstrapped_cross_entropy, overlap_loss
from vosbench.methods.munet.motion import NEVER, MotionAwareAttention, MotionUncertaintyLayer
from vosbench.methods.munet.networks import STRIDE, STRIDES, KeyValue, MaskDecoder, QueryEncoder, ReferenceEncoder
from vosbench.nn.resnet import ResNet, normalise
from vosbench.nn.timm_pyramid import TimmPyramid
from vosbench.ops.affinity import window_on_grid
from vosbench.ops.aggregate import aggregated_logits
from vosbench.ops.processes import mean_of_all
from vosbench.ops.tokens import Kernel, Tokens, Usage, read_tokens
from vosbench.settings.checks import below, not_above, not_sizes, outside, refuse
from vosbench.settings.options import Content
from vosbench.util.errors import UserError
from vosbench.video.palette import VOID

Masks = Float[Tensor, "b n h w"]


@dataclass(frozen=True)
class Features:
    """Features of frames: semantic maps at stride 16, Enc-Q's maps at strides 8 and 4, and the normalised images."""

    semantic: Float[Tensor, "b c16 h16 w16"]
    eighth: Float[Tensor, "b c8 h8 w8"]
    quarter: Float[Tensor, "b c4 h4 w4"]
    image: Float[Tensor, "b 3 h w"]

    def take(self, frames: slice) -> "Features":
        return Features(self.semantic[frames], self.eighth[frames], self.quarter[frames], self.image[frames])


@dataclass(frozen=True)
class Memory:
    """A memory entry: the tokens of each object, and the image in half precision.

    The image is for objects that start later, because a frame also needs tokens of objects it does not show.
    """

    tokens: Tokens
    image: Float[Tensor, "1 3 h w"]


class MUNet(Method[Features, Memory]):
    """Reads masks from memory with keys that include the query's motion (section 3; table 4 leaves out parts).

    depth, width     of the residual networks Enc-Q and Enc-R; 50 and 64 are the paper's, the only ones with `network`
    network          a convolutional network of timm in place of the residual ones; null: those
    weights          initial weights of both: imagenet, or a file (of a classifier or Mask R-CNN); null: random ones,
                     the same for both
    freeze_norm      freezes the statistics of batch normalisation; null: only with `weights`
    channels         of a key and of a value
    shared           one key-value layer for query and memory (AFB-URR); False: two (STM)
    decoder_width    channels of the decoder
    motion           makes the MU-layer for maps of that many channels; null: a plain memory network (table 4, a and b)
    fusion           attention: MSAM; add: the motion map is added (table 4, f)
    temperature      of the softmax over tokens, in addition to the division by √channels
    affinity         of a query's key to a token's: dot, the product; l2, minus the squared distance (STCN)
    top_k            tokens of each object that a cell reads, those it matches best (STCN); null: all
    kernel           standard deviation of KMN's Gaussian, in cells: a token is hardly read far from the cell that it
                     matches best; null: it is, however far
    predicted        in training, a frame after the first is remembered with its predicted mask, and the frames after it
                     read it, too (STM); False: all read the first frame alone
    hardest          share of pixels, the hardest, in the cross-entropy (BsCE); 1: all
    overlap          weight λ of the overlap loss; 0: none

    Raises UserError naming the options that make no sense.
    """

    name = "munet"
    supervision = "supervised"
    padding = Padding("centre", (-1.0, -1.0, -1.0))  # distinguished by its sign, zero once normalised
    memory_masks = "soft"
    stride = STRIDE

    def __init__(
        self,
        depth: Literal[18, 50] = 50,
        width: int = 64,
        network: str | None = None,
        weights: Content[str | None] = None,
        freeze_norm: bool | None = None,
        channels: Sequence[int] = (128, 512),
        shared: bool = False,
        decoder_width: int = 256,
        motion: Callable[[int], MotionUncertaintyLayer] | None = None,
        fusion: Literal["attention", "add"] = "attention",
        temperature: float = 1.0,
        affinity: Literal["dot", "l2"] = "dot",
        top_k: int | None = None,
        kernel: float | None = None,
        predicted: bool = False,
        hardest: float = 0.4,
        overlap: float = 1.0,
    ) -> None:
        super().__init__()
        found = not_sizes(2, channels=channels) + below(1, width=width, decoder_width=decoder_width)
        found += below(1, top_k=top_k) + not_above(0, kernel=kernel, temperature=temperature)
        found += below(0, overlap=overlap) + not_above(0, hardest=hardest) + outside(0, 1, hardest=hardest)
        refuse("method", found)
        if network is not None and (depth, width) != (50, 64):
            raise UserError(
                f"method.network={network} leaves depth={depth} and width={width} unused: set method.depth=50 "
                "method.width=64, or method.network=null"
            )
        trunk: Callable[..., ResNet | TimmPyramid] = (
            partial(ResNet, depth, width, STRIDES) if network is None else partial(TimmPyramid, network)
        )
        key, value = channels
        self.query_encoder = QueryEncoder(trunk(weights=weights))
        self.reference_encoder = ReferenceEncoder(trunk(in_channels=4, weights=self.query_encoder.trunk))
        semantic, *skips = self.query_encoder.channels
        self.query_key_value = KeyValue(semantic, key, value)
        self.memory_key_value = self.query_key_value if shared else KeyValue(semantic, key, value)
        self.motion = None if motion is None else motion(semantic)
        self.attention = None if motion is None else MotionAwareAttention(semantic, fusion)
        self.decoder = MaskDecoder(2 * value, skips, decoder_width)
        self.scale = key**-0.5 / temperature
        self.freeze_norm = weights is not None if freeze_norm is None else freeze_norm
        self.distance, self.top_k, self.kernel = affinity == "l2", top_k, kernel
        self.predicted, self.hardest, self.overlap = predicted, hardest, overlap
        self.train()

    def train(self, mode: bool = True) -> "MUNet":
        super().train(mode)
        if self.freeze_norm:
            for module in self.modules():
                if isinstance(module, nn.BatchNorm2d):
                    module.eval()
        return self

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        """Equation 4: the loss of all frames after the first, each read from the first frame and its annotation, and
        with `predicted` from the frames between, too."""
        if clip.labels is None:
            raise UserError("MUNet learns from masks: set data.clips.labels=true, of data that have them")
        masks = [_masks(labels) for labels in clip.labels]
        counts = [each.shape[1] - 1 for each in masks]
        found = self._clip_losses(clip, masks, counts) if any(counts) else [self._nothing()]
        followed = torch.tensor(sum(count > 0 for count in counts), device=clip.frames.device)
        return {name: mean_of_all(torch.stack([terms[name] for terms in found]).sum(), followed) for name in found[0]}

    def _nothing(self) -> dict[str, Tensor]:
        """The terms of clips without objects. There is nothing to follow, but every parameter still needs a
        gradient."""
        zero = 0 * torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        return {"segmentation": zero, "overlap": zero} if self.overlap else {"segmentation": zero}

    def _clip_losses(self, clip: Clip, masks: list[Tensor], counts: list[int]) -> list[dict[str, Tensor]]:
        """The terms of each clip that shows objects: `counts` of them."""
        assert clip.labels is not None
        known = clip.valid & (clip.labels != VOID)
        frames = clip.frames.masked_fill(~clip.valid.unsqueeze(2), -1).flatten(0, 1)
        features, length = self.encode(frames), clip.frames.shape[1]
        # All annotated references in one batch, for batch normalisation.
        firsts = features.image[::length].repeat_interleave(torch.tensor(counts, device=frames.device), 0)
        tokens = self._tokens(firsts, torch.cat([each[0, 1:] for each in masks]).unsqueeze(1))
        found = []
        for index, end in enumerate(accumulate(counts)):
            if count := counts[index]:
                frame = features.take(slice(index * length, (index + 1) * length))
                memory = tokens.of(slice(end - count, end))
                found.append(self._clip_loss(frame, memory, masks[index][1:], known[index, 1:]))
        return found

    def _clip_loss(
        self, frames: Features, memory: Tokens, masks: Float[Tensor, "t n h w"], valid: Bool[Tensor, "t h w"]
    ) -> dict[str, Tensor]:
        """The loss of the frames after the first, whose tokens are `memory`."""
        logits = self._clip_logits(frames, memory)
        terms = {"segmentation": bootstrapped_cross_entropy(logits, masks, valid, self.hardest)}
        if self.overlap:
            terms["overlap"] = self.overlap * overlap_loss(logits.softmax(1), masks, valid)
        return terms

    def _clip_logits(self, frames: Features, memory: Tokens) -> Masks:
        """Of the frames after the first. All are read at once, unless each needs the prediction of the one before."""
        if not self.predicted:
            return self.read_and_decode(frames.take(slice(1, None)), frames.semantic[:-1], [memory])[0]
        found: list[Masks] = []
        remembered = [memory]
        for index in range(1, len(frames.semantic)):
            frame, previous = (frames.take(slice(each, each + 1)) for each in (index, index - 1))
            if found:
                remembered.append(self._tokens(previous.image, found[-1].softmax(1)[:, 1:]))
            found.append(self.read_and_decode(frame, previous.semantic, remembered)[0])
        return torch.cat(found)

    def encode(self, images: Float[Tensor, "b 3 h w"]) -> Features:
        image = normalise(images)
        semantic, eighth, quarter = self.query_encoder(image)
        return Features(semantic, eighth, quarter, image)

    def keys(self, features: Features) -> Float[Tensor, "b c16 h16 w16"]:
        return features.semantic

    def memorize(self, features: Features, masks: Masks) -> Memory:
        return Memory(self._tokens(features.image, masks[:, 1:]), features.image.half())

    def extend(self, value: Memory, count: int) -> Memory:
        nowhere = value.image.new_zeros(1, count, *value.image.shape[2:], dtype=torch.float32)
        return replace(value, tokens=value.tokens.beside(self._tokens(value.image.float(), nowhere)))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Segmented[Features]:
        memory = [entry.value.tokens for entry in context.references]
        logits, usage = self.read_and_decode(query, context.previous.features.semantic, memory)
        return Segmented(logits.softmax(1), usage=usage)

    def intermediate_maps(self, query: Features, context: Context[Features, Memory]) -> dict[str, Visual]:
        """Displacement, uncertainty and attention (figures 5 to 7).

        The colours of uncertainties span their own range, because features without negative values keep them close to
        1.
        """
        if self.motion is None or self.attention is None:
            return {}
        motion = self.motion.estimate(query.semantic, context.previous.features.semantic)
        found: dict[str, Visual] = {
            "displacement": Vectors(motion.displacement[0]),
            "uncertainty": _heat(motion.uncertainty[0, 0], 0),
        }
        attention = self.attention.weights(self.motion(motion))
        return found if attention is None else found | {"attention": Heat(attention[0, 0].float(), 0.0, 1.0, back=0)}

    def matches(
        self, query: Features, context: Context[Features, Memory], pixel: tuple[int, int]
    ) -> list[dict[str, Visual]]:
        """The weights that give the expected displacement, and the slice of the cost volume (figure 3)."""
        if self.motion is None:
            return []
        costs = self.motion.estimate(query.semantic, context.previous.features.semantic).costs
        size = (costs.shape[2], costs.shape[3])
        row, column = cell = cell_at(pixel, STRIDE, size)
        slice_ = costs[0, :, row, column]
        likely = (self.motion.gain * slice_).masked_fill(slice_ == NEVER, -torch.inf).softmax(0)
        weights, seen = window_on_grid(likely, cell, size), window_on_grid(slice_, cell, size)
        matches = Matches(1, seen.isfinite(), weights.nan_to_num())
        return [{"matches in t−1": matches, "cosines in t−1": _heat(seen, 1)}]

    def read_and_decode(
        self, query: Features, previous: Float[Tensor, "b c16 h16 w16"], memory: Sequence[Tokens]
    ) -> tuple[Masks, tuple[Usage | None, ...]]:
        """Logits of all queries' pixels, and the last one's usage of each part of memory; loss and `segment` come here.

        previous   semantic maps of the frame before each query
        memory     shared by all queries
        """
        semantic = query.semantic
        if self.motion is not None and self.attention is not None:
            semantic = self.attention(semantic, self.motion(self.motion.estimate(semantic, previous)))
        key, value = self.query_key_value(semantic)
        b, _, h, w = key.shape
        kernel = None if self.kernel is None else Kernel(self.kernel, w)
        reading = partial(read_tokens, scale=self.scale, distance=self.distance, top_k=self.top_k, kernel=kernel)
        reads = [reading(each, memory) for each in key.flatten(2)]
        objects = torch.stack([read for read, _ in reads]).unflatten(3, (h, w))
        both = torch.cat([objects, value.unsqueeze(1).expand(-1, objects.shape[1], -1, -1, -1)], 2)
        log_odds = self.decoder(both.flatten(0, 1), query.eighth, query.quarter)
        rows, columns = query.image.shape[2:]  # in training, maybe not multiples of the stride
        return aggregated_logits(log_odds.unflatten(0, (b, -1)))[..., :rows, :columns], reads[-1][1]

    def _tokens(self, images: Float[Tensor, "b 3 h w"], masks: Masks) -> Tokens:
        """The tokens of each frame's objects, one per cell."""
        key, value = self.memory_key_value(self.reference_encoder(images, masks))
        return Tokens(key.flatten(2), value.flatten(2))


def _heat(values: Float[Tensor, "h w"], back: int) -> Heat:
    """A heat map over the frame `back` steps before the query, with colours from the lowest to the highest number."""
    known = values[values.isfinite()]
    return Heat(values, known.min().item(), known.max().item(), back)


def _masks(labels: Int[Tensor, "t h w"]) -> Float[Tensor, "t n h w"]:
    """Background and the objects of the first frame; objects that start later are background, and so is void."""
    ids = [id_ for id_ in labels[0].unique().tolist() if id_ not in (0, VOID)]
    objects = (
        torch.stack([labels == id_ for id_ in ids], 1) if ids else labels.new_zeros(len(labels), 0, *labels.shape[1:])
    )
    return torch.cat([~objects.bool().any(1, keepdim=True), objects.bool()], 1).float()
