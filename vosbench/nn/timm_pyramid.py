"""Maps at strides 4, 8 and 16 of convolutional networks of timm."""

from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.nn.resnet import MEAN, STD
from vosbench.nn.timm_networks import fill, origin_of_tag, takes_any_size, timm_network
from vosbench.nn.weight_files import origin_of, read_named, widened
from vosbench.util.errors import HERE, UserError
from vosbench.util.supervision import Supervision

STRIDES = (4, 8, 16)


class TimmPyramid(nn.Module):
    """The stages of a network of timm with strides 4, 8 and 16, the last of each stride. It stands in for a `ResNet`,
    and works in float32 whatever the precision.

    name         as timm calls it
    in_channels  3 or more: channels after RGB (a mask) start with random weights
    weights      null: random; imagenet: timm's for this name (downloaded once), whose tag says what they learned from;
                 else a .pth or .safetensors file (also hf:…) with timm's names; or another pyramid of this name, to
                 start as its copy

    `learned_from` and `supervision` are those of the weights; a file counts as supervised unless it says otherwise.

    Raises UserError for unknown names, for networks without such stages, and if weights are missing or do not fit.
    """

    scale: Tensor
    offset: Tensor

    def __init__(self, name: str, in_channels: int = 3, weights: "str | TimmPyramid | None" = None) -> None:
        super().__init__()
        remedy = f"give a file with {HERE}weights=<file>, or {HERE}weights=null for random weights"
        pretrained = weights == "imagenet"
        self.net = timm_network(name, f"{HERE}network", remedy, pretrained=pretrained, in_chans=in_channels)
        self.layers, self.stage_channels = _stages(self.net, name)
        self.net.prune_intermediate_layers(self.layers)
        self.register_buffer("scale", _channels(_ratios(self.net), in_channels, 1), persistent=False)
        self.register_buffer("offset", _channels(_offsets(self.net), in_channels, 0), persistent=False)
        self.learned_from: tuple[str, ...] = ()
        self.supervision: Supervision = "none"
        if isinstance(weights, TimmPyramid):
            self._fill(weights.net.state_dict(), "another network")
            self.learned_from, self.supervision = weights.learned_from, weights.supervision
        elif pretrained:
            self.learned_from, self.supervision = origin_of_tag(self.net.pretrained_cfg["tag"] or name)
        elif weights is not None:
            state, metadata = read_named(weights, f"{HERE}weights", "give a file of weights, imagenet, or null")
            self._fill(state, f"{HERE}weights={weights}")
            self.learned_from, self.supervision = origin_of(weights, metadata)

    def forward(self, images: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Maps with `stage_channels`, of RGB normalised by ImageNet's mean and deviation (`resnet.normalise`)."""
        images = (images.float() * self.scale + self.offset).contiguous(memory_format=torch.channels_last)
        # In bf16, J&F of munet_small moved by more than a point: docs/performance.md.
        with torch.autocast(images.device.type, enabled=False):
            maps: list[Tensor] = self.net.forward_intermediates(
                images, self.layers, intermediates_only=True, stop_early=True
            )
        return maps

    def _fill(self, state: dict[str, Tensor], source: str) -> None:
        """Loads the weights of the stages; channels of the input that they do not know keep their random ones."""
        first, kernel = next((key, value) for key, value in self.net.state_dict().items() if value.ndim == 4)
        fill(self.net, widened(state, first, kernel), source)


def _stages(net: Any, name: str) -> tuple[list[int], tuple[int, ...]]:
    """Indices and channels of the last stages of each stride."""
    if not takes_any_size(net):
        raise UserError(
            f"{HERE}network={name} takes pictures of one size alone: choose a convolutional network, such as "
            "tf_efficientnet_lite0"
        )
    known = getattr(net, "feature_info", [])
    last = {each["reduction"]: i for i, each in enumerate(known)}
    if not hasattr(net, "prune_intermediate_layers") or any(stride not in last for stride in STRIDES):
        raise UserError(
            f"{HERE}network={name} has no stages of strides 4, 8 and 16: choose a convolutional network, such as "
            "tf_efficientnet_lite0"
        )
    layers = [last[stride] for stride in STRIDES]
    return layers, tuple(known[layer]["num_chs"] for layer in layers)


def _ratios(net: Any) -> list[float]:
    return [ours / its for ours, its in zip(STD, net.pretrained_cfg["std"], strict=True)]


def _offsets(net: Any) -> list[float]:
    config = net.pretrained_cfg
    return [(ours - its) / std for ours, its, std in zip(MEAN, config["mean"], config["std"], strict=True)]


def _channels(colours: list[float], count: int, other: float) -> Float[Tensor, "c 1 1"]:
    """Factors of red, green and blue, and `other` of the further channels."""
    return torch.tensor([*colours, *[other] * (count - 3)]).view(-1, 1, 1)
