"""Runs on disk: what makes two of them the same, what their folders are called, and who works on what."""
