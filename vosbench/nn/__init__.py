"""Layers and networks that methods share. Nothing here knows of methods, data sets or configuration."""
