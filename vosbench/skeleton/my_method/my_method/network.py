"""Label propagation with features that learn from colours: a network that sees grey frames learns to find each cell's
colour in the frame before (Vondrick et al., Tracking Emerges by Colorizing Videos, ECCV 2018)."""

from dataclasses import dataclass

import torch.nn.functional as nnf
from torch import Tensor, nn

from vosbench.contract import Clip, Context, Padding
from vosbench.method import Method
from vosbench.ops.affinity import local_readout
from vosbench.ops.processes import mean_of_all

STRIDE = 4


@dataclass(frozen=True)
class Features:
    """What `encode` computes of a frame: unit vectors, (b, width, h/4, w/4)."""

    key: Tensor


@dataclass(frozen=True)
class Memory:
    """What is kept of a frame with masks: its features, and the share of each object in each cell, (1, n, h/4, w/4)."""

    key: Tensor
    masks: Tensor


class MyMethod(Method[Features, Memory]):
    """Each cell gets the labels of the cells that it resembles.

    width   channels of the features
    radius  of the search window, in cells
    scale   of cosines before the softmax
    """

    name = "my_method"
    supervision = "self-supervised"
    stride = STRIDE
    padding = Padding("right-bottom", (0.0, 0.0, 0.0))
    memory_masks = "soft"

    def __init__(self, width: int = 64, radius: int = 6, scale: float = 20.0) -> None:
        super().__init__()
        self.radius, self.scale = radius, scale
        self.encoder = nn.Sequential(
            nn.Conv2d(1, width, 5, stride=2, padding=2),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(width, width, 3, padding=1),
        )

    def loss(self, clip: Clip) -> dict[str, Tensor]:
        before, after = clip.frames[:, 0], clip.frames[:, -1]
        colours, wanted = (nnf.avg_pool2d(frame, STRIDE) for frame in (before, after))
        rebuilt = self._read(self.encode(after).key, [self.encode(before).key], [colours])
        seen = nnf.avg_pool2d(clip.valid[:, -1:].float(), STRIDE).eq(1).expand_as(wanted)  # cells without padding
        error = nnf.huber_loss(20 * rebuilt, 20 * wanted, reduction="none")
        return {"colour": mean_of_all(error[seen].sum(), seen.sum())}

    def encode(self, images: Tensor) -> Features:
        grey = images.mean(1, keepdim=True)
        return Features(nnf.normalize(self.encoder(grey).float(), dim=1))

    def memorize(self, features: Features, masks: Tensor) -> Memory:
        return Memory(features.key, nnf.avg_pool2d(masks, STRIDE))

    def extend(self, value: Memory, count: int) -> Memory:
        return Memory(value.key, nnf.pad(value.masks, (0, 0, 0, 0, 0, count)))

    def segment(self, query: Features, context: Context[Features, Memory]) -> Tensor:
        past = [entry.value for entry in context.references]
        scores = self._read(query.key, [each.key for each in past], [each.masks for each in past])
        return nnf.interpolate(scores, scale_factor=STRIDE, mode="bilinear")

    def _read(self, query: Tensor, keys: list[Tensor], values: list[Tensor]) -> Tensor:
        return local_readout(query, keys, values, radius=self.radius, scale=self.scale)
