"""vosbench: one benchmark for self-supervised video object segmentation."""

__version__ = "0.1.0"
