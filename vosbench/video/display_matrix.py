"""The display matrix of a video: how its frames are turned and mirrored to be shown. Players and ffmpeg do so too."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import UInt8

from vosbench.video.video import Image

if TYPE_CHECKING:
    from av.video.frame import VideoFrame


class Turn(NamedTuple):
    """What is done to a stored frame, in this order, to show it.

    transposed  rows and columns change places
    mirrored    the order of the columns is reversed
    flipped     the order of the rows is reversed
    """

    transposed: bool = False
    mirrored: bool = False
    flipped: bool = False

    @classmethod
    def of(cls, frame: VideoFrame) -> Turn:
        """The turn that a frame's display matrix asks for. Other angles count as the nearest quarter turn."""
        try:
            matrix: Any = frame.side_data.get("DISPLAYMATRIX")
        except ValueError:  # the frame has side data of a kind that PyAV does not know: it still tells the rotation
            return cls._by_angle(getattr(frame, "rotation", 0))
        return cls() if matrix is None else cls.by_matrix(*struct.unpack("=5i", bytes(matrix)[:20]))

    @classmethod
    def by_matrix(cls, a: int, b: int, _: int, c: int, d: int) -> Turn:
        """Of the matrix that shows the pixel in column x and row y in column ax + cy and row bx + dy."""
        if abs(a) + abs(d) >= abs(b) + abs(c):
            return cls(False, a < 0, d < 0)
        return cls(True, c < 0, b < 0)

    @classmethod
    def _by_angle(cls, degrees: int) -> Turn:
        """Of a rotation, counter-clockwise."""
        return (cls(), cls(True, False, True), cls(False, True, True), cls(True, True, False))[round(degrees / 90) % 4]

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """(height, width) of the frame as it is shown."""
        return (frame.width, frame.height) if self.transposed else (frame.height, frame.width)

    def apply(self, image: Image) -> UInt8[np.ndarray, "shown_h shown_w 3"]:
        """The stored image as it is shown."""
        image = image.transpose(1, 0, 2) if self.transposed else image
        return np.ascontiguousarray(image[:: -1 if self.flipped else 1, :: -1 if self.mirrored else 1])

    def __str__(self) -> str:
        """In words: "mirrored left to right", for example."""
        return _WORDS[self]


_WORDS = {
    Turn(False, False, False): "upright",
    Turn(False, True, False): "mirrored left to right",
    Turn(False, False, True): "mirrored top to bottom",
    Turn(False, True, True): "turned by 180°",
    Turn(True, False, False): "mirrored at the diagonal",
    Turn(True, True, False): "turned clockwise by 90°",
    Turn(True, False, True): "turned counter-clockwise by 90°",
    Turn(True, True, True): "mirrored at the other diagonal",
}
