"""Differences between the paper and the authors' code, as one set of decisions for each."""

from dataclasses import dataclass
from typing import Literal

Name = Literal["paper", "released"]


@dataclass(frozen=True)
class Variant:
    """Decisions that belong together.

    corner_aligned    masks are resized to stride 8 and back with aligned corners, which puts cells at the far borders 7
                      pixels from their kernels; else cells are at the centres of E's kernels
    fused             V ends a stage earlier and fuses its map with E's last one; else it is built like E
    log_odds_memory   V sees memorized results as log-odds (see `masks.log_odds`); else as probabilities
    supervise_all     in training, each frame of a clip is segmented from those before; else the last from all others
    hard_coarse       in training, V sees the best object of the coarse masks, without gradient; else their scores
    """

    corner_aligned: bool
    fused: bool
    log_odds_memory: bool
    supervise_all: bool
    hard_coarse: bool


VARIANTS: dict[Name, Variant] = {
    "paper": Variant(corner_aligned=False, fused=False, log_odds_memory=False, supervise_all=False, hard_coarse=False),
    "released": Variant(corner_aligned=True, fused=True, log_odds_memory=True, supervise_all=True, hard_coarse=True),
}
