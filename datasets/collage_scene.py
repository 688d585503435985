"""One video of the embedded data set: what is in the scene, and how it is drawn, labelled and followed exactly."""

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float32, Float64, UInt8

from vosbench.datasets import collage_photographs as photographs
from vosbench.datasets.collage_motion import Affine, Curve, Drift, Motion, Points, curve, ripple
from vosbench.datasets.collage_photographs import Photograph
from vosbench.videos import Image, LabelMap

SHUTTER = 0.5  # share of the time between frames during which light falls in
EXPOSURES = 3  # moments within it that a frame is the mean of
WIDER = 1.4  # the background reaches this much farther than the frame, for the camera to move in


@dataclass(frozen=True)
class Layer:
    """A picture that moves: one texture pixel is one frame pixel at scale 1, and the origin is at the texture's centre.

    colour   RGB, already multiplied by what the layer covers
    cover    share of what lies below that is hidden: by the object, or darkened by its shadow
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
        """Which layer is seen at each pixel's centre at `time`: 0 the background, k the kth layer in front of it."""
        camera, depths = self.camera.affine(time), np.zeros(self.size, np.uint8)
        for k, layer in enumerate(self.layers[1:], 1):
            box = self._box(layer, time, camera)
            depths[box][_opaque(layer, layer.motion.into(_grid(box), time, camera))] = k
        return depths

    def flow(self, query: float, reference: float) -> Float32[np.ndarray, "h w 2"]:
        """Displacement (x, y) in pixels from each pixel of the query to the same surface point at the reference.

        NaN where that point is hidden by another layer or out of the frame then.
        """
        camera, target = self.camera.affine(query), self.camera.affine(reference)
        seen, flow = self.depths(query), np.full((*self.size, 2), np.nan, np.float32)
        for k, layer in enumerate(self.layers):
            rows, columns = np.nonzero(seen == k)
            pixels = columns.astype(np.float64), rows.astype(np.float64)
            there = layer.motion.onto(layer.motion.into(pixels, query, camera), reference, target)
            visible = self._visible(there, k, reference, target)
            offset = np.stack([there[0] - pixels[0], there[1] - pixels[1]], 1)
            flow[rows[visible], columns[visible]] = offset[visible]
        return flow

    def _visible(self, points: Points, k: int, time: float, camera: Affine) -> np.ndarray:
        """Which points of layer k (given in the frame) lie inside of the frame and are not hidden by a layer before it."""
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
        """Rows and columns of the frame that the layer can reach: its texture's corners, and the ripple's farthest push."""
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
    return np.asarray(cv2.remap(texture, x.astype(np.float32), y.astype(np.float32), cv2.INTER_LINEAR, borderMode=border))


def _opaque(layer: Layer, inside: Points) -> np.ndarray:
    if not inside[0].size:
        return np.zeros(inside[0].shape, bool)
    return _sample(layer.opacity, inside).reshape(inside[0].shape) >= 128


def draw_scene(
    rng: np.random.Generator, split: str, size: tuple[int, int], frames: int, objects: tuple[int, int], effects: bool
) -> Scene:
    """A random scene: draws until the objects can be seen well, 40 times at most, then takes what comes."""
    for _ in range(40):
        scene = _draw(rng, split, size, frames, int(rng.integers(objects[0], objects[1] + 1)), effects)
        if _seen_well(scene, frames):
            break
    return scene


def _seen_well(scene: Scene, frames: int) -> bool:
    """At frame 0 two objects (or the only one) cover 3 % of the frame each; every object covers 2 % in most of the video."""
    shares = np.array([_shares(scene, time) for time in np.linspace(0, frames - 1, min(frames, 9)).round()])
    start, most = shares[0], np.sort(shares, axis=0)[::-1][int(0.5 * len(shares))]
    return bool((start >= 0.03).sum() >= min(2, shares.shape[1]) and ((start == 0) | (start >= 0.015)).all() and (most >= 0.02).all())


def _shares(scene: Scene, time: float) -> Float64[np.ndarray, " n"]:
    depths = scene.depths(time)
    return np.bincount(depths.ravel(), minlength=len(scene.layers))[1:] / depths.size


def _draw(rng: np.random.Generator, split: str, size: tuple[int, int], frames: int, count: int, effects: bool) -> Scene:
    pool = photographs.PHOTOGRAPHS[split]
    backdrop = pool[int(rng.integers(len(pool)))]
    cast = _cast(rng, [photograph for photograph in pool if photograph is not backdrop], count)
    layers: list[Layer] = []
    for i, (photograph, thing) in enumerate(cast):
        hides = i >= 2 and rng.random() < 0.3
        layer = _object(rng, photograph, thing, size, frames, late=i >= 2, effects=effects, behind=layers[0] if hides else None)
        # What hides goes to the very back; all others anywhere but behind it.
        layers.insert(0 if hides else int(rng.integers(len(layers) + 1)), layer)
    background = _background(rng, backdrop, size)
    light = curve(rng, np.r_[np.ones(3), 0, 0], [0.1, 0.1, 0.1, 0.25, 0.25], (40, 90))
    light = Curve(light.mean, light.amplitude, light.frequency[:, [0, 0, 0, 3, 4]], light.phase[:, [0, 0, 0, 3, 4]])
    return Scene(size, (background, *layers), _camera(rng, size), light, effects)


def _cast(rng: np.random.Generator, pool: list[Photograph], count: int) -> list[tuple[Photograph, str | None]]:
    """Who plays: about two in three are things, none of them twice; the rest, and those that are missing, are blobs (None)."""
    things: list[tuple[Photograph, str | None]] = [(photograph, thing) for photograph in pool for thing in photograph.things]
    textured = [photograph for photograph in pool if photograph.blobs is not None]
    order = [things[i] for i in rng.permutation(len(things))]
    return [
        order.pop() if order and rng.random() < 0.67 else (textured[int(rng.integers(len(textured)))], None)
        for _ in range(count)
    ]


def _object(
    rng: np.random.Generator,
    photograph: Photograph,
    thing: str | None,
    size: tuple[int, int],
    frames: int,
    *,
    late: bool,
    effects: bool,
    behind: Layer | None,
) -> Layer:
    height, width = size
    area = height * width * np.exp(rng.uniform(np.log(0.06), np.log(0.2)))
    if behind is not None:
        area = min(area, 0.4 * float((behind.opacity >= 128).sum()))
    outline = photograph.outline(thing) if thing else photographs.blob(photograph, rng)
    texture = photographs.cut_out(photograph, outline, area)
    texture = texture[:, ::-1] if rng.random() < 0.5 else texture
    radius = float(np.sqrt(area / np.pi))
    tilt = rng.uniform(-0.35, 0.35) if thing else rng.uniform(-np.pi, np.pi)
    mean = [width * rng.uniform(-0.33, 0.33), height * rng.uniform(-0.28, 0.28), 0, tilt, 0]
    reach = [0.2 * width, 0.17 * height, 0.25, 0.3 if thing else 0.6, 0.12]
    pose = curve(rng, mean, reach, (28, 70))
    drifts: tuple[Drift, ...] = ()
    if behind is not None:
        pose, drifts = _follow(pose, behind.motion), (*behind.motion.drifts, _departure(rng, size, frames, early=True))
    elif late and rng.random() < 0.7:
        drifts = (_arrival(rng, size, frames, pose, radius),)
    elif rng.random() < 0.2:
        drifts = (_departure(rng, size, frames, early=False),)
    motion = Motion(pose, drifts, ripple(rng, radius, 0.4 if thing else 0.55, (12, 40)))
    gain = rng.uniform(0.85, 1.12, 3)
    return _layer(np.ascontiguousarray(texture), gain, motion, shadow=0.45 if effects else 0.0, angle=rng.uniform(0, np.pi))


def _layer(
    texture: UInt8[np.ndarray, "h w 4"], gain: np.ndarray, motion: Motion, *, shadow: float, angle: float
) -> Layer:
    """A cut-out as a layer. Its soft shadow falls a little below it and aside, at `angle` (0 right, π/2 down, π left)."""
    opacity = texture[..., 3].astype(np.float32) / 255
    colour = np.clip(texture[..., :3] * gain, 0, 255) * opacity[..., None]
    size = float(np.sqrt((opacity >= 0.5).sum()))
    shift = np.array([[1, 0, 0.07 * size * np.cos(angle)], [0, 1, 0.07 * size * np.sin(angle)]])
    fallen = cv2.warpAffine(opacity, shift, opacity.shape[::-1])
    fallen = cv2.GaussianBlur(fallen, (0, 0), max(0.05 * size, 0.5), borderType=cv2.BORDER_CONSTANT)
    cover = 1 - (1 - opacity) * (1 - shadow * fallen)
    return Layer(np.rint(colour).astype(np.uint8), np.rint(255 * cover).astype(np.uint8), texture[..., 3], motion)


def _background(rng: np.random.Generator, photograph: Photograph, size: tuple[int, int]) -> Layer:
    height, width = round(size[0] * WIDER), round(size[1] * WIDER)
    left, top, right, bottom = photograph.box
    scale = min((right - left) / width, (bottom - top) / height) * rng.uniform(0.65, 1)
    x = left + rng.uniform(0, 1) * (right - left - width * scale)
    y = top + rng.uniform(0, 1) * (bottom - top - height * scale)
    colour = photographs.crop(photograph, (x, y, x + width * scale, y + height * scale), (height, width))
    colour = np.ascontiguousarray(colour[:, ::-1] if rng.random() < 0.5 else colour)
    full = np.full((height, width), 255, np.uint8)
    # A slow, slight ripple passes for the parallax of a scene that is not flat.
    still = curve(rng, np.zeros(5), np.zeros(5), (50, 90))
    return Layer(colour, full, full, Motion(still, (), ripple(rng, 0.5 * size[0], 0.12, (40, 90))))


def _camera(rng: np.random.Generator, size: tuple[int, int]) -> Motion:
    """Pan, zoom and roll in slow waves, and the slight shake of a hand."""
    height, width = size
    centre = [(width - 1) / 2, (height - 1) / 2, 0, 0, 0]
    slow = curve(rng, centre, [0.09 * width, 0.08 * height, 0.08, 0.05, 0], (30, 80))
    shake = curve(rng, np.zeros(5), [0.004 * height, 0.004 * height, 0, 0.003, 0], (4, 9))
    return Motion(
        Curve(
            slow.mean,
            np.concatenate([slow.amplitude, shake.amplitude]),
            np.concatenate([slow.frequency, shake.frequency]),
            np.concatenate([slow.phase, shake.phase]),
        )
    )


def _follow(pose: Curve, leader: Motion) -> Curve:
    """The pose with its place (x, y) taken from the leader's."""
    follows = np.arange(5) < 2
    lead = leader.pose
    return Curve(
        np.where(follows, lead.mean, pose.mean),
        np.where(follows, lead.amplitude, pose.amplitude),
        np.where(follows, lead.frequency, pose.frequency),
        np.where(follows, lead.phase, pose.phase),
    )


def _arrival(rng: np.random.Generator, size: tuple[int, int], frames: int, pose: Curve, radius: float) -> Drift:
    """In from the side that is nearest to the object's resting place, so that it touches the frame's edge early in the video."""
    half, place = np.array(size[::-1]) / 2, pose.mean[:2]
    axis = int(np.argmin(half - np.abs(place)))
    outward = np.zeros(2)
    outward[axis] = 1.0 if place[axis] >= 0 else -1.0
    speed = size[0] / 128 * rng.uniform(3.5, 6.5)
    way = half[axis] - abs(place[axis]) + 1.3 * radius
    return Drift(frames * rng.uniform(0.15, 0.45) + way / speed, outward * speed, arriving=True)


def _departure(rng: np.random.Generator, size: tuple[int, int], frames: int, *, early: bool) -> Drift:
    angle, speed = rng.uniform(0, 2 * np.pi), size[0] / 128 * rng.uniform(3, 5.5)
    start = frames * (rng.uniform(0.05, 0.3) if early else rng.uniform(0.5, 0.75))
    return Drift(start, speed * np.array([np.cos(angle), np.sin(angle)]), arriving=False)
