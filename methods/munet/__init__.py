"""MUNet: motion uncertainty-aware semi-supervised VOS (Sun et al. 2023)."""
