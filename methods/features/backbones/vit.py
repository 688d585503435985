"""A vision transformer of timm that sees pictures of any size, with its position embedding resized one way or another.

This module needs timm only where a network is made.
"""

from collections.abc import Sequence
from typing import Any, Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from vosbench.ops.align import resize

Positions = Literal["timm", "dino"]


class Vit(nn.Module):
    """Maps of a timm `VisionTransformer` with a learned position embedding, without its class and register tokens.

    net     made for pictures of one size (not `dynamic_img_size`)
    layers  blocks whose outputs are used, -1 is the last; the channels of several are put one after the other
    norm    whether outputs pass through the final normalisation
    """

    positions: Positions = "timm"

    def __init__(self, net: Any, layers: Sequence[int], norm: bool) -> None:
        super().__init__()
        net.patch_embed.strict_img_size = False
        self.inside = Intermediates(net, layers, norm)
        self.prefix = 0 if net.no_embed_class else net.num_prefix_tokens
        self.grid: tuple[int, int] = net.patch_embed.grid_size
        self.patch = int(net.patch_embed.patch_size[0])

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        size = (images.shape[2] // self.patch, images.shape[3] // self.patch)
        positions = {"net.pos_embed": self._positions(size)}
        maps: Tensor = functional_call(self.inside, positions, (images,))
        return maps

    def _positions(self, size: tuple[int, int]) -> Float[Tensor, "1 tokens c"]:
        """The position embedding for a grid of this size."""
        own: Tensor = self.inside.net.pos_embed
        if size == self.grid:
            return own
        if self.positions == "timm":
            from timm.layers.pos_embed import resample_abs_pos_embed

            resized: Tensor = resample_abs_pos_embed(own, list(size), list(self.grid), self.prefix)
            return resized
        first, grid = own[:, : self.prefix], own[:, self.prefix :].unflatten(1, self.grid).movedim(3, 1)
        # DINO's script adds .1 so that rounding down never loses a cell; the picture is scaled by as much.
        factors = [(cells + 0.1) / known for cells, known in zip(size, self.grid, strict=True)]
        grid = nnf.interpolate(grid, scale_factor=factors, mode="bicubic")
        return torch.cat([first, grid.flatten(2).mT], 1)


class Intermediates(nn.Module):
    """Maps of some stages or blocks of a timm network, with their channels one after the other."""

    def __init__(self, net: nn.Module, layers: Sequence[int], norm: bool) -> None:
        super().__init__()
        self.net: Any = net
        self.layers, self.norm = list(layers), norm

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        maps = self.net.forward_intermediates(images, indices=self.layers, norm=self.norm, intermediates_only=True)
        return _joined(maps)


def _joined(maps: Sequence[Float[Tensor, "b _ _ _"]]) -> Float[Tensor, "b c h w"]:
    """At the size of the largest."""
    size = max(((each.shape[2], each.shape[3]) for each in maps), key=lambda size: size[0])
    return torch.cat([each if tuple(each.shape[2:]) == size else resize(each, size) for each in maps], 1)
