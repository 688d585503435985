"""Scoring protocols, one per file: which frames and objects count, how they are scored, and the form of submissions."""
