"""The photographs of the embedded data set, and the cut-outs made of them.

All are part of scikit-image's wheel and free to use, according to the docstrings of `skimage.data`: astronaut and
hubble_deep_field (NASA, public domain), rocket (SpaceX, public domain), chelsea (Stéfan van der Walt, CC0), coffee
(Rachel Michetti, CC0), retina (Mikael Häggström, CC0), brick, grass and gravel (CC0Textures, CC0). The last three
are grey and get colours here. They are read from the package's folder: nothing is ever downloaded.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from vosbench.util.errors import UserError
from vosbench.video.images import read_image

Box = tuple[int, int, int, int]
Colour = tuple[int, int, int]


@dataclass(frozen=True)
class Photograph:
    """One photograph. Boxes are left, top, right, bottom in pixels.

    box     the part that serves as background
    blobs   the part that irregular patches are cut from, or None if it has too little texture
    tints   for a grey photograph: the RGB colours of black and white; several pairs alternate smoothly over the picture
    things  outlines of real objects by name, in pixels, "x,y x,y …"
    """

    file: str
    box: Box
    blobs: Box | None = None
    tints: tuple[tuple[Colour, Colour], ...] = ()
    things: dict[str, str] = field(default_factory=dict, hash=False)

    def outline(self, thing: str) -> Float32[np.ndarray, "n 2"]:
        """The outline of one of the `things`, in pixels (x, y)."""
        return np.array([point.split(",") for point in self.things[thing].split()], np.float32)


def _ellipse(x: int, y: int, a: int, b: int) -> str:
    angles = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    return " ".join(f"{x + a * np.cos(angle):.0f},{y + b * np.sin(angle):.0f}" for angle in angles)


PERSON = (
    "251,21 227,18 188,26 176,32 168,49 159,58 155,69 156,91 160,104 171,113 186,143 189,157 179,159 160,152 "
    "137,155 126,170 122,193 114,206 93,227 67,247 55,269 40,287 28,344 28,367 21,391 22,418 26,431 25,459 27,474 "
    "38,501 47,511 277,511 274,496 274,459 280,432 290,410 293,394 302,384 298,371 302,366 328,355 358,333 355,324 "
    "354,303 339,265 329,254 301,233 291,210 288,194 262,167 260,144 263,134 267,129 275,127 288,116 297,95 298,82 "
    "293,57 284,41 275,33"
)
HELMET = (
    "289,423 285,434 279,461 280,487 284,497 286,511 505,511 504,485 508,482 511,483 511,423 507,422 502,417 "
    "494,417 488,413 484,399 476,385 453,362 439,354 418,347 393,346 381,347 359,355 350,356 331,371 322,373 "
    "310,388 307,395 297,407"
)
SHUTTLE = (
    "423,0 384,0 379,90 379,182 373,193 371,216 359,225 346,263 346,271 350,282 354,285 391,278 411,281 441,270 "
    "448,261 448,237 443,225 437,224 434,220 431,18"
)
CAT = (
    "49,9 47,12 47,25 62,62 66,121 75,164 90,192 102,206 129,227 168,244 200,265 218,273 243,281 262,281 281,278 "
    "302,267 315,256 332,234 341,213 349,186 354,153 364,108 362,76 355,49 347,32 334,15 305,5 299,0 63,0 59,4"
)
ROCKET = (
    "321,129 315,135 312,144 312,180 310,185 312,350 309,355 309,396 310,400 316,405 328,405 330,402 329,276 "
    "333,270 333,209 329,199 329,190 332,184 332,144 327,132"
)
SAUCER = (
    "234,29 209,44 193,60 185,72 177,92 162,98 129,120 110,139 96,160 85,188 82,206 84,241 92,267 114,303 138,327 "
    "173,351 212,368 241,376 279,381 309,381 345,376 373,368 405,353 427,338 448,317 461,298 472,272 476,250 "
    "474,214 466,189 450,161 434,142 409,120 410,106 405,85 397,69 378,48 356,33 330,23 302,18 269,19"
)
CUP = (
    "278,20 259,23 239,29 219,39 207,48 196,59 182,82 178,96 177,116 182,138 187,147 194,178 224,221 255,238 "
    "301,240 345,228 380,195 390,165 404,142 408,128 409,108 404,86 396,71 377,50 365,41 349,32 322,23 302,20"
)

SUIT, FUR, WHOLE = (40, 235, 290, 505), (70, 0, 360, 275), (0, 0, 512, 512)
PHOTOGRAPHS: dict[str, tuple[Photograph, ...]] = {
    "train": (
        Photograph(
            "astronaut.png",
            WHOLE,
            SUIT,
            things={"person": PERSON, "helmet": HELMET, "shuttle": SHUTTLE, "badge": _ellipse(172, 387, 37, 40)},
        ),
        Photograph("chelsea.png", (0, 0, 451, 300), FUR, things={"cat": CAT}),
        Photograph("hubble_deep_field.jpg", (0, 0, 1000, 872), (0, 0, 1000, 872)),
        Photograph("brick.png", WHOLE, WHOLE, tints=(((60, 20, 15), (225, 150, 110)), ((50, 35, 30), (205, 185, 165)))),
        Photograph(
            "gravel.png", WHOLE, WHOLE, tints=(((25, 35, 55), (175, 195, 215)), ((60, 45, 20), (225, 200, 150)))
        ),
    ),
    "val": (
        Photograph("coffee.png", (0, 0, 600, 400), (435, 0, 600, 150), things={"saucer": SAUCER, "cup": CUP}),
        Photograph("rocket.jpg", (0, 0, 640, 427), things={"rocket": ROCKET}),
        Photograph("retina.jpg", (240, 260, 1170, 1150), None, things={"retina": _ellipse(699, 706, 668, 672)}),
        Photograph("grass.png", WHOLE, WHOLE, tints=(((15, 40, 10), (150, 205, 80)), ((50, 50, 10), (225, 215, 120)))),
    ),
}


@lru_cache(maxsize=16)
def pixels(photograph: Photograph) -> UInt8[np.ndarray, "h w 3"]:
    """The photograph in RGB. Raises UserError if the installed scikit-image does not have it."""
    spec = find_spec("skimage")
    if spec is None or spec.origin is None:
        raise UserError("the collage data set needs scikit-image's photographs: pip install scikit-image")
    image = read_image(Path(spec.origin).parent / "data" / photograph.file)
    # The bricks are upright in their photograph; turned, they lie flat. Grass and gravel look the same either way.
    return _tinted(np.rot90(image), photograph.tints) if photograph.tints else image


def _tinted(image: UInt8[np.ndarray, "h w 3"], tints: Sequence[tuple[Colour, Colour]]) -> UInt8[np.ndarray, "h w 3"]:
    """A grey photograph in colour: grey values run between a tint's colours, and the tint changes over the picture."""
    height, width = image.shape[:2]
    y, x = np.mgrid[:height, :width] / 80.0
    where = (np.sin(x + 1.3 * np.sin(0.7 * y)) + np.sin(1.1 * y + np.sin(0.9 * x) + 2) + 2) / 4 * (len(tints) - 1)
    # Stretch the contrast first: these textures use a narrow range of greys.
    low, high = np.percentile(image, (1, 99))
    grey = np.clip((image[..., :1] - low) / (high - low), 0, 1)
    coloured = [np.array(dark) + grey * (np.array(light) - np.array(dark)) for dark, light in tints]
    weights = [np.clip(1 - np.abs(where - i), 0, 1)[..., None] for i in range(len(tints))]
    return np.asarray(sum(c * w for c, w in zip(coloured, weights, strict=True))).round().astype(np.uint8)


def crop(photograph: Photograph, box: Sequence[float], size: tuple[int, int]) -> UInt8[np.ndarray, "h w 3"]:
    """The part `box` (left, top, right, bottom) of a photograph, resized to `size` (rows, columns)."""
    left, top, right, bottom = (round(value) for value in box)
    return _resize(pixels(photograph)[top:bottom, left:right], size)


def cut_out(photograph: Photograph, outline: Float32[np.ndarray, "n 2"], area: float) -> UInt8[np.ndarray, "h w 4"]:
    """The inside of an outline (x, y in pixels), scaled to cover `area` pixels: RGB and opacity, with a soft edge.

    A rim of one sixth of the size on each side stays empty, so that there is room for a shadow.
    """
    image = pixels(photograph)
    scale = float(np.sqrt(area / max(cv2.contourArea(outline), 1.0)))
    low, high = outline.min(0), outline.max(0)
    rim = np.ceil((high - low).max() / 6) + 2
    left, top = (int(value) for value in np.floor(low - rim))
    right, bottom = (int(value) for value in np.ceil(high + rim))
    mask = np.zeros((bottom - top, right - left), np.uint8)
    cv2.fillPoly(mask, [np.round((outline - (left, top)) * 16).astype(np.int32)], 255, cv2.LINE_AA, 4)
    columns = np.clip(np.arange(left, right), 0, image.shape[1] - 1)
    rows = np.clip(np.arange(top, bottom), 0, image.shape[0] - 1)
    size = (max(4, round(mask.shape[0] * scale)), max(4, round(mask.shape[1] * scale)))
    soft = cv2.GaussianBlur(_resize(mask, size), (0, 0), 0.7, borderType=cv2.BORDER_CONSTANT)
    return np.dstack([_resize(image[np.ix_(rows, columns)], size), soft])


def blob(photograph: Photograph, rng: np.random.Generator) -> Float32[np.ndarray, "n 2"]:
    """A smooth random outline inside the photograph's textured part, in pixels (x, y)."""
    assert photograph.blobs is not None, "only called for photographs with texture"
    left, top, right, bottom = photograph.blobs
    angles = np.linspace(0, 2 * np.pi, 72, endpoint=False)
    radius = np.ones(72)
    for k in (2, 3, 4, 5):
        radius += rng.normal(0, 0.32 / k) * np.cos(k * angles + rng.uniform(0, 2 * np.pi))
    aspect = np.exp(rng.uniform(-0.3, 0.3))
    shape = np.clip(radius, 0.35, 1.8)[:, None] * np.stack([np.cos(angles) * aspect, np.sin(angles) / aspect], 1)
    shape -= (shape.min(0) + shape.max(0)) / 2
    half = np.abs(shape).max(0)
    room = np.array([right - left, bottom - top]) / 2
    reach = shape * (room / half).min() * rng.uniform(0.5, 0.95)
    slack = room - np.abs(reach).max(0)
    centre = np.array([left, top]) + room + rng.uniform(-1, 1, 2) * slack
    outline: Float32[np.ndarray, "n 2"] = (reach + centre).astype(np.float32)
    return outline


def _resize(image: UInt8[np.ndarray, "..."], size: tuple[int, int]) -> UInt8[np.ndarray, "..."]:
    shrinks = size[0] < image.shape[0]
    method = cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, (size[1], size[0]), interpolation=method), np.uint8)
