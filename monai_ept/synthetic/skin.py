# SPDX-License-Identifier: Apache-2.0

"""The stage for a skin lesion: where it lies, what is under and over it, and the lens that looks at it."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from monai_ept.synthetic.paint import Cells, Dice, Noise, blur, curve, smooth, stamp

__all__ = ["YELLOW_BROWN", "Color", "Scene", "Shape", "paint_hairs", "paint_skin", "through_lens"]

YELLOW_BROWN = (0.86, 0.68, 0.42)

Color = tuple[float, float, float]


@dataclass
class Scene:
    """A lesion seen by a lens: coordinates in which the lesion has radius 1, and the picture so far."""

    view: Dice
    size: int
    picture: np.ndarray = field(init=False)
    u: np.ndarray = field(init=False)
    v: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.scale = self.view.between(0.36, 0.6) + self.view.between(0.0, 0.35) * self.view.between(0.0, 1.0)
        self.cos, self.sin = self.view.direction()
        self.flip = -1.0 if self.view.chance(0.5) else 1.0
        room = 0.14 + 0.25 * (0.9 - self.scale)
        self.center = (self.view.between(-room, room), self.view.between(-room, room))
        axis = (np.arange(self.size, dtype=np.float32) + 0.5) * (2.0 / self.size) - 1.0
        self.x = np.broadcast_to(axis, (self.size, self.size))
        self.y = np.broadcast_to(axis[:, None], (self.size, self.size))
        right, down = (self.x - self.center[0]) * (self.flip / self.scale), (self.y - self.center[1]) / self.scale
        self.u, self.v = right * self.cos + down * self.sin, down * self.cos - right * self.sin
        self.picture = np.empty((3, self.size, self.size), np.float32)

    @property
    def pixel(self) -> float:
        """Size of a pixel in lesion coordinates."""
        return 2.0 / (self.size * self.scale)

    def pixels(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where places of the lesion lie in the picture."""
        right, down = u * self.cos - v * self.sin, u * self.sin + v * self.cos
        x = right * (self.scale * self.flip) + self.center[0]
        y = down * self.scale + self.center[1]
        return (x + 1.0) * (self.size / 2), (y + 1.0) * (self.size / 2)

    def away(self, place: tuple[float, float]) -> np.ndarray:
        """Distance of every pixel to a place, in lesion coordinates."""
        return np.sqrt((self.u - place[0]) ** 2 + (self.v - place[1]) ** 2)

    def dots(
        self, u: np.ndarray, v: np.ndarray, radius: np.ndarray | float, value: np.ndarray | float = 1.0
    ) -> np.ndarray:
        """Round dots, with place and radius in lesion coordinates."""
        return stamp((self.size, self.size), *self.pixels(u, v), np.asarray(radius) / self.pixel, value)

    def filter(self, color: Color, amount: np.ndarray) -> None:
        """Lay a pigment over the picture: light is taken away."""
        for channel, passed in zip(self.picture, color, strict=True):
            channel *= 1.0 - (1.0 - passed) * amount

    def cover(self, color: Color, amount: np.ndarray) -> None:
        """Paint something opaque over the picture."""
        for channel, value in zip(self.picture, color, strict=True):
            channel += (value - channel) * amount


@dataclass
class Shape:
    """Outline of a lesion: an ellipse, bent by harmonics, made ragged by noise."""

    dice: Dice
    stretch: float
    lobes: float
    ragged: float
    soft: float
    fine: float = 0.16

    def __post_init__(self) -> None:
        self.harmonics = [(self.dice.bell(self.lobes / n), self.dice.bell(self.lobes / n)) for n in range(2, 8)]
        self.noise = Noise(self.dice, self.fine * 3, 3, 0.6)

    def depth(self, scene: Scene) -> np.ndarray:
        """Distance inwards from the outline: 0 on it, negative outside, at most about 1."""
        u, v = scene.u * self.stretch, scene.v / self.stretch
        radius = np.sqrt(u * u + v * v) + np.float32(1e-6)
        cos, sin = u / radius, v / radius
        outline = np.ones_like(radius)
        cos_n, sin_n = cos, sin
        for a, b in self.harmonics:
            cos_n, sin_n = cos_n * cos - sin_n * sin, sin_n * cos + cos_n * sin
            outline += cos_n * a + sin_n * b
        return outline - radius + self.noise(scene.u, scene.v) * self.ragged

    def inside(self, depth: np.ndarray) -> np.ndarray:
        return smooth(depth, -self.soft * 0.4, self.soft)


def paint_skin(patient: Dice, scene: Scene) -> None:
    """Skin under the lesion: tone, redness, fine relief, freckles."""
    tone = patient.between(0, 1) * patient.between(0.1, 1)  # mostly fair, as in the real data
    redness = patient.between(-0.02, 0.06)
    fair, tan = (0.92, 0.76, 0.69), (0.70, 0.49, 0.36)
    mottle, grain = Noise(patient, 0.7, 4, 0.65), Noise(patient, 0.06, 2, 0.8)
    relief, bend = Cells(patient, patient.between(0.06, 0.11), 0.95), Noise(patient, 0.5)
    relief_depth, freckled = patient.between(0.0, 0.035), patient.between(-0.7, 0.3)
    freckles = Noise(patient, 0.25, 2, 0.5)

    field = mottle(scene.u, scene.v) * 0.03
    fine = grain(scene.u, scene.v) * 0.014
    if relief_depth > 0.01:  # fainter ones are lost in the grain
        shift = bend(scene.u, scene.v) * 0.1
        _, wall, _ = relief(scene.u + shift, scene.v * 1.4 - shift)
        fine = fine - (1 - smooth(wall, 0.0, 0.25)) * relief_depth
    for channel in range(3):
        value = fair[channel] + (tan[channel] - fair[channel]) * tone
        flush = (redness, -0.6 * redness, -0.4 * redness)[channel]
        scene.picture[channel] = value + flush + field * (0.5, 1.2, 1.1)[channel] + fine
    spots = smooth(freckles(scene.u, scene.v), 0.85 - freckled, 1.5 - freckled)
    scene.filter(YELLOW_BROWN, spots * 0.7)


def paint_hairs(view: Dice, scene: Scene) -> None:
    if not view.chance(0.45):
        return
    color = view.pick(((0.10, 0.08, 0.08), (0.25, 0.16, 0.10), (0.55, 0.45, 0.36)), (4, 3, 1))
    heading = view.direction()
    size = scene.size
    for _ in range(view.whole(1, 9)):
        middle = (view.between(0, size), view.between(0, size))
        lean = view.bell(0.45)
        norm = math.sqrt(1 + lean * lean)
        cos, sin = (heading[0] - lean * heading[1]) / norm, (heading[1] + lean * heading[0]) / norm
        half = view.between(0.25, 0.8) * size
        start, end = (middle[0] - half * cos, middle[1] - half * sin), (middle[0] + half * cos, middle[1] + half * sin)
        x, y = curve(start, end, view.bell(0.12), 0.01, view, int(half * 3) + 2)
        hair = stamp((size, size), x, y, view.between(0.35, 0.95) * size / 224)
        scene.cover(color, hair * 0.88)


def through_lens(view: Dice, scene: Scene) -> np.ndarray:
    """Light, focus and sensor."""
    picture = scene.picture
    for _ in range(view.pick((1, 2, 3), (5, 3, 1))):
        picture = blur(picture, max(1, round(scene.size / 224)))
    tilt = view.direction()
    slope = view.between(0.0, 0.12)
    light = view.between(0.78, 1.1) + slope * (tilt[0] * scene.x + tilt[1] * scene.y)
    square = (scene.x - view.bell(0.06)) ** 2 + (scene.y - view.bell(0.06)) ** 2
    light = light * (1 - view.between(0.0, 0.22) * square)
    if view.chance(0.16):  # the rim of the lens
        rim = view.between(1.1, 1.6)
        light = light * (1 - smooth(square, rim * 0.94, rim * 1.06) * 0.93)
    grain = view.array(scene.size, scene.size) + view.array(scene.size, scene.size) - 1.0
    grain = grain * view.between(0.008, 0.03)
    casts = (view.between(0.9, 1.1), view.between(0.9, 1.1), view.between(0.86, 1.16))
    contrast = view.between(0.8, 1.2)
    for channel, cast in zip(picture, casts, strict=True):
        channel *= light * cast
        channel -= 0.5
        channel *= contrast
        channel += 0.5 + grain
    return picture
