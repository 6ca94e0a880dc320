# SPDX-License-Identifier: Apache-2.0

"""What a dermatologist looks for in a lesion: networks, vessels, globules, streaks, nests."""

from __future__ import annotations

import math

import numpy as np

from monai_ept.synthetic.paint import Cells, Dice, Noise, blur, curve, joined, mix, smooth
from monai_ept.synthetic.skin import Scene, Shape

__all__ = ["clusters", "fade", "nests", "network", "scatter", "streaks", "vessel_tree"]


def scatter(dice: Dice, count: int, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Places whose distance from the lesion's centre lies between two radii."""
    places: list[tuple[float, float]] = []
    while len(places) < count:
        u, v = dice.in_disc(high)
        if u * u + v * v >= low * low:
            places.append((u, v))
    array = np.asarray(places, np.float32).reshape(-1, 2)
    return array[:, 0], array[:, 1]


def network(scene: Scene, cells: Cells, warp: Noise, width: float, warped: float) -> np.ndarray:
    """Lines of a pigment network: the walls of a bent honeycomb, darkest in their middle and here and there faint."""
    bend = warp(scene.u, scene.v)
    _, wall, tone = cells(scene.u + bend * warped, scene.v - bend * warped)
    edge = max(width, 0.7 * scene.pixel / cells.cell)
    return (1.0 - smooth(wall, 0.3 * edge, 1.5 * edge)) * (0.72 + 0.28 * tone) * (0.85 + 0.3 * bend)


def vessel_tree(dice: Dice, scene: Scene, trunks: int, thickness: float, reach: float) -> np.ndarray:
    """Branching vessels that grow thinner from branch to branch."""
    lines = []

    def grow(start: tuple[float, float], heading: tuple[float, float], length: float, thick: float, level: int) -> None:
        end = (start[0] + heading[0] * length, start[1] + heading[1] * length)
        u, v = curve(start, end, dice.bell(0.16), 0.07, dice, max(8, int(length * 110)))
        lines.append((u, v, mix(thick, thick * 0.55, np.linspace(0, 1, len(u), dtype=np.float32))))
        if level == 0:
            return
        for _ in range(dice.whole(2, 3)):
            at = int(len(u) * dice.between(0.3, 0.98))
            turn = dice.between(0.35, 0.9) * (1 if dice.chance(0.5) else -1)
            norm = math.sqrt(1 + turn * turn)
            side = ((heading[0] - turn * heading[1]) / norm, (heading[1] + turn * heading[0]) / norm)
            grow((float(u[at]), float(v[at])), side, length * dice.between(0.4, 0.75), thick * 0.62, level - 1)

    for _ in range(trunks):
        out = dice.direction()
        around = dice.bell(0.35)
        start = (out[0] * reach, out[1] * reach)
        heading = (-out[0] - around * out[1], -out[1] + around * out[0])
        norm = math.sqrt(heading[0] * heading[0] + heading[1] * heading[1])
        grow(start, (heading[0] / norm, heading[1] / norm), dice.between(0.7, 1.15), thickness, 2)
    return scene.dots(*joined(lines))


def fade(scene: Scene, cover: np.ndarray, times: int = 1) -> np.ndarray:
    """What lies deeper in the skin looks less sharp."""
    return blur(cover, max(1, round(times * scene.size / 224)))


def streaks(dice: Dice, shape: Shape, side: tuple[float, float]) -> tuple[np.ndarray, ...]:
    """Short radial lines with bulbs at their ends, on one side of the border only."""
    lines = []
    for _ in range(dice.whole(9, 16)):
        turn = dice.bell(0.5)
        norm = math.sqrt(1 + turn * turn)
        cos, sin = (side[0] - turn * side[1]) / norm, (side[1] + turn * side[0]) / norm
        inner, outer = dice.between(0.72, 0.88), dice.between(1.05, 1.28)
        u, v = curve((cos * inner, sin * inner), (cos * outer, sin * outer), dice.bell(0.05), 0.0, dice, 26)
        thick = np.full(26, dice.between(0.014, 0.024), np.float32)
        thick[-5:] *= np.float32(1.7)
        lines.append((u / shape.stretch, v * shape.stretch, thick))
    return joined(lines)


def nests(dice: Dice, count: int) -> tuple[np.ndarray, ...]:
    """Ovoid clumps, each a few overlapping dots in a row."""
    rows = []
    for _ in range(count):
        u, v = dice.in_disc(0.75)
        cos, sin = dice.direction()
        length, radius = dice.between(0.04, 0.16), dice.between(0.05, 0.115)
        along = (np.arange(7, dtype=np.float32) - 3) * (length / 3)
        rows.append((u + cos * along, v + sin * along, np.full(7, radius, np.float32)))
    return joined(rows)


def clusters(dice: Dice, clusters: int, each: int) -> tuple[np.ndarray, ...]:
    """Dots in groups, as coiled vessels stand."""
    groups = []
    for _ in range(clusters):
        u, v = dice.in_disc(0.7)
        du, dv = scatter(dice, each, 0.0, 0.34)
        groups.append((u + du, v + dv))
    return joined(groups)
