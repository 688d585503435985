"""Images as PNG and JPEG files in memory, and videos as mp4 files."""

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image as Pillow

from vosbench.drawing.overlays import Image, Picture
from vosbench.util.errors import UserError
from vosbench.util.files import replacing


def write_video(path: Path, frames: Iterable[Picture], fps: float = 24) -> None:
    """RGB frames of one size as an mp4: H.264 if PyAV has it, otherwise MPEG-4. The file is never half written.

    An odd last row or column is dropped, since these codecs store colour at half size. Raises UserError if there are no
    frames or their sizes differ.
    """
    with replacing(path) as aside:
        _encode(aside, frames, fps, path)


def _encode(aside: Path, frames: Iterable[Picture], fps: float, path: Path) -> None:
    from fractions import Fraction

    import av

    with av.open(str(aside), "w", format="mp4") as container:
        stream: Any = None
        for frame in frames:
            even = frame[: frame.shape[0] // 2 * 2, : frame.shape[1] // 2 * 2]
            if stream is None:
                codec = "libx264" if "libx264" in av.codecs_available else "mpeg4"
                stream = container.add_stream(codec, rate=Fraction(fps).limit_denominator(1001))
                stream.height, stream.width = even.shape[:2]
                stream.pix_fmt = "yuv420p"
                stream.options = {"crf": "20"} if codec == "libx264" else {"qscale:v": "3"}
            if even.shape[:2] != (stream.height, stream.width):
                raise UserError(f"video {path}: frame of {frame.shape[:2]} after one of {stream.height}×{stream.width}")
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        if stream is None:
            raise UserError(f"video {path}: there are no frames to write")
        container.mux(stream.encode())


def png_bytes(image: Image) -> bytes:
    """An RGB image as a PNG file's bytes."""
    return _file_bytes(image, format="PNG", optimize=True)


def jpeg_bytes(image: Image, quality: int = 85, *, progressive: bool = False) -> bytes:
    """An RGB image as a JPEG file's bytes, for reports and documents that should stay small. `progressive`: a little
    smaller still."""
    return _file_bytes(image, format="JPEG", quality=quality, optimize=True, progressive=progressive)


def _file_bytes(image: Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, **options)
    return buffer.getvalue()
