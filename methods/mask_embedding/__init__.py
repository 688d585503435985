"""Unified mask embedding and correspondence learning for self-supervised VOS (Li et al. 2023)."""
