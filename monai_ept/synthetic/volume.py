# SPDX-License-Identifier: Apache-2.0

"""Small CT-like volumes of an adrenal gland: two or three limbs in fat, beside a kidney and a vessel.

The classes differ in shape. A normal gland has slim limbs, a mass is a ball on one of them, in hyperplasia all limbs
are thick. Glands come large and small, and kidney and vessel are as dense as the gland, so that neither the mean nor
the amount of tissue tells them apart.
"""

from __future__ import annotations

import math

import numpy as np

from monai_ept.synthetic.paint import Dice, Noise, blur, smooth

__all__ = ["VOLUME_CLASSES", "render_volume"]

VOLUME_CLASSES = ("normal", "mass", "hyperplasia")
_GLAND, _SCAN = 31, 32  # streams of random numbers
_FAT, _TISSUE = -100.0, 40.0  # Hounsfield units

Point = tuple[float, float, float]


def _grid(scan: Dice, size: int) -> list[np.ndarray]:
    """Coordinates from -1 to 1, turned by up to some twenty degrees, shifted and scaled a little."""
    axis = (np.arange(size, dtype=np.float32) + 0.5) * (2.0 / size) - 1.0
    scale = scan.between(0.92, 1.1)
    x, y, z = (
        np.broadcast_to(axis.reshape(shape), (size, size, size)) * (1 / scale) - scan.bell(0.04)
        for shape in ((-1, 1, 1), (1, -1, 1), (1, 1, -1))
    )
    # a rotation from a quaternion near 1 needs no sine
    a, b, c = scan.bell(0.07), scan.bell(0.07), scan.bell(0.07)
    norm = math.sqrt(1 + a * a + b * b + c * c)
    w, a, b, c = 1 / norm, a / norm, b / norm, c / norm
    rows = (
        (1 - 2 * (b * b + c * c), 2 * (a * b - c * w), 2 * (a * c + b * w)),
        (2 * (a * b + c * w), 1 - 2 * (a * a + c * c), 2 * (b * c - a * w)),
        (2 * (a * c - b * w), 2 * (b * c + a * w), 1 - 2 * (a * a + b * b)),
    )
    return [x * row[0] + y * row[1] + z * row[2] for row in rows]


def _distance(grid: list[np.ndarray], start: Point, end: Point) -> np.ndarray:
    """Distance of every voxel to a straight piece of a limb."""
    along = [e - s for s, e in zip(start, end, strict=True)]
    square = along[0] * along[0] + along[1] * along[1] + along[2] * along[2]
    offset = [axis - s for axis, s in zip(grid, start, strict=True)]
    place = (offset[0] * along[0] + offset[1] * along[1] + offset[2] * along[2]) * (1 / square)
    place = np.clip(place, 0.0, 1.0)
    rest = [o - place * a for o, a in zip(offset, along, strict=True)]
    return np.sqrt(rest[0] * rest[0] + rest[1] * rest[1] + rest[2] * rest[2])


def _limbs(dice: Dice, reach: float) -> list[tuple[Point, Point]]:
    """Pieces of the limbs: a crest and two legs spread like a Y, each bent once."""
    flip = 1.0 if dice.chance(0.5) else -1.0
    center = (dice.bell(0.05), 0.15 + dice.bell(0.05), dice.bell(0.05))
    tips = [
        (flip * dice.between(0.35, 0.65), -dice.between(0.5, 0.75), dice.bell(0.18)),
        (-flip * dice.between(0.3, 0.6), -dice.between(0.45, 0.7), dice.bell(0.18)),
        (dice.bell(0.12), dice.between(0.35, 0.6), dice.bell(0.15)),
    ]
    pieces = []
    for tip in tips:
        knee = tuple(c + reach * (0.5 * t + dice.bell(0.06)) for c, t in zip(center, tip, strict=True))
        end = tuple(c + reach * t for c, t in zip(center, tip, strict=True))
        pieces += [(center, knee), (knee, end)]
    return pieces  # type: ignore[return-value]


def render_volume(class_name: str, *, seed: int, gland: int, scan: int, img_size: int = 32) -> np.ndarray:
    """One small volume.

    Args:
        class_name: one of :py:data:`VOLUME_CLASSES`.
        gland: number of the gland; volumes of one gland share its shape and surroundings.
        scan: number of the volume; it fixes position, turn and noise.

    Raises:
        ValueError: when there is no such class.

    Returns:
        16-bit whole numbers of shape (img_size, img_size, img_size) in Hounsfield units, the same on every machine.
    """
    if class_name not in VOLUME_CLASSES:
        raise ValueError(f"there is no class {class_name!r}; choose from {', '.join(VOLUME_CLASSES)}.")
    number = VOLUME_CLASSES.index(class_name)
    dice, lens = Dice(_GLAND, seed, number, gland), Dice(_SCAN, seed, number, gland, scan)
    grid = _grid(lens, img_size)
    reach, slim = dice.between(0.75, 1.15), dice.between(0.085, 0.125)
    pieces = _limbs(dice, reach)
    rough = Noise(dice, 0.45, 2, spatial_dims=3)(*grid)
    thick = slim * dice.between(1.7, 2.2) if class_name == "hyperplasia" else slim

    gland_depth = np.full(grid[0].shape, -9.0, np.float32)
    for start, end in pieces:
        # limbs are sheets rather than rods: flat, and long from head to foot
        flat = [grid[0], grid[1], grid[2] * 0.62]
        depth = thick - _distance(flat, (start[0], start[1], start[2] * 0.62), (end[0], end[1], end[2] * 0.62))
        gland_depth = np.maximum(gland_depth, depth)
    on = dice.pick(pieces)[1]
    radius = dice.between(0.24, 0.36)
    ball = radius - _distance(grid, on, (on[0], on[1], on[2] + 1e-3))
    lighter = dice.between(-35.0, 5.0)  # many masses hold fat
    edge = max(0.05, 1.2 / img_size)
    tissue = smooth(gland_depth + 0.025 * rough, -edge, edge)
    values = _FAT + (_TISSUE + dice.bell(6.0) - _FAT) * tissue
    if class_name == "mass":
        share = smooth(ball + 0.03 * rough, -edge, edge)
        values = values + (_TISSUE + lighter - values) * share

    values = _surroundings(dice, grid, values, edge)
    sharp = blur(values, lens.pick((0, 1), (2, 1)), spatial_dims=3)
    grain = lens.array(*values.shape) + lens.array(*values.shape) + lens.array(*values.shape) - 1.5
    noisy = sharp + grain * lens.between(24.0, 60.0)
    return np.floor(np.clip(noisy, -1000.0, 1000.0) + 0.5).astype(np.int16)


def _surroundings(dice: Dice, grid: list[np.ndarray], values: np.ndarray, edge: float) -> np.ndarray:
    """The upper pole of a kidney in a corner, a vessel along the edge, strands in the fat."""
    side = 1.0 if dice.chance(0.5) else -1.0
    center = (side * dice.between(0.75, 1.0), -dice.between(0.8, 1.05), dice.between(-1.0, 1.0))
    kidney = dice.between(0.45, 0.75) - _distance(grid, center, (center[0], center[1], center[2] + 0.2))
    foot = (-side * dice.between(0.75, 0.95), dice.between(0.5, 0.9), -1.4)
    head = (foot[0] + dice.bell(0.1), foot[1] + dice.bell(0.1), 1.4)
    vessel = dice.between(0.12, 0.3) - _distance(grid, foot, head)
    strands = np.abs(Noise(dice, 0.5, 2, spatial_dims=3)(*grid))
    values = values + (1 - smooth(strands, 0.0, 0.12)) * 22.0 * (values < -60.0)
    for depth in (kidney, vessel):
        share = smooth(depth, -edge, edge)
        values = values + (np.maximum(values, _TISSUE + 8.0) - values) * share
    return values
