"""Scoring protocols, one a file: which frames and objects count, how, and what is asked of predictions."""
