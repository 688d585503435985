"""How the layers of a collage move: smooth functions of time, invertible maps of the plane, and their exact inverses.

Time is counted in frames and need not be whole. Points are pairs of arrays x, y that broadcast against each other.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from jaxtyping import Float64

Grid = npt.NDArray[np.floating[Any]]
Points = tuple[Grid, Grid]
Affine = Float64[np.ndarray, "3 3"]


@dataclass(frozen=True)
class Curve:
    """k smooth functions of time, each a mean and j sinusoids. Frequencies are in cycles per frame."""

    mean: Float64[np.ndarray, " k"]
    amplitude: Float64[np.ndarray, "j k"]
    frequency: Float64[np.ndarray, "j k"]
    phase: Float64[np.ndarray, "j k"]

    def __call__(self, time: float) -> Float64[np.ndarray, " k"]:
        waves = self.amplitude * np.sin(2 * np.pi * self.frequency * time + self.phase)
        return np.asarray(self.mean + waves.sum(0), np.float64)


def curve(
    rng: np.random.Generator, mean: npt.ArrayLike, amplitude: npt.ArrayLike, period: tuple[float, float], waves: int = 2
) -> Curve:
    """A random curve about `mean` that stays within `amplitude`; periods, in frames, are drawn from a range."""
    mean, amplitude = np.atleast_1d(np.asarray(mean, np.float64)), np.atleast_1d(np.asarray(amplitude, np.float64))
    shape = (waves, len(mean))
    share = rng.uniform(0.3, 1, shape)
    return Curve(
        mean, amplitude * share / share.sum(0), 1 / rng.uniform(*period, shape), rng.uniform(0, 2 * np.pi, shape)
    )


@dataclass(frozen=True)
class Drift:
    """A way in or out: no offset on one side of `start`, then `velocity` (x, y in pixels a frame) on the other.

    `arriving`: the offset is before the start, and shrinks to nothing. The start is rounded over about two frames.
    """

    start: float
    velocity: Float64[np.ndarray, "2"]
    arriving: bool

    def __call__(self, time: float) -> Float64[np.ndarray, "2"]:
        elapsed = self.start - time if self.arriving else time - self.start
        return self.velocity * float(np.logaddexp(0, elapsed))


@dataclass(frozen=True)
class Ripple:
    """A smooth displacement field: m plane waves whose directions are fixed and whose strengths change in time.

    waves in radians per pixel; `strength` gives 2m numbers, the (x, y) displacement of each wave in pixels.
    The sum of |wave| · |strength| stays below 1, so that y + field(y) is invertible.
    """

    waves: Float64[np.ndarray, "m 2"]
    phases: Float64[np.ndarray, " m"]
    strength: Curve

    def __call__(self, points: Points, time: float) -> Points:
        x, y = points
        strength = self.strength(time).reshape(-1, 2)
        dx = dy = np.zeros(1, x.dtype)
        for (wave_x, wave_y), phase, (along_x, along_y) in zip(self.waves, self.phases, strength, strict=True):
            wave = np.sin(x.dtype.type(wave_x) * x + x.dtype.type(wave_y) * y + x.dtype.type(phase))
            dx, dy = dx + x.dtype.type(along_x) * wave, dy + x.dtype.type(along_y) * wave
        return dx, dy


def ripple(rng: np.random.Generator, radius: float, steepness: float, period: tuple[float, float]) -> Ripple:
    """Three random waves, about one across an object of that radius (pixels). The slope is at most `steepness` < 1."""
    angle = rng.uniform(0, 2 * np.pi, 3)
    length = rng.uniform(1.2, 2.6, 3) / radius
    waves = np.stack([np.cos(angle), np.sin(angle)], 1) * length[:, None]
    # Both components of a strength may be at their bound at once, hence the root of two.
    bound = np.repeat(steepness / 3 / length / np.sqrt(2), 2)
    return Ripple(waves, rng.uniform(0, 2 * np.pi, 3), curve(rng, np.zeros(6), bound, period, waves=1))


@dataclass(frozen=True)
class Motion:
    """The motion of a layer. `pose` gives its x, y (pixels), log scale, angle (radians) and log stretch.

    The map from the layer to the world is ripple⁻¹, then stretch, rotation, scale, and translation with the drifts.
    Without a ripple it is affine: so is the camera's, from the world to the frame.
    """

    pose: Curve
    drifts: tuple[Drift, ...] = ()
    ripple: Ripple | None = None

    def affine(self, time: float) -> Affine:
        x, y, log_scale, angle, log_stretch = self.pose(time)
        x, y = np.array([x, y]) + sum(drift(time) for drift in self.drifts)
        cos, sin = np.cos(angle), np.sin(angle)
        wide, tall = np.exp(log_scale + log_stretch), np.exp(log_scale - log_stretch)
        return np.array([[wide * cos, -tall * sin, x], [wide * sin, tall * cos, y], [0, 0, 1.0]])

    def into(self, points: Points, time: float, camera: Affine) -> Points:
        """Points of the frame in the layer's own coordinates, in the precision of the points."""
        y = apply(np.linalg.inv(camera @ self.affine(time)), points)
        if self.ripple is None:
            return y
        dx, dy = self.ripple(y, time)
        return y[0] + dx, y[1] + dy

    def onto(self, points: Points, time: float, camera: Affine, steps: int = 20) -> Points:
        """Points of the layer in the frame: the inverse of `into`, by iterating the contraction y ← u − field(y)."""
        y = points
        for _ in range(steps if self.ripple else 0):
            assert self.ripple is not None
            dx, dy = self.ripple(y, time)
            y = points[0] - dx, points[1] - dy
        return apply(camera @ self.affine(time), y)


def apply(matrix: Affine, points: Points) -> Points:
    x, y = points
    (a, b, c), (d, e, f) = matrix[:2].astype(x.dtype)
    return a * x + b * y + c, d * x + e * y + f
