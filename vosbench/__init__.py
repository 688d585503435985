"""vosbench: one benchmark for self-supervised video object segmentation.

segmenter = vosbench.load("mamp")
labels = segmenter.step(frame, mask)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from vosbench.api import Segmenter, evaluate, load

__version__ = "0.1.0"
__all__ = ["Segmenter", "evaluate", "load"]


def __getattr__(name: str) -> Any:
    """Imports what is asked for only then: the command line starts without torch."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("vosbench.api"), name)
