"""Motion from the previous frame to the query without optical flow, and how it enhances the query's features."""

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as nnf
from jaxtyping import Float
from torch import Tensor, nn

from vosbench.ops.affinity import local_affinity
from vosbench.settings.checks import below, not_above, refuse

Maps = Float[Tensor, "b d h w"]
NEVER = -2.0  # below every cosine


@dataclass(frozen=True)
class Motion:
    """Where each cell of the query was in the frame before, as far as can be told.

    costs         cosine with each cell of its window there, row-major from the top left corner, in [-1, 1]
    displacement  expected place (x, y) relative to the cell's own, in cells: of the query, backward in time
    uncertainty   the highest cosine, in [-1, 1]. High is certain: the name is the paper's
    """

    costs: Float[Tensor, "b k h w"]
    displacement: Float[Tensor, "b 2 h w"]
    uncertainty: Float[Tensor, "b 1 h w"]


class MotionUncertaintyLayer(nn.Module):
    """The MU-layer (§3.2): cost volume, soft-argmax, highest cost, and the CNN of table 1 on these three numbers.

    channels, reduced  of the semantic maps, and after the 1×1 convolution (null: a quarter, as in the paper)
    radius             of the window, in cells; 12 is the paper's 25×25
    temperature, sign  of the softmax over σ·C/τ that displacements are expected under. similarity: σ = 1, the best
                       match weighs most; paper: σ = -1, as printed, by which it weighs least
    outside            zero: cells outside of the picture have cosine 0; never: they take no part
    detach_previous    no gradient to the frame before
    displaced, uncertain  False: zeros in place of displacement, or of uncertainty (table 4)
    initial            weights that the CNN starts with. torch: PyTorch's, by which hardly any motion comes through its
                       eight layers; he: He et al. 2015, which keep a signal's size
    """

    def __init__(
        self,
        channels: int = 1024,
        reduced: int | None = None,
        radius: int = 12,
        temperature: float = 1.0,
        sign: Literal["similarity", "paper"] = "similarity",
        outside: Literal["zero", "never"] = "zero",
        detach_previous: bool = True,
        displaced: bool = True,
        uncertain: bool = True,
        initial: Literal["torch", "he"] = "torch",
    ) -> None:
        super().__init__()
        refuse("method.motion", not_above(0, temperature=temperature) + below(1, radius=radius, reduced=reduced))
        self.reduce = nn.Conv2d(channels, channels // 4 if reduced is None else reduced, 1)
        self.represent = _representation(channels)
        if initial == "he":
            self.represent.apply(_initialise)
        self.radius, self.outside, self.detach_previous = radius, outside, detach_previous
        self.gain = (1 if sign == "similarity" else -1) / temperature
        self.displaced, self.uncertain = displaced, uncertain

    def estimate(self, query: Maps, previous: Maps) -> Motion:
        """Equations 1 and 2. Always in float32: half precision has but 256 cosines between 0.5 and 1."""
        if self.detach_previous:
            previous = previous.detach()
        with torch.autocast(query.device.type, enabled=False):
            ours, theirs = (nnf.normalize(self.reduce(maps.float()), dim=1) for maps in (query, previous))
            costs = local_affinity(ours, theirs, radius=self.radius, outside=0.0 if self.outside == "zero" else NEVER)
            likely = (self.gain * costs).masked_fill(costs == NEVER, -torch.inf).softmax(1)
            displacement = torch.einsum("bkhw,kc->bchw", likely, self._displacements(costs))
            return Motion(costs, displacement, costs.amax(1, keepdim=True))

    def forward(self, motion: Motion) -> Maps:
        """The motion map F^m: what is known of the motion, brought to the channels of semantic maps."""
        parts = (motion.displacement * self.displaced, motion.uncertainty * self.uncertain)
        found: Tensor = self.represent(torch.cat(parts, 1))
        return found

    def _displacements(self, like: Tensor) -> Float[Tensor, "k 2"]:
        reach = torch.arange(-self.radius, self.radius + 1, device=like.device, dtype=like.dtype)
        y, x = torch.meshgrid(reach, reach, indexing="ij")
        return torch.stack((x, y), 2).flatten(0, 1)


class MotionAwareAttention(nn.Module):
    """MSAM (§3.3): semantic maps, once more where motion says so (`attention`), or plus the motion map (`add`)."""

    def __init__(self, channels: int = 1024, fusion: Literal["attention", "add"] = "attention") -> None:
        super().__init__()
        self.weigh = nn.Conv2d(channels, 1, 1) if fusion == "attention" else None

    def forward(self, semantic: Maps, motion: Maps) -> Maps:
        weights = self.weights(motion)
        return semantic + (motion if weights is None else semantic * weights)

    def weights(self, motion: Maps) -> Float[Tensor, "b 1 h w"] | None:
        """Attention in [0, 1]; None if motion is added."""
        return None if self.weigh is None else self.weigh(motion).sigmoid()


def _representation(channels: int) -> nn.Sequential:
    """Table 1: eight convolutions of stride 1, 98,732 parameters with 1,024 channels."""
    widths, kernels = (3, 3, 16, 16, 32, 32, 32, 64, channels), (7, 1, 3, 1, 3, 1, 3, 1)
    layers: list[nn.Module] = []
    for before, after, kernel in zip(widths, widths[1:], kernels, strict=False):
        layers += [nn.Conv2d(before, after, kernel, padding=kernel // 2), nn.ReLU(inplace=True)]
    return nn.Sequential(*layers[:-1])


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
