"""A file of a ViT's weights, in timm's or DINO's names: everything but the number of heads can be read from it."""

import re
from collections.abc import Mapping, Sequence
from functools import partial
from math import isqrt
from typing import Any

from jaxtyping import Float
from torch import Tensor, nn

from vosbench.contract import Padding
from vosbench.methods.features.backbone import Colour
from vosbench.methods.features.backbones.vit import Vit
from vosbench.nn.resnet import MEAN, STD
from vosbench.nn.timm_networks import fill
from vosbench.nn.weight_files import read_named
from vosbench.settings.options import Content, FileName
from vosbench.util.errors import UserError
from vosbench.util.hub import local
from vosbench.util.supervision import Supervision
from vosbench.util.wording import some

MARK = "patch_embed.proj.weight"  # its prefix in a file is that of all the network's weights
HEAD = 64  # channels of an attention head in nearly all ViTs
REGISTERS = ("reg_token", "register_tokens")  # timm's name, DINOv2's


class VitFile(nn.Module):
    """A vision transformer with the weights of a file.

    file          .pth or .safetensors, also hf:…, with timm's or DINO's names, maybe below `teacher`, `module.` or
                  `backbone.`
    heads         of the attention; null: one for every 64 channels
    layers, norm  see `vit.Vit`
    learned_from  names of the training data; (): the file's name stands for it
    supervision   how the weights learned

    Raises UserError naming the file if it is no ViT's, or one that cannot be built from what it holds.
    """

    mean: Colour | None = MEAN
    std: Colour | None = STD
    padding: Padding | None = None

    def __init__(
        self,
        file: Content[FileName],
        heads: int | None = None,
        layers: Sequence[int] = (-1,),
        norm: bool = True,
        learned_from: Sequence[str] = (),
        supervision: Supervision = "self-supervised",
    ) -> None:
        super().__init__()
        state = _weights(file)
        net = _network(state, heads, file)
        self.vit = Vit(net, layers, norm)
        self.stride = self.vit.patch
        self.learned_from = tuple(learned_from) or (local(file).name,)
        self.supervision = supervision

    def forward(self, images: Float[Tensor, "b 3 h w"]) -> Float[Tensor, "b c h2 w2"]:
        maps: Tensor = self.vit(images)
        return maps


def _weights(file: str) -> dict[str, Tensor]:
    """The network's weights under timm's names."""
    state, _ = read_named(file, "backbone.file", "give a file of weights")
    marks = [key for key in state if key.endswith(MARK)]
    if not marks:
        raise UserError(f"backbone.file={file} holds no ViT (there is no {MARK}): give another file or backbone=")
    prefix = min(marks, key=len).removesuffix(MARK)
    found = {key.removeprefix(prefix): value for key, value in state.items() if key.startswith(prefix)}
    return {key.replace(REGISTERS[1], REGISTERS[0]): value for key, value in found.items()}


def _network(state: Mapping[str, Tensor], heads: int | None, file: str) -> Any:
    """A timm network of the sizes of these weights, and with them."""
    from timm.models.vision_transformer import VisionTransformer

    net = VisionTransformer(**_sizes(state, heads, file))
    fill(net, state, f"backbone.file={file}")
    return net


def _sizes(state: Mapping[str, Tensor], heads: int | None, file: str) -> dict[str, Any]:
    """Keyword arguments of timm's `VisionTransformer`."""
    width, _, patch, _ = state[MARK].shape
    heads = heads or max(1, width // HEAD)
    if width % heads:
        raise UserError(f"backbone.heads={heads} does not divide the {width} channels of {file}: give another number")
    missing = [key for key in ("pos_embed", "blocks.0.mlp.fc1.weight", "blocks.0.norm1.weight") if key not in state]
    if missing:
        raise UserError(f"backbone.file={file} lacks {some(missing)} of a ViT: use backbone=timm with its name")
    has_class, registers = "cls_token" in state, state["reg_token"].shape[1] if "reg_token" in state else 0
    tokens = state["pos_embed"].shape[1]
    only_patches = isqrt(tokens) ** 2 == tokens
    return {
        "img_size": patch * isqrt(tokens if only_patches else tokens - has_class - registers),
        "patch_size": patch,
        "embed_dim": width,
        "depth": 1 + max(int(found[1]) for key in state if (found := re.match(r"blocks\.(\d+)\.", key))),
        "num_heads": heads,
        "mlp_ratio": state["blocks.0.mlp.fc1.weight"].shape[0] / width,
        "qkv_bias": "blocks.0.attn.qkv.bias" in state,
        "init_values": 1.0 if "blocks.0.ls1.gamma" in state else None,
        "class_token": has_class,
        "reg_tokens": registers,
        "no_embed_class": only_patches,
        "pre_norm": "norm_pre.weight" in state,
        "final_norm": "norm.weight" in state,
        "num_classes": 0,
        "global_pool": "",
        "norm_layer": partial(nn.LayerNorm, eps=1e-6),
    }
