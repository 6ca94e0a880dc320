# SPDX-License-Identifier: Apache-2.0

"""Chest-radiograph-like pictures with the nineteen findings of ChestDR, several of them at once.

A *patient* has a build and findings, a *view* has position, exposure and noise. Findings come together as they do in
clinics: a large heart with oedema and effusion, tuberculosis with scars and calcification.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from monai_ept.synthetic.chest_anatomy import Body, paint_anatomy
from monai_ept.synthetic.paint import Cells, Dice, Noise, blur, curve, smooth, to_bytes

__all__ = ["CHEST_CLASSES", "chest_findings", "render_chest"]

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

CHEST_CLASSES = tuple(_COMPANIONS)
"""The nineteen findings in the order of ChestDR's labels."""


def chest_findings(seed: int, patient: int) -> tuple[str, ...]:
    """What a patient has. Patients take turns with the leading finding, so that none is rare; one in 20 is healthy."""
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
    name = CHEST_CLASSES[leading]
    found = {name, *(other for other, often in _COMPANIONS[name].items() if dice.chance(often))}
    if dice.chance(0.15):
        found.add(dice.pick(CHEST_CLASSES))
    return tuple(name for name in CHEST_CLASSES if name in found)


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
        away = body.away(x, y) + ragged
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
        away = body.away(x, y)
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
    centres = np.asarray([places[i % len(places)] for i in range(count)], np.float32)
    x = centres[:, 0] + (body.patient.array(count) - 0.5) * 0.12
    y = centres[:, 1] + (body.patient.array(count) - 0.5) * 0.12
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


_PAINTERS: dict[str, Callable[[Body], None]] = {
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
        patient: number of the patient, who has the same build and findings in every view.
        view: number of the picture; it fixes position, breath, exposure and noise.

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
    paint_anatomy(body)
    for part, (name, paint) in enumerate(_PAINTERS.items(), start=3):
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
