"""Layers and networks that methods share, and reading weight files. Nothing here depends on methods or data sets."""
