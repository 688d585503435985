"""Where the authors' code does otherwise than the paper says: one set of decisions for each."""

from dataclasses import dataclass
from typing import Literal

Name = Literal["paper", "released"]


@dataclass(frozen=True)
class Variant:
    """Decisions that belong together.

    corner_aligned    masks are taken to stride 8 and back from corner to corner, by which cells at the far borders lie
                      7 pixels from their kernels; else at the centres of E's kernels
    fused             V ends a stage earlier and takes in E's last map; else it is built like E
    log_odds_memory   V sees results that are memorized as log-odds (see `method.log_odds`); else as probabilities
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
