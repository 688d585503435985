"""Cycle consistency as a correspondence loss: CRW's random walks on palindromes of a clip (Jabri et al. 2020)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float
from torch import Tensor

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.correspondence import Encoder, full_precision, padded_frames, picture_cells
from vosbench.ops.draws import Draws
from vosbench.ops.processes import mean_of_all
from vosbench.settings.checks import below, not_above, refuse
from vosbench.util.errors import UserError

TINY = 1e-20  # keeps the logarithm of a walk that never returns finite


@dataclass(frozen=True)
class Cycle:
    """A random walk from each node of frame 0 to frame k and back should end where it began. The mean over k ≥ 1.

    A node is the mean key of patch × patch cells, normalised, and there is one every `step` cells. The defaults are
    CRW's patches of 64 pixels every 32: a 7 × 7 grid on 256 pixels.

    temperature   of the transition probabilities
    dropout       share of the edges that a walk cannot take, drawn for each transition
    """

    lab: ClassVar[bool] = False
    temperature: float = 0.05
    dropout: float = 0.1
    patch: int = 8
    step: int = 4
    weight: float = 1.0

    def __post_init__(self) -> None:
        found = not_above(0, temperature=self.temperature) + below(0, weight=self.weight)
        found += below(1, patch=self.patch, step=self.step)
        if not 0 <= self.dropout < 1:
            found.append(f"dropout={self.dropout}: give 0 or more and less than 1")
        refuse("method.correspondence", found)

    def __call__(
        self, encoder: Encoder, clip: Clip, keys: Float[Tensor, "n c h8 w8"] | None = None
    ) -> dict[str, Tensor]:
        frames = padded_frames(clip)
        keys = (encoder(frames.flatten(0, 1)) if keys is None else keys).float()
        with full_precision(keys):
            nodes = self._nodes(keys).unflatten(0, frames.shape[:2])
            loss = self._round_trips(nodes, self._whole(picture_cells(frames[:, 0])), clip.draws())
        return {"cycle": self.weight * loss}

    def _nodes(self, keys: Float[Tensor, "n c h w"]) -> Float[Tensor, "n m c"]:
        h, w = keys.shape[-2:]
        if min(h, w) < self.patch or max(h, w) < self.patch + self.step:
            raise UserError(
                f"method.correspondence: fewer than 2 nodes of patch={self.patch}, step={self.step} fit on {h}×{w} "
                "cells of 8 pixels: use smaller ones, or a larger data.clips.size"
            )
        return nnf.normalize(nnf.avg_pool2d(keys, self.patch, self.step).flatten(2).mT, dim=2)

    def _whole(self, cells: Bool[Tensor, "b h w"]) -> Bool[Tensor, "b m"]:
        """Nodes without padding, the only ones at which walks start."""
        return -nnf.max_pool2d(-cells.float(), self.patch, self.step).flatten(1) > 0

    def _round_trips(
        self, nodes: Float[Tensor, "b t m c"], start: Bool[Tensor, "b m"], draws: Draws
    ) -> Float[Tensor, ""]:
        """Cross-entropy between every palindrome's transition matrix and the identity, over the start nodes."""
        there = back = torch.eye(nodes.shape[2], device=nodes.device).expand(len(nodes), -1, -1)
        losses = []
        for here, following in zip(nodes.unbind(1), nodes[:, 1:].unbind(1), strict=False):
            affinity = here @ following.mT / self.temperature
            there = there @ self._transition(affinity, draws)
            back = self._transition(affinity.mT, draws) @ back
            home = (there @ back).diagonal(dim1=1, dim2=2)
            losses.append(mean_of_all(-((home + TINY).log() * start).sum(), start.sum()))
        return torch.stack(losses).mean()

    def _transition(self, affinity: Float[Tensor, "b m m2"], draws: Draws) -> Float[Tensor, "b m m2"]:
        """Transition probabilities over the edges that dropout leaves; uniform if it leaves none."""
        if self.dropout > 0:
            gone = (draws.rand(*affinity.shape) < self.dropout).to(affinity.device)
            affinity = affinity.masked_fill(gone, torch.finfo(affinity.dtype).min)
        return affinity.softmax(2)
