"""Convolutional block attention (Woo et al. 2018): first over channels, then over positions."""

import torch
from jaxtyping import Float
from torch import Tensor, nn


class CBAM(nn.Module):
    """Scales maps by a factor in (0, 1) per channel, and then by one per position.

    reduction  of channels in the hidden layer of channel attention
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        inside = max(1, channels // reduction)
        self.channels = nn.Sequential(nn.Linear(channels, inside), nn.ReLU(), nn.Linear(inside, channels))
        self.places = nn.Conv2d(2, 1, 7, padding=3)

    def forward(self, maps: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        weights = self.channels(maps.mean((2, 3))) + self.channels(maps.amax((2, 3)))
        scaled = maps * weights.sigmoid()[..., None, None]
        pooled = torch.cat([scaled.amax(1, keepdim=True), scaled.mean(1, keepdim=True)], 1)
        attended: Tensor = scaled * self.places(pooled).sigmoid()
        return attended
