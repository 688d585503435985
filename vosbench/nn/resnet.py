"""Residual networks without their heads (He et al. 2016): feature maps of every stage, with torchvision's names."""

from collections.abc import Sequence
from typing import Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torchvision.models import ResNet18_Weights, ResNet34_Weights, ResNet50_Weights, ResNet101_Weights
from torchvision.models.resnet import BasicBlock, Bottleneck

from vosbench.nn.weight_files import origin_of, read_named, widened
from vosbench.util.errors import HERE, UserError
from vosbench.util.supervision import Supervision
from vosbench.util.wording import some

DEPTHS = {
    18: (BasicBlock, (2, 2, 2, 2), ResNet18_Weights.IMAGENET1K_V1),
    34: (BasicBlock, (3, 4, 6, 3), ResNet34_Weights.IMAGENET1K_V1),
    50: (Bottleneck, (3, 4, 6, 3), ResNet50_Weights.IMAGENET1K_V1),
    101: (Bottleneck, (3, 4, 23, 3), ResNet101_Weights.IMAGENET1K_V1),
}
Depth = Literal[18, 34, 50, 101]
MARK = "layer1.0.conv1.weight"  # its prefix in a file is that of all the network's weights
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet, which torchvision's weights expect


class ResNet(nn.Sequential):
    """The stem and the first stages of a ResNet.

    depth        18 or 34 (basic blocks), 50 or 101 (bottlenecks, with their stride in the 3×3 convolution, as in
                 torchvision)
    width        channels inside of the first stage's blocks, doubled from stage to stage; 64 is the standard network
    strides      one for each of three or four stages; (1, 2, 2, 2) is the standard network. No convolution is dilated
                 where a stride is left out
    in_channels  3 or more: channels after RGB (a mask) start with random weights even if `weights` are given
    weights      null: random; imagenet: torchvision's, trained with labels (downloaded once); else a .pth or
                 .safetensors file (also hf:…) with torchvision's names, or of a network with one such part (Mask
                 R-CNN), whose heads and further stages are left out; or another ResNet, to start as its copy
    stem_bias    whether the first convolution has a bias, as other stems often do

    `learned_from` names the training data of the initial weights, and `supervision` says how they learned. For a
    foreign file only its name is known, and it counts as supervised.

    Raises UserError if weights are missing or do not fit, naming them.
    """

    def __init__(
        self,
        depth: Depth = 18,
        width: int = 64,
        strides: Sequence[int] = (1, 2, 1, 1),
        in_channels: int = 3,
        weights: "str | ResNet | None" = None,
        stem_bias: bool = False,
    ) -> None:
        super().__init__()
        if len(strides) not in (3, 4):
            raise UserError(f"strides={list(strides)} of a ResNet: give one for each of three or four stages")
        block, counts, _ = DEPTHS[depth]
        widths = [width * 2**i for i in range(len(strides))]
        self.stage_channels = tuple(block.expansion * each for each in widths)
        self.add_module("conv1", nn.Conv2d(in_channels, width, 7, 2, 3, bias=stem_bias))
        self.add_module("bn1", nn.BatchNorm2d(width))
        self.add_module("relu", nn.ReLU(inplace=True))
        self.add_module("maxpool", nn.MaxPool2d(3, 2, 1))
        before = (width, *self.stage_channels)
        for i, stride in enumerate(strides):
            self.add_module(f"layer{i + 1}", residual_stage(block, before[i], widths[i], stride, counts[i]))
        self.apply(_initialise)
        self.learned_from: tuple[str, ...] = ()
        self.supervision: Supervision = "none"
        if isinstance(weights, ResNet):
            _load(self, weights.state_dict(), "another ResNet")
            self.learned_from, self.supervision = weights.learned_from, weights.supervision
        elif weights == "imagenet":
            _load(self, _imagenet(depth, width), weights)
            self.learned_from, self.supervision = (weights,), "supervised"
        elif weights is not None:
            state, metadata = _from_file(weights)
            _load(self, state, weights)
            self.learned_from, self.supervision = origin_of(weights, metadata)

    def forward(self, images: Float[Tensor, "b c h w"]) -> list[Float[Tensor, "b _ _ _"]]:
        """Feature maps of all stages, first to last, with `stage_channels`.

        The stride of a stage's map is 4 (the stem's) times the strides up to it; sizes are rounded up.
        """
        # Channels last: bf16 convolutions run several times faster, both on CPUs with matrix units and on GPUs.
        features, maps = images.contiguous(memory_format=torch.channels_last), []
        for name, module in self.named_children():
            features = module(features)
            if name.startswith("layer"):
                maps.append(features)
        return maps


def normalise(images: Float[Tensor, "*b 3 h w"]) -> Float[Tensor, "*b 3 h w"]:
    """RGB in [0, 1] normalised by ImageNet's mean and deviation; padding (negative RGB, see `Padding`) becomes 0."""
    mean, std = (images.new_tensor(each).view(3, 1, 1) for each in (MEAN, STD))
    return ((images - mean) / std).masked_fill((images < 0).all(-3, keepdim=True), 0)


def residual_stage(
    block: type[BasicBlock | Bottleneck], before: int, width: int, stride: int, count: int
) -> nn.Sequential:
    """`count` blocks. The first has the stride, and a 1×1 convolution as its shortcut if the shape changes.

    before   input channels
    width    channels inside the blocks
    """
    after = width * block.expansion
    shortcut = None
    if stride != 1 or before != after:
        shortcut = nn.Sequential(nn.Conv2d(before, after, 1, stride, bias=False), nn.BatchNorm2d(after))
    return nn.Sequential(block(before, width, stride, shortcut), *(block(after, width) for _ in range(count - 1)))


def _initialise(module: nn.Module) -> None:
    """Initialises like torchvision. Batch normalisation starts as the identity anyway."""
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")


def _imagenet(depth: Depth, width: int) -> dict[str, Tensor]:
    if width != 64:
        raise UserError(
            f"{HERE}weights=imagenet are of width 64, not {width}: set {HERE}width=64, or {HERE}weights=null to start "
            "from random ones"
        )
    try:
        downloaded: dict[str, Tensor] = DEPTHS[depth][2].get_state_dict(progress=True, check_hash=True)
    except (OSError, RuntimeError) as error:  # no network; a damaged download
        raise UserError(
            f"ImageNet weights of ResNet-{depth} could not be downloaded ({error}): give a torchvision resnet{depth} "
            f"state dict with {HERE}weights=<file>, or {HERE}weights=null to start anew"
        ) from error
    return downloaded


def _from_file(weights: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    state, metadata = read_named(weights, f"{HERE}weights", "give a torchvision state dict, imagenet, or null")
    marks = [key for key in state if key.endswith(MARK)]
    prefix = marks[0].removesuffix(MARK) if len(marks) == 1 else ""
    return {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}, metadata


def _load(net: ResNet, state: dict[str, Tensor], source: str) -> None:
    """Loads the weights of the network's stages. The file must have all of them and no others in these stages, as a
    deeper network's would."""
    parts = {name for name, _ in net.named_children()}
    own, state = (
        # Frozen normalisation, as in detection networks, counts no batches.
        {key: value for key, value in each.items() if key.split(".")[0] in parts and "num_batches" not in key}
        for each in (net.state_dict(), state)
    )
    state = widened(state, "conv1.weight", own["conv1.weight"])
    misshaped = [key for key in own.keys() & state.keys() if own[key].shape != state[key].shape]
    unfit = {"lacks": own.keys() - state.keys(), "has the unknown": state.keys() - own.keys(), "differs in": misshaped}
    found = [f"it {problem} {some(sorted(keys))}" for problem, keys in unfit.items() if keys]
    if found:
        raise UserError(
            f"{HERE}weights={source} do not fit this ResNet: {'; '.join(found)}; choose its depth and width"
        )
    net.load_state_dict(state, strict=False)
