"""The paper's own correspondence loss: short-term consistency and long-term dependency under a random Φ (section
3.2)."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as nnf
from jaxtyping import Bool, Float, Int
from torch import Tensor

from vosbench.contract import Clip
from vosbench.methods.mask_embedding.correspondence import Encoder, full_precision, padded_frames, picture_cells
from vosbench.methods.mask_embedding.views import draw_views
from vosbench.ops.processes import mean_of_all
from vosbench.settings.checks import below, not_above, outside, refuse

IGNORED = -100  # label of a cell that is not counted
NEVER = -1e9  # logit of a cell that cannot be matched; finite, so that a frame of padding alone gives no NaN


@dataclass(frozen=True)
class Cells:
    """The cells of feature maps, flattened: keys of unit norm, and which of them show the picture."""

    keys: Float[Tensor, "n k c"]
    valid: Bool[Tensor, "n k"]

    def __getitem__(self, which: Int[Tensor, " m"]) -> "Cells":
        return Cells(self.keys[which], self.valid[which])


@dataclass(frozen=True)
class Contrastive:
    """L_Corr = short · L_Short + long · L_Long (eq. 12, 15, 16), each the mean over its valid cells.

    Every frame is encoded twice, unchanged and under its own Φ, and both terms share these encodings. A term of weight
    0 is left out; a term without pairs in the batch is 0.

    temperature   of all softmaxes (the paper has none; the authors' code uses .05)
    short, long   λ1 and λ2 (section 3.3)
    min_gap       smallest distance of a long-term pair, in frames of the video (section 3.2); the pairs of L_Short are
                  nearest neighbours in the clip
    step          compare only every `step`-th cell along rows and columns. 1: all, so that a cell's neighbours are also
                  negatives (the paper); more: only distant cells are (the authors' code has 8×8 anchors)
    scale, flip   of Φ: see `views.draw_views`
    """

    lab: ClassVar[bool] = False
    temperature: float = 0.05
    short: float = 0.1
    long: float = 0.5
    min_gap: int = 5
    step: int = 1
    scale: Sequence[float] = (0.5, 1.0)
    flip: float = 0.5

    def __post_init__(self) -> None:
        found = not_above(0, temperature=self.temperature) + below(0, short=self.short, long=self.long)
        if self.short == self.long == 0:
            found.append("short=0, long=0: give one of them more than 0")
        found += below(1, step=self.step) + below(0, min_gap=self.min_gap) + outside(0, 1, flip=self.flip)
        if len(self.scale) != 2 or not 0 < self.scale[0] <= self.scale[1]:
            found.append(f"scale={list(self.scale)}: give the least and the most that is shown, above 0")
        refuse("method.correspondence", found)

    def __call__(
        self, encoder: Encoder, clip: Clip, keys: Float[Tensor, "n c h8 w8"] | None = None
    ) -> dict[str, Tensor]:
        frames = padded_frames(clip)
        images = frames.flatten(0, 1)  # frame t of clip b is number b·T + t
        size = (images.shape[2], images.shape[3])
        view = draw_views(clip.draws(), len(images), size, self.scale, self.flip, images.device)
        maps, cells = (encoder(images) if keys is None else keys).float(), picture_cells(images)
        seen = view.images(images)
        plain, equivariant = self._cells(maps, cells), self._cells(encoder(seen).float(), picture_cells(seen))
        terms = {}
        with full_precision(maps):
            if self.short > 0:
                first = neighbours(clip.indices).to(maps.device)
                following = self._cells(*view.take(first).keys(maps[first + 1], cells[first + 1]))
                terms["short"] = self.short * short_term(equivariant[first], following, self.temperature)
            if self.long > 0:
                anchor, distant = far_pairs(clip.indices, self.min_gap).to(maps.device)
                transformed = self._cells(*view.keys(maps, cells))[distant]
                terms["long"] = self.long * long_term(
                    plain[anchor], equivariant[distant], transformed, self.temperature
                )
        return terms

    def _cells(self, maps: Float[Tensor, "n c h w"], valid: Bool[Tensor, "n h w"]) -> Cells:
        chosen = slice(None, None, self.step)
        return Cells(maps[..., chosen, chosen].flatten(2).mT, valid[:, chosen, chosen].flatten(1))


def neighbours(indices: Int[Tensor, "b t"]) -> Int[Tensor, " m"]:
    """Numbers b·T + t of the frames whose successor in the clip is nearest in time."""
    steps = indices.diff(dim=1).abs()  # clips may run backwards
    clip, first = (steps == steps.amin(1, keepdim=True)).nonzero().unbind(1)
    return first + clip * indices.shape[1]


def far_pairs(indices: Int[Tensor, "b t"], min_gap: int) -> Int[Tensor, "2 m"]:
    """Pairs of frame numbers b·T + t of the same clip whose indices in the video differ by at least `min_gap`, in both
    orders."""
    far = (indices.unsqueeze(2) - indices.unsqueeze(1)).abs() >= max(min_gap, 1)
    clip, first, second = far.nonzero().unbind(1)
    return torch.stack((first, second)) + clip * indices.shape[1]


def short_term(equivariant: Cells, transformed: Cells, temperature: float) -> Float[Tensor, ""]:
    """Equation 12. `equivariant`: E(Φ(I_t)); `transformed`: Φ(E(I_t+1)). Cell k of one should match cell k of the
    other."""
    labels = torch.arange(equivariant.keys.shape[1], device=equivariant.keys.device).expand(equivariant.valid.shape)
    return _contrast(transformed, equivariant, labels, transformed.valid & equivariant.valid, temperature)


def long_term(anchor: Cells, equivariant: Cells, transformed: Cells, temperature: float) -> Float[Tensor, ""]:
    """Equations 14 and 15. `anchor`: E(I_t); `equivariant`: E(Φ(I_t')), which chooses the cell of the anchor that
    `transformed`, Φ(E(I_t')), should match. The choice passes no gradient."""
    with torch.no_grad():
        similarity = equivariant.keys @ anchor.keys.mT
        labels = similarity.masked_fill(~anchor.valid.unsqueeze(1), -torch.inf).argmax(2)
    return _contrast(transformed, anchor, labels, transformed.valid & equivariant.valid, temperature)


def _contrast(
    queries: Cells, keys: Cells, labels: Int[Tensor, "n k"], counted: Bool[Tensor, "n k"], temperature: float
) -> Float[Tensor, ""]:
    """Cross-entropy of each counted query against all valid keys of its pair of frames: the mean over all pairs, or 0
    if there are none."""
    unseen = torch.zeros_like(keys.keys[..., 0]).masked_fill(~keys.valid, NEVER)
    logits = torch.baddbmm(unseen.unsqueeze(1), queries.keys / temperature, keys.keys.mT)
    labels = labels.masked_fill(~counted, IGNORED)
    total = nnf.cross_entropy(logits.flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="sum")
    return mean_of_all(total, counted.sum())
