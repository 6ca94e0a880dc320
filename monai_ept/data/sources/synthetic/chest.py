# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Chest-radiograph-like pictures with the nineteen findings of ChestDR, several of them at once.

A *patient* has a build and findings, a *view* has position, exposure and noise. Findings come together as they do in
clinics: a large heart with oedema and effusion, tuberculosis with scars and calcification.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from monai_ept.data.sources.synthetic.paint import Cells, Dice, Noise, blur, curve, smooth, stamp, to_bytes

__all__ = ["CHEST_CLASSES", "chest_findings", "render_chest"]

CHEST_CLASSES = (
    "pleural_effusion",
    "nodule",
    "pneumonia",
    "cardiomegaly",
    "hilar_enlargement",
    "fracture_old",
    "fibrosis",
    "aortic_calcification",
    "tortuous_aorta",
    "thickened_pleura",
    "TB",
    "pneumothorax",
    "emphysema",
    "atelectasis",
    "calcification",
    "pulmonary_edema",
    "increased_lung_markings",
    "elevated_diaphragm",
    "consolidation",
)
_PATIENT, _VIEW, _FINDINGS = 21, 22, 23  # streams of random numbers

# How often one finding brings another with it.
_COMPANIONS: dict[str, dict[str, float]] = {
    "pleural_effusion": {"cardiomegaly": 0.25, "atelectasis": 0.3, "consolidation": 0.2},
    "nodule": {"calcification": 0.2, "emphysema": 0.15},
    "pneumonia": {"consolidation": 0.3, "pleural_effusion": 0.2, "increased_lung_markings": 0.25},
    "cardiomegaly": {"pulmonary_edema": 0.3, "pleural_effusion": 0.3, "tortuous_aorta": 0.3},
    "hilar_enlargement": {"TB": 0.15, "increased_lung_markings": 0.3},
    "fracture_old": {"thickened_pleura": 0.25, "aortic_calcification": 0.2},
    "fibrosis": {"thickened_pleura": 0.3, "TB": 0.2, "increased_lung_markings": 0.2},
    "aortic_calcification": {"tortuous_aorta": 0.5, "cardiomegaly": 0.2},
    "tortuous_aorta": {"aortic_calcification": 0.4, "cardiomegaly": 0.25},
    "thickened_pleura": {"fibrosis": 0.25, "calcification": 0.15},
    "TB": {"fibrosis": 0.4, "calcification": 0.4, "thickened_pleura": 0.3},
    "pneumothorax": {"emphysema": 0.25, "atelectasis": 0.2},
    "emphysema": {"increased_lung_markings": 0.25, "aortic_calcification": 0.15},
    "atelectasis": {"elevated_diaphragm": 0.35, "pleural_effusion": 0.2},
    "calcification": {"TB": 0.25, "nodule": 0.15},
    "pulmonary_edema": {"cardiomegaly": 0.6, "pleural_effusion": 0.45},
    "increased_lung_markings": {"emphysema": 0.15, "cardiomegaly": 0.15},
    "elevated_diaphragm": {"atelectasis": 0.3},
    "consolidation": {"pneumonia": 0.3, "pleural_effusion": 0.25},
}


def chest_findings(seed: int, patient: int) -> tuple[str, ...]:
    """What a patient has. Patients take turns with the leading finding, so that none is rare; one in twenty is healthy.

    Args:
        seed: seed of the data set.
        patient: number of the patient.
    """
    turn, place = divmod(patient, len(CHEST_CLASSES) + 1)
    order = list(range(len(CHEST_CLASSES) + 1))
    shuffle = Dice(_FINDINGS, seed, 0, turn)
    for last in range(len(order) - 1, 0, -1):
        other = shuffle.whole(0, last)
        order[last], order[other] = order[other], order[last]
    leading = order[place]
    if leading == len(CHEST_CLASSES):
        return ()
    dice = Dice(_FINDINGS, seed, 1, patient)
    found = {CHEST_CLASSES[leading]}
    found |= {name for name, often in _COMPANIONS[CHEST_CLASSES[leading]].items() if dice.chance(often)}
    if dice.chance(0.15):
        found.add(dice.pick(CHEST_CLASSES))
    return tuple(name for name in CHEST_CLASSES if name in found)


@dataclass
class Body:
    """A chest seen from the front, right lung on the left of the picture as radiographs are shown.

    ``x`` runs from -1 to 1 across the picture and ``y`` downwards; 0, 0 lies between the lung roots.

    Args:
        key: numbers that stand for the patient.
        view: random numbers of the view.
        findings: what the patient has.
        size: pixels along an edge.
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

    def in_lung(self, side: int, low: float = -0.55, high: float = 0.35) -> tuple[float, float]:
        """A place well inside a lung."""
        y = self.patient.between(low, high)
        widest = 0.3 + 0.35 * (y + 0.75)
        return side * self.patient.between(0.27, min(0.62, max(0.34, widest))), y


def _anatomy(body: Body) -> None:
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
    xs, ys, radii = [], [], []
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
            xs.append(x)
            ys.append(y)
            radii.append(thick * (1 - 0.75 * fall))
            at = int(points * patient.between(0.3, 0.7))
            tip = (float(x[at]) + side * patient.between(0.08, 0.25), float(y[at]) + patient.bell(0.14))
            x, y = curve((float(x[at]), float(y[at])), tip, patient.bell(0.1), 0.05, patient, 40)
            xs.append(x)
            ys.append(y)
            radii.append(np.full(40, thick * (0.55 if busy else 0.4), np.float32))
    tree = body.dots(np.concatenate(xs), np.concatenate(ys), np.concatenate(radii))
    roots = np.zeros_like(body.y)
    for side in (1, -1):
        roots = np.maximum(roots, body.blob(side * 0.19, 0.0, 0.10, 0.6, 0.8))
    return tree * (0.26 if busy else 0.15) + roots * 0.12


# --------------------------------------------------------------------------------------------------------- findings
# Each draws one finding into the lungs; the others, which change the anatomy, are drawn with it.


def _effusion(body: Body) -> None:
    """Fluid: white below a surface that climbs towards the chest wall."""
    sides = (1, -1) if body.patient.chance(0.3) else (body.other if body.has("elevated_diaphragm") else body.first,)
    for side in sides:
        level = body.patient.between(0.12, 0.40)
        xs = body.x * side
        surface = level - 0.75 * np.square(np.clip(xs - 0.2, 0, 1)) + 0.05
        fluid = smooth(body.y - surface, -0.02, 0.10) * smooth(body.depth[side], -0.03, 0.0)
        corner = smooth(xs, 0.15, 0.3) * smooth(body.y - surface, 0.0, 0.1) * (1 - smooth(xs, 0.78, 0.84))
        body.density += np.maximum(fluid, corner * 0.5 * smooth(body.y, 0.2, 0.4)) * 0.40


def _nodule(body: Body) -> None:
    for _ in range(body.patient.whole(1, 2)):
        side = body.patient.pick((1, -1))
        x, y = body.in_lung(side)
        radius = body.patient.between(0.04, 0.085)
        ragged = Noise(body.patient, 0.06, 2)(body.x, body.y) * 0.012
        away = np.sqrt(np.square(body.x - x) + np.square(body.y - y)) + ragged
        body.density += (1 - smooth(away, radius * 0.7, radius * 1.1)) * body.patient.between(0.24, 0.34)


def _pneumonia(body: Body) -> None:
    """Fluffy patches without an edge, in one lung."""
    side = body.patient.pick((1, -1))
    cloud = Noise(body.patient, 0.22, 3, 0.5)(body.x, body.y)
    for _ in range(body.patient.whole(2, 3)):
        x, y = body.in_lung(side, -0.2, 0.4)
        haze = body.blob(x, y, body.patient.between(0.15, 0.24), 0.9)
        body.density += haze * smooth(cloud, -0.9, 0.9) * body.lungs[side] * 0.40


def _consolidation(body: Body) -> None:
    """A lobe filled solid: dense, with a straight lower or upper edge, dark bronchi inside."""
    side, upper = body.patient.pick((1, -1)), body.patient.chance(0.5)
    edge, tilt = body.patient.between(-0.16, 0.06), body.patient.between(-0.2, 0.2)
    line = body.y - edge - tilt * body.x * side
    cloud = Noise(body.patient, 0.3, 3)(body.x, body.y)
    part = (1 - smooth(line, -0.02, 0.02)) if upper else smooth(line, -0.02, 0.02) * (1 - smooth(line, 0.35, 0.5))
    bronchi = np.zeros_like(body.y)
    for _ in range(4):
        reach = -body.patient.between(0.2, 0.5) if upper else body.patient.between(0.2, 0.45)
        tip = (side * body.patient.between(0.35, 0.65), reach)
        x, y = curve((side * 0.2, -0.02), tip, body.patient.bell(0.1), 0.0, body.patient, 80)
        bronchi = np.maximum(bronchi, body.dots(x, y, 0.011))
    solid = part * body.lungs[side] * (0.36 + 0.06 * cloud)
    body.density += solid * (1 - 0.5 * bronchi)


def _hilar(body: Body) -> None:
    """Lumpy, enlarged lung roots."""
    for side in (1, -1):
        for _ in range(3):
            x, y = side * body.patient.between(0.2, 0.28), body.patient.between(-0.12, 0.12)
            body.density += body.blob(x, y, body.patient.between(0.08, 0.11), 0.35) * 0.12


def _fibrosis(body: Body) -> None:
    """A net of scars, in the lower or upper zones."""
    cells = Cells(body.patient, body.patient.between(0.05, 0.075), 0.95)
    bend = Noise(body.patient, 0.2, 2)(body.x, body.y) * 0.03
    _, wall, tone = cells(body.x + bend, body.y - bend)
    net = (1 - smooth(wall, 0.03, 0.22)) * (0.5 + tone)
    where = smooth(body.y, 0.0, 0.3) if body.patient.chance(0.6) else 1 - smooth(body.y, -0.45, -0.15)
    patchy = smooth(Noise(body.patient, 0.4, 2)(body.x, body.y), -0.9, 0.1)
    for side in (1, -1):
        body.density += net * where * patchy * body.lungs[side] * 0.22


def _thick_pleura(body: Body) -> None:
    """A band along the chest wall."""
    side = body.patient.pick((1, -1))
    width = body.patient.between(0.07, 0.11) * (1 + 0.5 * Noise(body.patient, 0.3, 2)(body.x, body.y))
    band = smooth(body.depth[side], -0.02, 0.01) * (1 - smooth(body.depth[side] - width, -0.015, 0.015))
    lateral = smooth(body.x * side, 0.36, 0.46) * (1 - smooth(body.y, 0.30, 0.5))
    body.density += band * lateral * 0.30


def _tb(body: Body) -> None:
    """Upper zone: a cavity with a thick wall, and a spray of small spots."""
    side = body.patient.pick((1, -1))
    x, y = side * body.patient.between(0.33, 0.46), body.patient.between(-0.5, -0.32)
    ragged = Noise(body.patient, 0.1, 2)(body.x, body.y) * 0.02
    away = np.sqrt(np.square(body.x - x) + np.square((body.y - y) * 1.15)) + ragged
    radius = body.patient.between(0.085, 0.125)
    ring = (1 - smooth(np.abs(away - radius), 0.012, 0.04)) * 0.32
    hollow = (1 - smooth(away, radius * 0.6, radius * 0.9)) * 0.07
    spots = 34
    spot_x = np.full(spots, x, np.float32) + (body.patient.array(spots) + body.patient.array(spots) - 1) * 0.26
    spot_y = np.full(spots, y, np.float32) + (body.patient.array(spots) + body.patient.array(spots) - 1) * 0.26
    spray = body.dots(spot_x, spot_y, 0.011 + 0.012 * body.patient.array(spots), 2)
    haze = body.blob(x, y, 0.22, 0.8) * 0.10
    body.density += (ring + haze + spray * 0.26) * body.lungs[side] - hollow


def _pneumothorax(body: Body) -> None:
    """Air outside the lung: black and empty, bounded by a thin line."""
    side = body.other if body.has("pleural_effusion") else body.first
    width = body.patient.between(0.12, 0.22) * (1.15 - 0.6 * smooth(body.y, -0.5, 0.5))
    free = smooth(body.depth[side], -0.01, 0.03) * smooth(body.x * side, 0.22, 0.34)
    free = free * (1 - smooth(body.y, 0.2, 0.5))
    empty = free * (1 - smooth(body.depth[side] - width, -0.008, 0.008))
    line = free * (1 - smooth(np.abs(body.depth[side] - width), 0.006, 0.018))
    # without vessels: what is left of them is taken out
    body.density += empty * (np.minimum(body.density, 0.12) - body.density) * 0.8 + line * 0.20


def _emphysema(body: Body) -> None:
    """Round, empty bullae; the wide lungs and flat diaphragm belong to the anatomy."""
    for _ in range(body.patient.whole(2, 4)):
        side = body.patient.pick((1, -1))
        x, y = body.in_lung(side, -0.6, 0.0)
        radius = body.patient.between(0.09, 0.16)
        away = np.sqrt(np.square(body.x - x) + np.square(body.y - y))
        body.density -= (1 - smooth(away, radius * 0.8, radius)) * 0.10 * body.lungs[side]
        body.density += (1 - smooth(np.abs(away - radius), 0.0, 0.014)) * 0.07 * body.lungs[side]


def _atelectasis(body: Body) -> None:
    """Collapsed lung: plates lying flat above the diaphragm, or a wedge."""
    side = body.first
    top = body.patient.between(0.06, 0.2) - (0.2 if body.has("elevated_diaphragm") else 0.0)
    for _ in range(body.patient.whole(2, 3)):
        start = (side * body.patient.between(0.24, 0.32), top + body.patient.bell(0.03))
        end = (side * body.patient.between(0.55, 0.68), top + body.patient.bell(0.05))
        x, y = curve(start, end, body.patient.bell(0.04), 0.02, body.patient, 90)
        body.density += body.dots(x, y, body.patient.between(0.012, 0.022), 2) * 0.34
        top -= body.patient.between(0.07, 0.12)


def _calcification(body: Body) -> None:
    """A few small grains as dense as bone."""
    count = body.patient.whole(5, 11)
    places = [body.in_lung(body.patient.pick((1, -1)), -0.5, 0.3) for _ in range(max(2, count // 3))]
    x = (
        np.asarray([places[i % len(places)][0] for i in range(count)], np.float32)
        + (body.patient.array(count) - 0.5) * 0.12
    )
    y = (
        np.asarray([places[i % len(places)][1] for i in range(count)], np.float32)
        + (body.patient.array(count) - 0.5) * 0.12
    )
    body.density += body.dots(x, y, 0.013 + 0.014 * body.patient.array(count)) * 0.62


def _edema(body: Body) -> None:
    """Haze like wings on both sides of the heart, and short lines at the edge."""
    cloud = Noise(body.patient, 0.18, 3, 0.6)(body.x, body.y)
    for side in (1, -1):
        wing = body.blob(side * 0.30, 0.06, 0.34, 0.75, 0.85) * body.lungs[side]
        body.density += wing * (0.28 + 0.10 * cloud)
        for step in range(6):
            y = 0.14 + 0.05 * step
            x_line, y_line = curve((side * 0.66, y), (side * 0.76, y + 0.01), 0.0, 0.0, body.patient, 16)
            body.density += body.dots(x_line, y_line, 0.006) * body.lungs[side] * 0.35


_FINDING_PAINTERS: dict[str, Callable[[Body], None]] = {
    "emphysema": _emphysema,
    "hilar_enlargement": _hilar,
    "fibrosis": _fibrosis,
    "pulmonary_edema": _edema,
    "pneumonia": _pneumonia,
    "consolidation": _consolidation,
    "nodule": _nodule,
    "TB": _tb,
    "calcification": _calcification,
    "atelectasis": _atelectasis,
    "thickened_pleura": _thick_pleura,
    "pneumothorax": _pneumothorax,
    "pleural_effusion": _effusion,
}


def render_chest(findings: tuple[str, ...], *, seed: int, patient: int, view: int, img_size: int = 224) -> np.ndarray:
    """One chest-radiograph-like picture.

    Args:
        findings: names from :py:data:`CHEST_CLASSES`; empty for a healthy chest.
        seed: seed of the data set.
        patient: number of the patient, who has the same build and findings in every view.
        view: number of the picture; it fixes position, breath, exposure and noise.
        img_size: pixels along an edge.

    Raises:
        ValueError: when there is no such finding.

    Returns:
        bytes of shape (img_size, img_size), the same on every machine.
    """
    unknown = [name for name in findings if name not in CHEST_CLASSES]
    if unknown:
        raise ValueError(f"there is no finding {unknown[0]!r}; choose from {', '.join(CHEST_CLASSES)}.")
    lens = Dice(_VIEW, seed, patient, view)
    body = Body((_PATIENT, seed, patient), lens, findings, img_size)
    _anatomy(body)
    for part, (name, paint) in enumerate(_FINDING_PAINTERS.items(), start=3):
        if name in findings:
            body.deal(part)
            paint(body)
    exposed = blur(body.density, lens.pick((0, 1), (2, 1)))
    # film saturates: what is dense already grows little whiter
    bright = np.maximum(exposed - 0.6, 0.0)
    exposed = np.minimum(exposed, 0.6) + bright * (1 / (1 + 1.6 * bright))
    exposed = (exposed - 0.45) * lens.between(0.9, 1.2) + 0.45 + lens.bell(0.03)
    grain = lens.array(img_size, img_size) + lens.array(img_size, img_size) - 1.0
    return to_bytes(0.04 + exposed + grain * lens.between(0.02, 0.05))
