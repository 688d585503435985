"""Pictures of label maps, flow and scores: pure functions from arrays to RGB images, files in memory, and videos.

matplotlib is used through Figure objects only, so nobody's backend or settings change.
"""

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image as Pillow
from PIL import ImageDraw, ImageFont

from vosbench.files import replacing
from vosbench.images import PALETTE, VOID

Image = UInt8[np.ndarray, "h w 3"]
Picture = UInt8[np.ndarray, "_ _ 3"]  # an image whose size need not be that of the others
LabelMap = UInt8[np.ndarray, "h w"]

COLOURS = np.array(PALETTE, np.uint8).reshape(256, 3)
TEXT, PAPER = (30, 30, 30), (255, 255, 255)
LINE, DOT = (215, 58, 73), (255, 225, 25)
HIT, MISSED, FALSE = (46, 160, 67), (215, 58, 73), (255, 171, 25)


def label_image(labels: LabelMap) -> Image:
    """A label map in the colours of the VOC palette."""
    return np.take(COLOURS, labels, axis=0)


def overlay(image: Image, labels: LabelMap, opacity: float = 0.5, boundary: bool = True) -> Image:
    """Objects tinted in their palette colours; background and void stay as they are. `boundary`: with a contour."""
    tint = np.where((labels == 0) | (labels == VOID), 0.0, opacity)[..., None]
    mixed = np.rint(image * (1 - tint) + COLOURS[labels] * tint).astype(np.uint8)
    if boundary:
        edge = _contour(labels, max(1, round(min(labels.shape) / 240)))
        mixed[edge] = COLOURS[labels[edge]]
    return np.asarray(mixed, np.uint8)


def _contour(labels: LabelMap, width: int) -> Bool[np.ndarray, "h w"]:
    """Pixels of objects at most `width` from something with another label."""
    import cv2

    kernel = np.ones((2 * width + 1, 2 * width + 1), np.uint8)
    edge = cv2.dilate(labels, kernel) != cv2.erode(labels, kernel)
    return np.asarray(edge & (labels != 0) & (labels != VOID))


def error_map(annotation: LabelMap, prediction: LabelMap, image: Image | None = None) -> Image:
    """Right object pixels green, missed ones red, false ones orange (another object's label counts as missed).

    On the picture in grey if there is one, otherwise on white.
    """
    if image is None:
        out = np.full((*annotation.shape, 3), 245, np.uint8)
    else:
        grey = image.mean(2, keepdims=True)
        out = np.rint(np.repeat(60 + 0.6 * grey, 3, axis=2)).astype(np.uint8)
    truth = np.where(annotation == VOID, 0, annotation)
    out[(truth == prediction) & (truth != 0)] = HIT
    out[(truth != prediction) & (truth != 0)] = MISSED
    out[(truth == 0) & (prediction != 0)] = FALSE
    return out


def flow_colours(flow: Float[np.ndarray, "h w 2"], largest: float | None = None) -> Image:
    """Flow (x, y) on a colour wheel: hue is direction, saturation is length, white is rest, and grey is NaN.

    To the right is red, down yellow-green, left cyan, up violet. `largest`: the length, in the flow's unit, drawn in
    full colour; default: the 99th percentile, so that one wrong vector does not make the rest pale.
    """
    known = np.isfinite(flow).all(-1)
    x, y = np.where(known, flow[..., 0], 0.0), np.where(known, flow[..., 1], 0.0)
    length = np.hypot(x, y)
    if largest is None:
        largest = float(np.percentile(length[known], 99)) if known.any() else 1.0
    share = np.clip(length / max(largest, 1e-6), 0, 1)[..., None]
    # Three cosines a third of a turn apart: every direction has its own colour, and none looks like a border.
    angle = np.arctan2(y, x)[..., None] - np.array([0, 1, 2]) * 2 * np.pi / 3
    hue = np.clip(0.5 + 0.6 * np.cos(angle), 0, 1)
    colours = np.rint(255 * (1 - share * (1 - hue))).astype(np.uint8)
    return np.where(known[..., None], colours, np.uint8(150))


def heat_colours(values: Float[np.ndarray, "h w"], low: float, high: float) -> Image:
    """Numbers in colours (viridis): dark blue for `low` and below, green half way, yellow for `high` and above, and
    grey for NaN."""
    import matplotlib

    share = np.clip((values - low) / max(high - low, 1e-12), 0, 1)
    colours = matplotlib.colormaps["viridis"](np.nan_to_num(share), bytes=True)[..., :3]
    return np.where(np.isfinite(values)[..., None], colours, np.uint8(150))


def heat_overlay(
    image: Image, values: Float[np.ndarray, "h w"], low: float, high: float, opacity: float = 0.6
) -> Image:
    """Numbers in heat colours over the picture in grey; where they are NaN it stays as it is, and a line parts the
    two."""
    grey = image.mean(2, keepdims=True)
    mixed = np.rint(grey * (1 - opacity) + heat_colours(values, low, high) * opacity).astype(np.uint8)
    known = np.isfinite(values)
    return outlined(np.where(known[..., None], mixed, image), known)


def outlined(image: Image, where: Bool[np.ndarray, "h w"]) -> Image:
    """A red line around these pixels, outside of them; there is none around holes, nor at the picture's own border."""
    import cv2

    filled = where.astype(np.uint8)
    borders, _ = cv2.findContours(filled, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    cv2.drawContours(filled, borders, -1, 1, cv2.FILLED)
    width = max(1, round(min(where.shape) / 160))
    line = (cv2.dilate(filled, np.ones((2 * width + 1, 2 * width + 1), np.uint8)) > 0) & (filled == 0)
    return np.where(line[..., None], np.array(LINE, np.uint8), image)


def dotted(image: Image, points: Sequence[tuple[float, float]], radii: Sequence[float]) -> Image:
    """Yellow dots with a dark rim at these places (x, y), the largest first, so that none is hidden whole."""
    import cv2

    drawn = image.copy()
    for radius, (x, y) in sorted(zip(radii, points, strict=True), reverse=True):
        centre = (round(16 * x), round(16 * y))  # in sixteenths of a pixel: shift=4
        cv2.circle(drawn, centre, round(16 * radius), DOT, cv2.FILLED, cv2.LINE_AA, shift=4)
        cv2.circle(drawn, centre, round(16 * radius), TEXT, 1, cv2.LINE_AA, shift=4)
    return drawn


def crosshair(image: Image, point: tuple[float, float]) -> Image:
    """Four white strokes with a dark rim around this place (x, y), which stays free."""
    import cv2

    drawn, size = image.copy(), max(9, round(min(image.shape[:2]) / 20))
    x, y = round(point[0]), round(point[1])
    for colour, width in ((TEXT, size // 10 + 3), (PAPER, size // 10 + 1)):
        for right, down in ((1, 0), (-1, 0), (0, 1), (0, -1)):
            start, end = ((x + right * far, y + down * far) for far in (size // 2, size + size // 4))
            cv2.line(drawn, start, end, colour, width, cv2.LINE_AA)
    return drawn


def contact_sheet(
    rows: Sequence[Sequence[Picture]],
    titles: Sequence[str] | None = None,
    row_titles: Sequence[str] | None = None,
    width: int = 1200,
    captions: Sequence[Sequence[str]] | None = None,
) -> Picture:
    """Rows of equally many images on white paper, `width` pixels wide: `titles` above, `row_titles` to the left.

    Each image is resized to its column's width; a row is as high as its highest image. `captions`: one above each
    image. Raises ValueError for rows, titles or captions of unequal numbers.
    """
    count = len(rows[0]) if rows else 0
    if not count or any(len(row) != count for row in rows):
        raise ValueError(f"a contact sheet needs rows of equally many images, not {[len(row) for row in rows]}")
    if (titles is not None and len(titles) != count) or (row_titles is not None and len(row_titles) != len(rows)):
        raise ValueError(f"a contact sheet of {len(rows)} rows and {count} columns needs as many titles")
    if captions is not None and [len(row) for row in captions] != [count] * len(rows):
        raise ValueError(f"a contact sheet of {len(rows)} rows and {count} columns needs as many captions")
    font, gap = _font(max(12, width // 80)), max(2, width // 400)
    line = round(font.size * 1.4)
    left = gap + (max(round(font.getlength(title)) for title in row_titles) + 2 * gap if row_titles else 0)
    cell = (width - left - gap * count) // count
    if cell < 8:
        raise ValueError(f"a contact sheet of {count} columns does not fit into {width} pixels: make it wider")
    scaled = [[_fit(image, cell) for image in row] for row in rows]
    small = _font(max(11, cell // 27))  # for captions, of which there is one a cell
    above = round(small.size * 1.4) if captions else 0
    heights = [max(image.height for image in row) for row in scaled]
    top = line + gap if titles else gap
    sheet = Pillow.new("RGB", (width, top + sum(heights) + (above + gap) * len(rows)), PAPER)
    draw = ImageDraw.Draw(sheet)
    for column, title in enumerate(titles or ()):
        centre = left + column * (cell + gap) + cell / 2
        draw.text((centre, top - gap), _shorten(title, font, cell), TEXT, font, anchor="md")
    for i, (row, height) in enumerate(zip(scaled, heights, strict=True)):
        for column, caption in enumerate(captions[i] if captions else ()):
            place = (left + column * (cell + gap), top + above - gap)
            draw.text(place, _shorten(caption, small, cell), TEXT, small, anchor="ld")
        top += above
        if row_titles:
            draw.text((left - 2 * gap, top + height / 2), row_titles[i], TEXT, font, anchor="rm")
        for column, image in enumerate(row):
            sheet.paste(image, (left + column * (cell + gap), top))
        top += height + gap
    return np.asarray(sheet)


def _fit(image: Picture, width: int) -> Pillow.Image:
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return Pillow.fromarray(image).resize((width, height), Pillow.Resampling.LANCZOS)


def _shorten(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"


@lru_cache(maxsize=8)
def _font(size: int) -> ImageFont.FreeTypeFont:
    """The font that comes with matplotlib: the same on every machine, and it has accents and arrows."""
    import matplotlib

    return ImageFont.truetype(str(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"), size)


def curves(
    series: Mapping[str, Sequence[float] | Float[np.ndarray, " t"]],
    *,
    x_label: str = "frame",
    y_label: str = "J",
    title: str = "",
    y_range: tuple[float, float] | None = (0.0, 1.02),
    size: tuple[float, float] = (7.0, 3.2),
    dpi: int = 110,
) -> bytes:
    """One line per named series over its index, NaN left out, as a PNG file's bytes. `size` is in inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, values in series.items():
        axes.plot(
            np.arange(len(values)), np.asarray(values, float), label=name, linewidth=1.6, marker=".", markersize=3
        )
    axes.set(xlabel=x_label, ylabel=y_label, title=title)
    if y_range is not None:
        axes.set_ylim(*y_range)
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if series:
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1.0, 0.5))
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()


def write_video(path: Path, frames: Iterable[Picture], fps: float = 24) -> None:
    """RGB frames of one size as an mp4: H.264 where PyAV has it, otherwise MPEG-4. Written aside and renamed.

    An odd last row or column is left out, since these codecs store colour at half size. Raises ValueError without
    frames, or for frames of several sizes.
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
                raise ValueError(
                    f"video {path}: frame of {frame.shape[:2]} after one of {stream.height}×{stream.width}"
                )
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")))
        if stream is None:
            raise ValueError(f"video {path}: there are no frames to write")
        container.mux(stream.encode())


def png_bytes(image: Image) -> bytes:
    """An RGB image as a PNG file's bytes."""
    return _file_bytes(image, format="PNG", optimize=True)


def jpeg_bytes(image: Image, quality: int = 85) -> bytes:
    """An RGB image as a JPEG file's bytes, for reports and documents that should stay small."""
    return _file_bytes(image, format="JPEG", quality=quality, optimize=True)


def _file_bytes(image: Image, **options: Any) -> bytes:
    buffer = io.BytesIO()
    Pillow.fromarray(image).save(buffer, **options)
    return buffer.getvalue()
