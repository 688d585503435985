"""Label propagation with the features of a frozen network, as the evaluation scripts of DINO, CRW and others do it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Annotated, Any, Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Clip, Context, Padding
from vosbench.method import Method
from vosbench.methods.features.backbone import Backbone, Colour
from vosbench.methods.features.backbones.function import Function
from vosbench.methods.features.backbones.vit import Positions, Vit
from vosbench.nn.resnet import MEAN
from vosbench.ops.align import resize
from vosbench.ops.matching import MOST_FUSED, match, read
from vosbench.ops.top_k import Ties
from vosbench.ops.windows import Window
from vosbench.settings.checks import below, not_above, refuse
from vosbench.settings.options import Keywords
from vosbench.util.errors import UserError
from vosbench.util.wording import rows_columns

Key = Float[Tensor, "1 c h w"]


@dataclass(frozen=True)
class Features:
    """A frame's features on the grid, of unit norm."""

    key: Key


@dataclass(frozen=True)
class Memory:
    """A memory entry: a frame's features, and the scores of its cells as they came out."""

    key: Key
    masks: Float[Tensor, "1 n h w"]


@dataclass(frozen=True)
class Matching:
    """How cells are compared, which protocols fix.

    mean, std    of the RGB values that the network sees; null: the network's own
    positions    how a ViT's position embedding is resized: dino, as DINO's script does, or timm's way
    temperature, top_k, radius, window, ties  of the affinity: see `ops.matching.global_local_readout`
    frame_0      whole: all cells of frames with a given mask are candidates; window: only those near by

    Raises UserError naming the options that make no sense.
    """

    mean: Colour | None = None
    std: Colour | None = None
    positions: Positions = "timm"
    temperature: float = 0.1
    top_k: int = 5
    radius: float = 12
    window: Window = "square"
    ties: Ties = "topk"
    frame_0: Literal["window", "whole"] = "window"

    def __post_init__(self) -> None:
        colours = {"mean": self.mean, "std": self.std}
        found = [f"{key}={value}: give three numbers" for key, value in colours.items() if value and len(value) != 3]
        found += below(1, top_k=self.top_k) + not_above(0, temperature=self.temperature)
        refuse("matching", found + below(1, radius=self.radius))


class FrozenFeatures(Method[Features, Memory]):
    """Nothing is trained: each cell gets the labels of the cells that it resembles most.

    backbone  the network
    matching  how cells are compared
    stride    pixels per cell; features are interpolated if the network's stride is another. null: the network's
    fused     on a GPU, window, product and choice in one kernel (Triton)

    Raises UserError for a backbone that is none, and for matching that the kernel cannot do.
    """

    name = "features"
    supervision = "none"
    memory_masks = "soft"

    def __init__(
        self,
        backbone: Backbone,
        matching: Annotated[Mapping[str, Any], Keywords(Matching)],
        stride: int | None = None,
        fused: bool = False,
    ) -> None:
        super().__init__()
        refuse("method", below(1, stride=stride))
        self.matching = how = Matching(**matching)
        self.fused = fused
        if fused and (how.ties == "kept" or how.top_k > MOST_FUSED):
            raise UserError(
                f"method.fused=true with matching.ties={how.ties} and top_k={how.top_k}: it keeps no ties, and at most "
                f"{MOST_FUSED} candidates; leave it out, or set matching.ties=topk matching.top_k=5"
            )
        if not isinstance(backbone, nn.Module) or not isinstance(backbone, Backbone):
            raise UserError(f"backbone {type(backbone).__name__} is none: see docs/features.md for what one needs")
        self.backbone = backbone.requires_grad_(False).eval()
        for part in backbone.modules():
            if isinstance(part, Vit):
                part.positions = how.positions
        own = backbone.mean is None or backbone.std is None
        self.mean, self.std = (None, None) if own else (how.mean or backbone.mean, how.std or backbone.std)
        red, green, blue = self.mean or MEAN
        self.padding = backbone.padding or Padding("right-bottom", (red, green, blue))
        self.modules_used = tuple(
            part.module for part in backbone.modules() if isinstance(part, Function) and part.module
        )
        self.cell: int = stride or backbone.stride
        self.stride = math.lcm(self.cell, backbone.stride)

    def train(self, mode: bool = True) -> "FrozenFeatures":
        """Nothing ever changes: normalisation and dropout stay as at inference."""
        return super().train(False)

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        raise UserError("method=features has nothing to train: choose another method")

    def encode(self, images: Float[Tensor, "1 3 h w"]) -> Features:
        """Raises UserError for a network that gives no map, or one of another size than its stride promises."""
        seen = self._normalised(images)
        maps = self.backbone(seen).float()
        size = (images.shape[2] // self.backbone.stride, images.shape[3] // self.backbone.stride)
        if maps.dim() != 4 or tuple(maps.shape[2:]) != size:
            raise UserError(
                f"backbone gives {rows_columns(tuple(maps.shape))} for {rows_columns(tuple(images.shape[2:]))} pixels, "
                f"and not a map of {rows_columns(size)} cells, as its stride {self.backbone.stride} says: choose "
                "another layer, stride or network"
            )
        grid = (images.shape[2] // self.cell, images.shape[3] // self.cell)
        return Features(nnf.normalize(maps if size == grid else resize(maps, grid), dim=1))

    def to_tensor(self, features: Features) -> Key:
        return features.key

    def from_tensor(self, tensor: Key) -> Features:
        return Features(nnf.normalize(tensor, dim=1))

    def keys(self, features: Features) -> Key:
        return features.key

    def memorize(self, features: Features, masks: Float[Tensor, "1 n h w"]) -> Memory:
        return Memory(features.key, masks)

    def extend(self, value: Memory, count: int) -> Memory:
        return replace(value, masks=nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Float[Tensor, "1 n h w"]:
        how = self.matching
        matches = match(
            query.key,
            [entry.value.key for entry in context.references],
            unrestricted=[entry.given and how.frame_0 == "whole" for entry in context.references],
            radius=how.radius,
            temperature=how.temperature,
            top_k=how.top_k,
            window=how.window,
            ties=how.ties,
            fused=self.fused,
        )
        return read(matches, [entry.value.masks for entry in context.references])

    def _normalised(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b 3 h w"]:
        if self.mean is None or self.std is None:
            return images
        mean, std = (torch.tensor(each, device=images.device).view(3, 1, 1) for each in (self.mean, self.std))
        return (images - mean) / std
