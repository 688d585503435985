"""A scene of the embedded data set: its layers, and how they are drawn, labelled and followed exactly."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, UInt8

from vosbench.datasets.collage.motion import Affine, Curve, Motion, Points
from vosbench.video.video import Image, LabelMap

SHUTTER = 0.5  # exposure time as a share of the time between frames
EXPOSURES = 3  # a frame is the mean of this many moments of the exposure


@dataclass(frozen=True)
class Layer:
    """A moving picture. One texture pixel is one frame pixel at scale 1; the origin is at the texture's centre.

    colour   RGB, already multiplied by what the layer covers
    cover    share of the layers below that is hidden, by the object or its shadow
    opacity  of the object alone; it is labelled where this is at least one half. Background: 255 everywhere
    """

    colour: UInt8[np.ndarray, "h w 3"]
    cover: UInt8[np.ndarray, "h w"]
    opacity: UInt8[np.ndarray, "h w"]
    motion: Motion


@dataclass(frozen=True)
class Scene:
    """The layers of a video from back to front (the first is the background), the camera, and the light.

    `light`: gain of R, G, B, then the slope of brightness to the right and down, as a share over the whole frame.
    `effects`: motion blur, light, lens blur and noise; without them every pixel is a plain interpolated texture.
    """

    size: tuple[int, int]
    layers: tuple[Layer, ...]
    camera: Motion
    light: Curve
    effects: bool

    def image(self, time: float, noise: np.random.Generator) -> Image:
        """The frame whose exposure is centred at `time`."""
        moments = time + SHUTTER * ((np.arange(EXPOSURES) + 0.5) / EXPOSURES - 0.5) if self.effects else [time]
        canvas = np.zeros((*self.size, 3), np.float32)
        for moment in moments:
            canvas += self._exposure(float(moment))
        canvas /= len(moments)
        if self.effects:
            canvas = cv2.GaussianBlur(canvas * self._light(time), (3, 3), 0.5)
            canvas += noise.standard_normal(canvas.shape, np.float32) * np.float32(1.6)
        return np.clip(np.rint(canvas), 0, 255).astype(np.uint8)

    def depths(self, time: float) -> LabelMap:
        """The layer visible at each pixel's centre at `time`: 0 is the background, k the kth layer in front of it."""
        camera, depths = self.camera.affine(time), np.zeros(self.size, np.uint8)
        for k, layer in enumerate(self.layers[1:], 1):
            box = self._box(layer, time, camera)
            depths[box][_opaque(layer, layer.motion.into(_grid(box), time, camera))] = k
        return depths

    def flow(self, query: float, reference: float) -> Float32[np.ndarray, "h w 2"]:
        """Displacement (x, y) in pixels from each pixel of the query to the same surface point at the reference.

        NaN where that point is then hidden by another layer or outside the frame.
        """
        camera, target = self.camera.affine(query), self.camera.affine(reference)
        seen, flow = self.depths(query), np.full((*self.size, 2), np.nan, np.float32)
        for k, layer in enumerate(self.layers):
            box = self._box(layer, query, camera)
            x, y = (axis.astype(np.float64) for axis in _grid(box))
            there = layer.motion.onto(layer.motion.into((x, y), query, camera), reference, target)
            visible = (seen[box] == k) & self._visible(there, k, reference, target)
            flow[box][visible] = np.stack([there[0] - x, there[1] - y], -1)[visible]
        return flow

    def _visible(self, points: Points, k: int, time: float, camera: Affine) -> np.ndarray:
        """Which points of layer k, given in the frame, are inside it and not hidden by a layer in front."""
        x, y = points
        height, width = self.size
        visible = (x >= 0) & (x <= width - 1) & (y >= 0) & (y <= height - 1)
        for layer in self.layers[k + 1 :]:
            visible &= ~_opaque(layer, layer.motion.into(points, time, camera))
        return np.asarray(visible)

    def _exposure(self, time: float) -> Float32[np.ndarray, "h w 3"]:
        camera = self.camera.affine(time)
        background, *objects = self.layers
        grid = _grid((slice(0, self.size[0]), slice(0, self.size[1])))
        inside = background.motion.into(grid, time, camera)
        canvas = _sample(background.colour, inside, cv2.BORDER_REFLECT_101).astype(np.float32)
        for layer in objects:
            box = self._box(layer, time, camera)
            inside = layer.motion.into(_grid(box), time, camera)
            if inside[0].size:
                below = 1 - _sample(layer.cover, inside).astype(np.float32)[..., None] / 255
                canvas[box] = canvas[box] * below + _sample(layer.colour, inside)
        return canvas

    def _box(self, layer: Layer, time: float, camera: Affine) -> tuple[slice, slice]:
        """Rows and columns of the frame that the layer can reach: its texture's corners and the ripple's push."""
        half = np.array(layer.opacity.shape[::-1]) / 2
        if layer.motion.ripple is not None:
            half = half + np.abs(layer.motion.ripple.strength(time).reshape(-1, 2)).sum(0)
        matrix = camera @ layer.motion.affine(time)
        reach = np.abs(matrix[:2, :2]) @ half
        low = np.clip(np.floor(matrix[:2, 2] - reach), 0, self.size[::-1]).astype(int)
        high = np.clip(np.ceil(matrix[:2, 2] + reach) + 1, 0, self.size[::-1]).astype(int)
        return slice(low[1], high[1]), slice(low[0], high[0])

    def _light(self, time: float) -> Float32[np.ndarray, "h w 3"]:
        *gain, right, down = self.light(time)
        x, y = (np.linspace(-0.5, 0.5, n) for n in self.size[::-1])
        slope = 1 + right * x[None] + down * y[:, None]
        return np.asarray(slope[..., None] * np.array(gain), np.float32)


def _grid(box: tuple[slice, slice]) -> Points:
    rows, columns = box
    x, y = np.arange(columns.start, columns.stop), np.arange(rows.start, rows.stop)
    return x.astype(np.float32)[None], y.astype(np.float32)[:, None]


def _sample(texture: UInt8[np.ndarray, "..."], inside: Points, border: int = cv2.BORDER_CONSTANT) -> np.ndarray:
    """A texture at points given in the layer's coordinates, interpolated linearly. OpenCV rounds them to 1/32 pixel."""
    x, y = (np.float32(n / 2 - 0.5) + axis for axis, n in zip(inside, texture.shape[1::-1], strict=True))
    return np.asarray(
        cv2.remap(texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border)
    )


def _opaque(layer: Layer, inside: Points) -> np.ndarray:
    if not inside[0].size:
        return np.zeros(inside[0].shape, bool)
    return _sample(layer.opacity, inside).reshape(inside[0].shape) >= 128
