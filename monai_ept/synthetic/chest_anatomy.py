# SPDX-License-Identifier: Apache-2.0

"""A chest as an X-ray sees it: soft tissue, lungs, heart, bones and vessels. Some findings change their shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from monai_ept.synthetic.paint import Dice, Noise, blur, curve, joined, smooth, stamp

__all__ = ["Body", "paint_anatomy"]


@dataclass
class Body:
    """A chest seen from the front, right lung on the left of the picture as radiographs are shown.

    ``x`` runs from -1 to 1 across the picture and ``y`` downwards; 0, 0 lies between the lung roots. ``key`` are the
    numbers that stand for the patient.
    """

    key: tuple[int, ...]
    view: Dice
    findings: tuple[str, ...]
    size: int
    patient: Dice = field(init=False)
    density: np.ndarray = field(init=False)

    def __post_init__(self) -> None:
        self.deal(0)
        lean = self.view.bell(0.025)
        norm = math.sqrt(1 + lean * lean)
        self.cos, self.sin = 1 / norm, lean / norm
        self.scale = self.view.between(0.92, 1.06)
        self.shift = (self.view.bell(0.03), self.view.bell(0.03) + 0.02)
        self.breath = self.view.between(-0.05, 0.04)
        axis = (np.arange(self.size, dtype=np.float32) + 0.5) * (2.0 / self.size) - 1.0
        right = (np.broadcast_to(axis, (self.size, self.size)) - self.shift[0]) / self.scale
        down = (np.broadcast_to(axis[:, None], (self.size, self.size)) - self.shift[1]) / self.scale
        self.x, self.y = right * self.cos + down * self.sin, down * self.cos - right * self.sin
        self.width = self.patient.between(0.92, 1.06)
        self.first, self.other = (1, -1) if self.patient.chance(0.5) else (-1, 1)  # the side of one-sided findings
        self.lungs: dict[int, np.ndarray] = {}
        self.depth: dict[int, np.ndarray] = {}

    def deal(self, part: int) -> None:
        """Take fresh random numbers for a part of the body, so that no finding changes what is drawn elsewhere."""
        self.patient = Dice(*self.key, part)

    def has(self, finding: str) -> bool:
        return finding in self.findings

    def pixels(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        right, down = x * self.cos - y * self.sin, x * self.sin + y * self.cos
        half = self.size / 2
        return (right * self.scale + self.shift[0] + 1) * half, (down * self.scale + self.shift[1] + 1) * half

    def dots(self, x: np.ndarray, y: np.ndarray, radius: np.ndarray | float, soft: int = 1) -> np.ndarray:
        """Dots or lines, blurred as if out of the picture's plane."""
        cover = stamp((self.size, self.size), *self.pixels(x, y), np.asarray(radius) * (self.scale * self.size / 2))
        return blur(cover, max(1, round(soft * self.size / 224)))

    def blob(self, x: float, y: float, radius: float, edge: float, stretch: float = 1.0) -> np.ndarray:
        """A round shadow; ``edge`` is how much of it fades, ``stretch`` makes it upright."""
        across, down = (self.x - x) * stretch, (self.y - y) / stretch
        away = np.sqrt(across * across + down * down)
        return 1 - smooth(away, radius * (1 - edge), radius * (1 + edge))

    def away(self, x: float, y: float) -> np.ndarray:
        """Distance of every pixel to a place."""
        return np.sqrt(np.square(self.x - x) + np.square(self.y - y))

    def in_lung(self, side: int, low: float = -0.55, high: float = 0.35) -> tuple[float, float]:
        """A place well inside a lung."""
        y = self.patient.between(low, high)
        widest = 0.3 + 0.35 * (y + 0.75)
        return side * self.patient.between(0.27, min(0.62, max(0.34, widest))), y


def paint_anatomy(body: Body) -> None:
    """Soft tissue, lungs, heart, spine, ribs and vessels; some findings change them."""
    patient, x, y = body.patient, body.x / body.width, body.y
    outside = np.abs(x)
    emphysema = body.has("emphysema")
    flesh = Noise(patient, 0.6, 3)
    torso = 1 - smooth(outside - 0.06 * smooth(y, -0.6, 0.9), 0.86, 0.98)
    shoulders = smooth(y + 0.25 * (1 - outside) * 1.2, -1.05 + 0.3, -0.72 + 0.3)
    neck = 1 - smooth(outside, 0.2, 0.36)
    torso = torso * np.maximum(shoulders, neck)
    density = torso * (0.66 + 0.05 * flesh(x, y))

    raised = {body.first: patient.between(0.16, 0.26) * body.has("elevated_diaphragm"), body.other: 0.0}
    flat = 0.35 if emphysema else 1.0
    base = 0.56 + (0.12 if emphysema else 0.0) + body.breath + patient.bell(0.02)
    apex = -0.80 + patient.bell(0.02)
    heart_width, large_width = patient.between(0.30, 0.36) * (0.86 if emphysema else 1.0), patient.between(0.50, 0.62)
    if body.has("cardiomegaly"):
        heart_width = large_width
    below = np.zeros_like(density)
    for side in (1, -1):
        xs = x * side
        dome = patient.between(0.13, 0.18) * flat
        across = (xs - 0.42) * (1 / 0.42)
        floor = base - 0.03 * (side < 0) - raised[side] - dome * (1 - across * across)
        down = np.clip((y - apex) * 0.95, 0.0, 1.0)
        outer = 0.20 + (0.60 + 0.04 * emphysema) * np.sqrt(1 - (1 - down) * (1 - down)) - 0.02
        bow = (y + 0.15) * (1 / 0.5)
        inner = 0.115 + 0.05 * np.minimum(bow * bow, 1.5) - 0.03 * down
        depth = np.minimum(np.minimum(outer - xs, xs - inner), np.minimum(floor - y, (y - apex) * 0.8))
        body.depth[side] = depth
        body.lungs[side] = smooth(depth, -0.012, 0.035)
        below = np.maximum(below, smooth(y - floor, -0.01, 0.04) * smooth(xs, -0.1, 0.1))
    lung = np.maximum(body.lungs[1], body.lungs[-1])

    heart_x, heart_y = 0.10 + 0.28 * (heart_width - 0.32), 0.30 + body.breath
    tilted = (x - heart_x) + 0.35 * (y - heart_y)
    round_heart = np.sqrt(
        np.square(tilted * (1 / heart_width)) + np.square((y - heart_y) * (1 / (0.27 + 0.2 * (heart_width - 0.3))))
    )
    heart = 1 - smooth(round_heart, 0.92, 1.07)
    middle = 1 - smooth(outside, 0.13, 0.19)
    lung = lung * (1 - 0.8 * heart)
    for side in (1, -1):
        body.lungs[side] = body.lungs[side] * (1 - 0.8 * heart)
    density = density - lung * (0.46 + 0.07 * emphysema)
    soft = np.maximum(np.maximum(heart * 0.17, middle * 0.15), below * 0.12)
    density = density + soft * torso * smooth(y, -1.0, -0.5)
    bubble = body.blob(0.42, base + 0.12, 0.13, 0.3, 0.85) * smooth(y - base, -0.06, 0.0)
    density = density - bubble * below * patient.between(0.0, 0.2)

    bulge = patient.between(0.06, 0.13) * body.has("tortuous_aorta")
    knob = body.blob(0.16 * body.width + bulge * 0.7, -0.30 - bulge * 0.5, 0.10 + 0.35 * bulge, 0.25)
    curve_in = np.clip((y + 0.3) * (0.62 - y) * 4.7, 0.0, 1.0)
    stream = 1 - smooth(np.abs(x - 0.09 - 1.35 * bulge * curve_in), 0.05, 0.12)
    density = density + np.maximum(knob, stream * smooth(y, -0.4, -0.2)) * (0.14 + bulge)
    if body.has("aortic_calcification"):
        rim_x, rim_y = curve(
            (0.10 + bulge, -0.40 - bulge * 0.5), (0.25 + bulge, -0.27 - bulge * 0.5), -0.28, 0.0, patient, 60
        )
        density = density + body.dots(rim_x * body.width, rim_y, 0.013) * 0.42

    trachea = (1 - smooth(np.abs(x + 0.01), 0.035, 0.065)) * (1 - smooth(y, -0.3, -0.15))
    density = density - trachea * 0.14 * torso
    vertebra = np.abs((y * 7.5) - np.floor(y * 7.5) - 0.5)
    density = density + (1 - smooth(outside, 0.07, 0.10)) * (0.04 + 0.05 * smooth(vertebra, 0.1, 0.4)) * torso

    body.deal(1)
    density = density + _vessels(body) * lung
    body.deal(2)
    density = density + _ribs(body, x, y) * torso
    for side in (1, -1):
        bar_x, bar_y = curve((side * 0.10, -0.60), (side * 0.80, -0.74), side * 0.10, 0.0, patient, 140)
        density = density + body.dots(bar_x * body.width, bar_y, 0.036, 2) * 0.11
    body.density = density


def _ribs(body: Body, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Back ribs that fall outwards and fainter front ribs that rise, with denser rims; one may be healed."""
    total = np.zeros_like(y)
    broken = body.patient.whole(3, 6)
    gap = body.patient.between(0.145, 0.165)
    for side in (1, -1):
        xs = x * side
        wall = smooth(xs, 0.08, 0.16) * (1 - smooth(xs, 0.80, 0.86))
        fall = 0.50 * np.square(np.clip(xs - 0.10, 0, 1)) - 0.02 * xs
        for kind, start, strength in (("back", -0.74, 0.085), ("front", -0.40, 0.045)):
            if kind == "front":
                course = y + 0.55 * (xs - 0.3) + 0.3 * np.square(xs - 0.3)
                here = wall * smooth(xs, 0.22, 0.4)
            else:
                course = y - fall
                here = wall
            if body.has("fracture_old") and kind == "back" and side == body.first:
                step = smooth(xs, 0.50, 0.52) * (1 - smooth(np.abs(course - start - broken * gap), 0.05, 0.08))
                course = course + 0.035 * step
            count = (course - start) * (1 / gap)
            part = np.abs(count - np.floor(count) - 0.5)  # 0 in the middle of a rib, 0.5 between two
            shown = here * smooth(count, 0.0, 0.05) * (1 - smooth(count, 8.95, 9.0))
            band = 1 - smooth(part, 0.15, 0.21)
            rim = band * smooth(part, 0.08, 0.16)
            total = total + shown * (band * strength + rim * strength * 0.5)
    if body.has("fracture_old"):
        at = 0.51
        fall_at = 0.50 * (at - 0.10) * (at - 0.10) - 0.02 * at
        callus = body.blob(body.first * at * body.width, -0.74 + gap * (broken + 0.5) + fall_at + 0.01, 0.062, 0.45)
        total = total + callus * body.patient.between(0.2, 0.28)
    return total


def _vessels(body: Body) -> np.ndarray:
    """Trees of vessels from the lung roots, thinner and fainter outwards."""
    patient = body.patient
    busy = body.has("increased_lung_markings")
    lines = []
    for side in (1, -1):
        for _ in range(22 if busy else 11):
            cos, sin = patient.direction()
            length = patient.between(0.3, 0.6)
            start = (side * patient.between(0.16, 0.24), patient.between(-0.1, 0.12))
            end = (start[0] + side * abs(cos) * length, start[1] + sin * length * 1.2)
            points = int(length * 130)
            x, y = curve(start, end, patient.bell(0.1), 0.05, patient, points)
            fall = np.arange(points, dtype=np.float32) * (1 / points)
            thick = 0.017 if busy else 0.014
            lines.append((x, y, thick * (1 - 0.75 * fall)))
            at = int(points * patient.between(0.3, 0.7))
            fork = float(x[at]), float(y[at])
            tip = (fork[0] + side * patient.between(0.08, 0.25), fork[1] + patient.bell(0.14))
            x, y = curve(fork, tip, patient.bell(0.1), 0.05, patient, 40)
            lines.append((x, y, np.full(40, thick * (0.55 if busy else 0.4), np.float32)))
    x, y, radius = joined(lines)
    tree = body.dots(x, y, radius)
    roots = np.zeros_like(body.y)
    for side in (1, -1):
        roots = np.maximum(roots, body.blob(side * 0.19, 0.0, 0.10, 0.6, 0.8))
    return tree * (0.26 if busy else 0.15) + roots * 0.12
