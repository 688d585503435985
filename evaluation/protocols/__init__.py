"""Scoring protocols, one per file: which frames and objects count, how they are scored, and the form of submissions."""

# Packages that hold protocols; folders of one's own (`--config-dir`) add theirs.
PACKAGES = [__name__]
