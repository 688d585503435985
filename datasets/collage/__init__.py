"""The embedded data set: photographs that move over photographs, with exact label maps and exact flow."""

from vosbench.datasets.collage.dataset import Collage, CollageVideo

__all__ = ["Collage", "CollageVideo"]
