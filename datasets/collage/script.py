"""Random scenes for the embedded data set: which things and patches appear, and how they move."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

import cv2
import numpy as np
from jaxtyping import Float64, UInt8

from vosbench.datasets.collage import photographs as photographs
from vosbench.datasets.collage.motion import Curve, Drift, Motion, curve, ripple
from vosbench.datasets.collage.photographs import Photograph
from vosbench.datasets.collage.scene import Layer, Scene

WIDER = 1.4  # size of the background relative to the frame, so that the camera can move


@dataclass(frozen=True)
class Script:
    """The ingredients of a scene: objects are cut from the photographs of `pool` other than the `backdrop`.

    size     (rows, columns)
    length   of the video, in frames
    objects  (fewest, most)
    effects  see Scene
    """

    pool: Sequence[Photograph]
    backdrop: Photograph
    size: tuple[int, int]
    length: int
    objects: tuple[int, int]
    effects: bool


def draw_scene(rng: np.random.Generator, script: Script) -> Scene:
    """A random scene with well visible objects; after 40 draws, one with any visible object in frame 0."""
    for attempt in count():
        scene = _draw(rng, script)
        if _seen_well(scene, script.length) or (attempt >= 40 and _shares(scene, 0).any()):
            return scene
    raise AssertionError("count() never ends")


def _seen_well(scene: Scene, length: int) -> bool:
    """Two objects cover 3 % of frame 0 each, none is a sliver there, and each covers 2 % half of the time."""
    start = _shares(scene, 0)
    if (start >= 0.03).sum() < min(2, len(start)) or ((start > 0) & (start < 0.015)).any():
        return False
    shares = np.array([_shares(scene, time) for time in np.linspace(0, length - 1, min(length, 9)).round()])
    return bool((np.median(shares, axis=0) >= 0.02).all())


def _shares(scene: Scene, time: float) -> Float64[np.ndarray, " n"]:
    depths = scene.depths(time)
    return np.bincount(depths.ravel(), minlength=len(scene.layers))[1:] / depths.size


def _draw(rng: np.random.Generator, script: Script) -> Scene:
    layers: list[Layer] = []
    for i, (photograph, thing) in enumerate(_cast(rng, script)):
        hides = i >= 2 and rng.random() < 0.3
        behind = layers[0] if hides else None
        layer = _object(rng, script, photograph, thing, late=i >= 2, behind=behind)
        # Objects that hide go to the very back, all others anywhere.
        layers.insert(0 if hides else int(rng.integers(len(layers) + 1)), layer)
    background = _background(rng, script.backdrop, script.size)
    light = curve(rng, np.r_[np.ones(3), 0, 0], [0.1, 0.1, 0.1, 0.25, 0.25], (40, 90))
    # Red, green and blue vary together, but not equally.
    light = Curve(light.mean, light.amplitude, light.frequency[:, [0, 0, 0, 3, 4]], light.phase[:, [0, 0, 0, 3, 4]])
    return Scene(script.size, (background, *layers), _camera(rng, script.size), light, script.effects)


def _cast(rng: np.random.Generator, script: Script) -> list[tuple[Photograph, str | None]]:
    """The objects: about three in five are things, none of them twice; the others are blobs (None)."""
    pool = [photograph for photograph in script.pool if photograph is not script.backdrop]
    things: list[tuple[Photograph, str | None]] = [
        (photograph, thing) for photograph in pool for thing in photograph.things
    ]
    textured = [photograph for photograph in pool if photograph.blobs is not None]
    order = [things[i] for i in rng.permutation(len(things))]
    return [
        order.pop() if order and rng.random() < 0.6 else (textured[int(rng.integers(len(textured)))], None)
        for _ in range(int(rng.integers(script.objects[0], script.objects[1] + 1)))
    ]


def _object(
    rng: np.random.Generator,
    script: Script,
    photograph: Photograph,
    thing: str | None,
    *,
    late: bool,
    behind: Layer | None,
) -> Layer:
    (height, width), length = script.size, script.length
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
        pose, drifts = (
            _follow(pose, behind.motion),
            (*behind.motion.drifts, _departure(rng, script.size, length, early=True)),
        )
    elif late and rng.random() < 0.7:
        drifts = (_arrival(rng, script.size, length, pose, radius),)
    elif rng.random() < 0.2:
        drifts = (_departure(rng, script.size, length, early=False),)
    motion = Motion(pose, drifts, ripple(rng, radius, 0.4 if thing else 0.55, (12, 40)))
    gain = rng.uniform(0.85, 1.12, 3)
    return _layer(
        np.ascontiguousarray(texture), gain, motion, shadow=0.45 if script.effects else 0.0, angle=rng.uniform(0, np.pi)
    )


def _layer(
    texture: UInt8[np.ndarray, "h w 4"], gain: np.ndarray, motion: Motion, *, shadow: float, angle: float
) -> Layer:
    """A cut-out as a layer. Its soft shadow is slightly offset, at `angle` (0 right, π/2 down, π left)."""
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
    # A slow, slight ripple looks like the parallax of a scene that is not flat.
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
    """The pose with its position (x, y) taken from the leader's."""
    follows = np.arange(5) < 2
    lead = leader.pose
    return Curve(
        np.where(follows, lead.mean, pose.mean),
        np.where(follows, lead.amplitude, pose.amplitude),
        np.where(follows, lead.frequency, pose.frequency),
        np.where(follows, lead.phase, pose.phase),
    )


def _arrival(rng: np.random.Generator, size: tuple[int, int], length: int, pose: Curve, radius: float) -> Drift:
    """The drift in, from the side nearest to the object's resting place; it reaches the frame's edge in the video's
    first half."""
    half, place = np.array(size[::-1]) / 2, pose.mean[:2]
    axis = int(np.argmin(half - np.abs(place)))
    outward = np.zeros(2)
    outward[axis] = 1.0 if place[axis] >= 0 else -1.0
    speed = size[0] / 128 * rng.uniform(3.5, 6.5)
    way = half[axis] - abs(place[axis]) + 1.3 * radius
    return Drift(length * rng.uniform(0.15, 0.45) + way / speed, outward * speed, arriving=True)


def _departure(rng: np.random.Generator, size: tuple[int, int], length: int, *, early: bool) -> Drift:
    angle, speed = rng.uniform(0, 2 * np.pi), size[0] / 128 * rng.uniform(3, 5.5)
    start = length * (rng.uniform(0.05, 0.3) if early else rng.uniform(0.5, 0.75))
    return Drift(start, speed * np.array([np.cos(angle), np.sin(angle)]), arriving=False)
