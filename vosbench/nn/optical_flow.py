"""Optical flow estimators: each frame is encoded once, then flow is estimated between any two encoded frames.

Flow goes from query to reference: the query shows at pixel x what the reference shows at x + flow(x). An estimator is
trained elsewhere and is not part of the method that uses it: neither its parameters nor its checkpoints include it.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeVar

import cv2
import numpy as np
import torch
import torch.nn.functional as nnf
from jaxtyping import Float, UInt8
from torch import Tensor
from torchvision.models.optical_flow import RAFT, Raft_Large_Weights, Raft_Small_Weights, raft_large, raft_small

from vosbench.nn.weight_files import read_named
from vosbench.settings.checks import below, refuse
from vosbench.settings.options import Content
from vosbench.util.errors import UserError
from vosbench.util.hub import local
from vosbench.util.reading import reading
from vosbench.util.supervision import Supervision

# What torchvision's own weights learned from: Raft_Large_Weights.C_T_SKHT_V1 and Raft_Small_Weights.C_T_V2.
TRUE_FLOW = {
    "large": ("FlyingChairs", "FlyingThings3D", "Sintel", "KITTI", "HD1K"),
    "small": ("FlyingChairs", "FlyingThings3D"),
}
S = TypeVar("S")


class FlowEstimator(Protocol[S]):
    """`encode` is called once per frame, `estimate` for any pair.

    `learned_from` names its training data, and `supervision` says how it learned: ground-truth flow is flow-supervised.
    """

    @property
    def supervision(self) -> Supervision: ...

    @property
    def learned_from(self) -> tuple[str, ...]: ...

    def encode(self, image: UInt8[Tensor, "3 h w"]) -> S:
        """Everything `estimate` needs about one RGB frame, as query or as reference."""
        ...

    def estimate(self, query: S, reference: S, *, gap: int, stride: int) -> Float[Tensor, "2 h w"]:
        """Flow (x, y) from query to reference, sampled on cells of `stride` pixels and in units of cells. `gap` is in
        frames."""
        ...


class NoFlow:
    """Zero flow: turns motion-aware matching into plain local matching."""

    supervision: Supervision = "none"
    learned_from: tuple[str, ...] = ()

    def encode(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "h w"]:
        return image[0]

    def estimate(
        self, query: UInt8[Tensor, "h w"], reference: UInt8[Tensor, "h w"], *, gap: int, stride: int
    ) -> Float[Tensor, "2 h2 w2"]:
        return torch.zeros((2, *query[::stride, ::stride].shape), device=query.device)


class Dis:
    """OpenCV's dense inverse search (Kroeger et al. 2016), on the CPU, without weights. `preset`: ultrafast, fast or
    medium."""

    supervision: Supervision = "none"
    learned_from: tuple[str, ...] = ()

    def __init__(self, preset: Literal["ultrafast", "fast", "medium"] = "medium") -> None:
        self.preset = preset

    @cached_property
    def _search(self) -> cv2.DISOpticalFlow:
        return cv2.DISOpticalFlow.create(getattr(cv2, f"DISOPTICAL_FLOW_PRESET_{self.preset.upper()}"))

    def encode(self, image: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "h w"]:
        grey = cv2.cvtColor(image.permute(1, 2, 0).contiguous().cpu().numpy(), cv2.COLOR_RGB2GRAY)
        return torch.from_numpy(grey).to(image.device)

    def estimate(
        self, query: UInt8[Tensor, "h w"], reference: UInt8[Tensor, "h w"], *, gap: int, stride: int
    ) -> Float[Tensor, "2 h2 w2"]:
        full = self._search.calc(query.cpu().numpy(), reference.cpu().numpy(), np.zeros((*query.shape, 2), np.float32))
        sampled = torch.from_numpy(full[::stride, ::stride] / stride)
        return sampled.permute(2, 0, 1).to(query.device)


@dataclass(frozen=True)
class RaftState:
    """One frame's RAFT features at 1/8 resolution, and the frame's size in pixels."""

    features: Float[Tensor, "1 c h w"]
    context: Float[Tensor, "1 d h w"]
    size: tuple[int, int]


class Raft:
    """torchvision's RAFT (Teed and Deng 2020), stopped after a few updates and without convex upsampling, as in MAMP.

    size       "large" (MAMP's) or "small"
    weights    a torchvision state dict, also hf:…; without it, torchvision's own weights are loaded (downloaded once)
    updates    refinement steps; `updates_far` if the gap exceeds `far` frames (15 on DAVIS, 5 on YouTube-VOS)

    All of torchvision's weights learned from ground-truth flow, mostly of rendered video. The name of a file stands for
    its unknown training data. Raises UserError at the first frame if weights are missing, or if a frame is under 128
    pixels on a side.
    """

    supervision: Supervision = "flow-supervised"

    def __init__(
        self,
        size: Literal["large", "small"],
        weights: Content[str | None] = None,
        updates: int = 2,
        updates_far: int = 5,
        far: int = 15,
    ) -> None:
        refuse("flow", below(1, updates=updates, updates_far=updates_far) + below(0, far=far))
        self.size, self.weights = size, weights
        self.learned_from = TRUE_FLOW[size] if weights is None else (local(weights).name,)
        self.updates, self.updates_far, self.far = updates, updates_far, far

    @cached_property
    def net(self) -> RAFT:
        net = (raft_large if self.size == "large" else raft_small)()
        state = _raft_weights(self.size, self.weights)
        with reading(local(self.weights), "flow.weights", _remedy(self.size)) if self.weights else nullcontext():
            net.load_state_dict(state)
        return net.eval().requires_grad_(False)

    def encode(self, image: UInt8[Tensor, "3 h w"]) -> RaftState:
        h, w = image.shape[1:]
        if min(h, w) < 128:
            raise UserError(
                f"flow=raft_{self.size} needs frames of at least 128 pixels a side, not {h}x{w}: use flow=dis"
            )
        net = self.net.to(image.device)
        scaled = nnf.pad(image, (0, -w % 8, 0, -h % 8)).unsqueeze(0) / 127.5 - 1
        return RaftState(net.feature_encoder(scaled), net.context_encoder(scaled), (h, w))

    @torch.no_grad()
    def estimate(self, query: RaftState, reference: RaftState, *, gap: int, stride: int) -> Float[Tensor, "2 h w"]:
        flow = self._refine(query, reference, self.updates_far if gap > self.far else self.updates)
        ratio = 8 // stride
        h, w = flow.shape[-2:]
        flow = ratio * nnf.interpolate(flow, (h * ratio, w * ratio), mode="bilinear", align_corners=True)
        height, width = (-(-side // stride) for side in query.size)
        return flow[0, :, :height, :width].float()

    def _refine(self, query: RaftState, reference: RaftState, updates: int) -> Float[Tensor, "1 2 h w"]:
        net = self.net
        hidden_size = net.update_block.hidden_state_size
        hidden, context = query.context.split([hidden_size, query.context.shape[1] - hidden_size], dim=1)
        hidden, context = hidden.tanh(), context.relu()
        h, w = query.features.shape[-2:]
        start = _cells(h, w, query.features.device)
        now = start.clone()
        with torch.autocast(start.device.type, enabled=False):  # as in the original: correlations in full precision
            net.corr_block.build_pyramid(query.features.float(), reference.features.float())
        for _ in range(updates):
            correlation = net.corr_block.index_pyramid(centroids_coords=now)
            hidden, step = net.update_block(hidden, context, correlation, now - start)
            now = now + step
        return now - start


def _cells(height: int, width: int, device: torch.device) -> Float[Tensor, "1 2 h w"]:
    """The position (x, y) of each cell."""
    axes = (torch.arange(side, device=device, dtype=torch.float32) for side in (height, width))
    y, x = torch.meshgrid(*axes, indexing="ij")
    return torch.stack((x, y)).unsqueeze(0)


def _raft_weights(size: str, weights: str | None) -> dict[str, Tensor]:
    remedy = _remedy(size)
    if weights is None:
        known = Raft_Large_Weights.C_T_SKHT_V1 if size == "large" else Raft_Small_Weights.C_T_V2
        try:
            downloaded: dict[str, Tensor] = known.get_state_dict(progress=True, check_hash=True)
        except OSError as error:
            raise UserError(f"RAFT-{size} weights could not be downloaded ({error}): {remedy}") from error
        return downloaded
    return read_named(weights, "flow.weights", remedy)[0]


def _remedy(size: str) -> str:
    return f"give a torchvision raft_{size} state dict with flow.weights=<file>, or use flow=dis, which needs none"
