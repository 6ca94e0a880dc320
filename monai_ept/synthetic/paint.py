# SPDX-License-Identifier: Apache-2.0

"""Drawing with arithmetic that gives the same bits on every machine.

Sine, exponential and matrix products differ in the last bit between processors and NumPy builds. Here only ``+ - * /``,
square roots, ``floor`` and comparisons are used, which IEEE 754 fixes to the bit, on random numbers that come straight
from PCG64. Nothing is summed in an order that a library may choose.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TypeVar

import numpy as np

__all__ = ["Cells", "Dice", "Noise", "blur", "curve", "joined", "mix", "smooth", "stamp", "to_bytes"]

T = TypeVar("T")
TABLE = 32  # lattices repeat after so many cells, which is more than an image shows


class Dice:
    """Random numbers that a key of whole numbers, such as (seed, stream, index), makes independent of all others."""

    def __init__(self, *key: int) -> None:
        self.generator = np.random.Generator(np.random.PCG64(np.random.SeedSequence(key)))

    def between(self, low: float, high: float) -> float:
        return low + (high - low) * float(self.generator.random())

    def whole(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return low + min(int(self.generator.random() * (high - low + 1)), high - low)

    def chance(self, probability: float) -> bool:
        return bool(self.generator.random() < probability)

    def pick(self, options: Sequence[T], weights: Sequence[float] | None = None) -> T:
        if weights is None:
            return options[self.whole(0, len(options) - 1)]
        left = self.between(0, math.fsum(weights))
        for option, weight in zip(options, weights, strict=True):
            left -= weight
            if left < 0:
                return option
        return options[-1]

    def bell(self, spread: float = 1.0) -> float:
        """Bell-shaped around 0 with this standard deviation, never beyond 3.5 of them."""
        four = self.generator.random() + self.generator.random() + self.generator.random() + self.generator.random()
        return spread * (float(four) - 2.0) * 1.7320508

    def array(self, *shape: int) -> np.ndarray:
        """Uniform in [0, 1), float32."""
        return self.generator.random(shape).astype(np.float32)

    def direction(self) -> tuple[float, float]:
        """Cosine and sine of a uniform angle, without either function."""
        while True:
            x, y = self.between(-1, 1), self.between(-1, 1)
            square = x * x + y * y
            if 0.05 < square <= 1:
                length = math.sqrt(square)
                return x / length, y / length

    def in_disc(self, radius: float = 1.0) -> tuple[float, float]:
        while True:
            x, y = self.between(-1, 1), self.between(-1, 1)
            if x * x + y * y <= 1:
                return radius * x, radius * y


def smooth(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """0 below ``low``, 1 above ``high``, an S-shaped step between."""
    step = (values - low) * (1.0 / (high - low))
    np.clip(step, 0.0, 1.0, out=step)
    return step * step * (3.0 - 2.0 * step)


def mix(first: np.ndarray | float, second: np.ndarray | float, weight: np.ndarray | float) -> np.ndarray:
    """``first`` where the weight is 0, ``second`` where it is 1."""
    return np.asarray(first + (second - first) * weight)


class Noise:
    """Smooth random field over the plane or space, roughly within ±1, that changes over the distance ``cell``.

    Every further octave adds detail of half the size, and ``gain`` times as strong as the one before.
    """

    def __init__(self, dice: Dice, cell: float, octaves: int = 1, gain: float = 0.5, spatial_dims: int = 2) -> None:
        size = TABLE if spatial_dims == 2 else 16
        self.tables = [dice.array(size**spatial_dims) * 2 - 1 for _ in range(octaves)]
        self.cell, self.gain, self.size = cell, gain, size

    def __call__(self, *axes: np.ndarray) -> np.ndarray:
        """The field at places whose coordinates are linear in the picture's rows and columns."""
        if len(axes) != 2 or min(axes[0].shape) < 4:
            return self._octaves(axes, self.tables, self.cell, 1.0)
        # wide octaves are drawn on every second row and column: four times faster, and no eye sees it
        (u, v), count = axes, 0
        across, down = float(u[0, 1] - u[0, 0]), float(v[0, 1] - v[0, 0])
        pitch = math.sqrt(across * across + down * down)
        while count < len(self.tables) and math.ldexp(self.cell, -count) >= 8 * pitch:
            count += 1
        if not count:
            return self._octaves(axes, self.tables, self.cell, 1.0)
        coarse = self._octaves((u[::2, ::2], v[::2, ::2]), self.tables[:count], self.cell, 1.0)
        total = _doubled(coarse, u.shape)
        if count < len(self.tables):
            weight = 1.0
            for _ in range(count):
                weight *= self.gain
            total += self._octaves(axes, self.tables[count:], math.ldexp(self.cell, -count), weight)
        return total

    def _octaves(
        self, axes: tuple[np.ndarray, ...], tables: Sequence[np.ndarray], cell: float, weight: float
    ) -> np.ndarray:
        total = np.zeros(axes[0].shape, np.float32)
        for table in tables:
            layer = self._layer(table, axes, cell)
            layer *= weight
            total += layer
            cell, weight = cell * 0.5, weight * self.gain
        return total

    def _layer(self, table: np.ndarray, axes: tuple[np.ndarray, ...], cell: float) -> np.ndarray:
        fades, positions = [], []
        stride = 1
        for axis in axes:
            scaled = axis * (1.0 / cell)
            whole = np.floor(scaled)
            scaled -= whole
            fades.append(scaled * scaled * (3.0 - 2.0 * scaled))
            index = whole.astype(np.intp)
            positions.append([((index + step) & (self.size - 1)) * stride for step in (0, 1)])
            stride *= self.size
        return self._between(table, positions, fades)

    def _between(self, table: np.ndarray, positions: list[list[np.ndarray]], fades: list[np.ndarray]) -> np.ndarray:
        """Interpolates along the last axis between the two interpolations along all others."""
        *others, last = positions
        if not others:
            start, end = table.take(last[0]), table.take(last[1])
        else:
            moved = [[[p + at for p in others[0]], *others[1:]] for at in last]
            start, end = self._between(table, moved[0], fades[:-1]), self._between(table, moved[1], fades[:-1])
        end -= start
        end *= fades[-1]
        end += start
        return end


def _doubled(coarse: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Fills in every second row and column halfway between its neighbours; the last one repeats."""
    rows = np.empty((2 * coarse.shape[0], coarse.shape[1]), np.float32)
    rows[::2] = coarse
    rows[1:-1:2] = (coarse[:-1] + coarse[1:]) * 0.5
    rows[-1] = coarse[-1]
    fine = np.empty((rows.shape[0], 2 * coarse.shape[1]), np.float32)
    fine[:, ::2] = rows
    fine[:, 1:-1:2] = (rows[:, :-1] + rows[:, 1:]) * 0.5
    fine[:, -1] = rows[:, -1]
    return fine[: shape[0], : shape[1]]


class Cells:
    """A honeycomb with cells of a size, regular with a jitter of 0 and wild with 1."""

    def __init__(self, dice: Dice, cell: float, jitter: float) -> None:
        self.cell = cell
        rows = np.arange(TABLE * TABLE) // TABLE
        self.x = 0.5 + (dice.array(TABLE * TABLE) - 0.5) * jitter + np.where(rows & 1, 0.25, -0.25).astype(np.float32)
        self.y = 0.5 + (dice.array(TABLE * TABLE) - 0.5) * jitter
        self.tone = dice.array(TABLE * TABLE)

    def __call__(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Distance to the nearest centre, to the nearest wall (both in cells), and the cell's tone in [0, 1)."""
        u, v = u * (1.0 / self.cell), v * (1.0 / self.cell)
        column, row = np.floor(u), np.floor(v)
        u, v = u - column, v - row
        column_index, row_index = column.astype(np.intp), row.astype(np.intp)
        columns = [(column_index + step) & (TABLE - 1) for step in (-1, 0, 1)]
        nearest = np.full(u.shape, 99.0, np.float32)
        second = nearest
        owner = np.zeros(u.shape, np.intp)
        for row_step in (-1, 0, 1):
            flat_row = ((row_index + row_step) & (TABLE - 1)) * TABLE
            for column_step in (-1, 0, 1):
                flat = flat_row + columns[column_step + 1]
                across = self.x.take(flat) + (column_step - u)
                down = self.y.take(flat) + (row_step - v)
                square = across * across + down * down
                closer = square < nearest
                second = np.minimum(second, np.maximum(nearest, square))
                owner = np.where(closer, flat, owner)
                nearest = np.minimum(nearest, square)
        first, other = np.sqrt(nearest), np.sqrt(second)
        return first, (other - first) * 0.5, self.tone.take(owner)


def curve(
    start: tuple[float, float], end: tuple[float, float], bend: float, wiggle: float, dice: Dice, points: int
) -> tuple[np.ndarray, np.ndarray]:
    """Points along a bent, wiggling line.

    ``bend`` is how far its middle leaves the straight line, to the other side if negative, and ``wiggle`` how far its
    small deviations go, both as shares of its length.
    """
    along = np.arange(points, dtype=np.float32) * (1.0 / max(points - 1, 1))
    across = 4.0 * bend * along * (1.0 - along)
    if wiggle:
        knots = (dice.array(8) * 2 - 1) * wiggle
        place = along * 6.0
        whole = np.floor(place).astype(np.intp)
        part = place - whole
        across = across + mix(knots[whole], knots[whole + 1], part * part * (3.0 - 2.0 * part)) * smooth(
            along, 0.0, 0.2
        )
    dx, dy = end[0] - start[0], end[1] - start[1]
    return start[0] + dx * along - dy * across, start[1] + dy * along + dx * across


def joined(lines: Sequence[tuple[np.ndarray, ...]]) -> tuple[np.ndarray, ...]:
    """Places, and what else comes with them, of several lines as those of one."""
    return tuple(np.concatenate(parts) for parts in zip(*lines, strict=True))


def stamp(
    size: tuple[int, int], x: np.ndarray, y: np.ndarray, radius: np.ndarray | float, value: np.ndarray | float = 1.0
) -> np.ndarray:
    """Coverage of an image by round dots, with edges smoothed over a pixel; a dense row of dots is a line.

    Centres (from the left and upper edge) and radii are in pixels; a dot smaller than a pixel is drawn fainter.
    ``value`` is how strongly each dot covers.
    """
    x, y = np.asarray(x, np.float32), np.asarray(y, np.float32)
    radii = np.broadcast_to(np.asarray(radius, np.float32), x.shape)
    values = np.broadcast_to(np.asarray(value, np.float32), x.shape) * np.clip(radii * 2.0, 0.0, 1.0)
    radii = np.maximum(radii, 0.5)
    if not x.size:
        return np.zeros(size, np.float32)
    reach = math.ceil(float(radii.max())) + 1
    padded = np.zeros((size[0] + 2 * reach, size[1] + 2 * reach), np.float32)
    column, row = np.floor(x), np.floor(y)
    inside = (column >= -reach) & (column < size[1] + reach) & (row >= -reach) & (row < size[0] + reach)
    x, y, radii, values, column, row = (a[inside] for a in (x, y, radii, values, column, row))
    # a patch around every centre; patches that would leave the padded canvas are moved onto its rim and cut off later
    steps = np.arange(-reach, reach + 1)
    columns = column[:, None].astype(np.intp) + steps
    rows = row[:, None].astype(np.intp) + steps
    across = (columns + 0.5 - x[:, None]).astype(np.float32)
    down = (rows + 0.5 - y[:, None]).astype(np.float32)
    distance = np.sqrt((across * across)[:, None, :] + (down * down)[:, :, None])
    cover = np.clip(radii[:, None, None] + 0.5 - distance, 0.0, 1.0) * values[:, None, None]
    columns = np.clip(columns + reach, 0, padded.shape[1] - 1)
    rows = np.clip(rows + reach, 0, padded.shape[0] - 1)
    flat = rows[:, :, None] * padded.shape[1] + columns[:, None, :]
    np.maximum.at(padded.reshape(-1), flat.reshape(-1), cover.reshape(-1))
    return padded[reach:-reach, reach:-reach]


def blur(image: np.ndarray, times: int = 1, spatial_dims: int = 2) -> np.ndarray:
    """Binomial blur (1, 2, 1) over the last axes, repeated."""
    for _ in range(times):
        for axis in range(image.ndim - spatial_dims, image.ndim):
            image = np.moveaxis(image, axis, -1)
            padded = np.concatenate([image[..., :1], image, image[..., -1:]], axis=-1)
            image = np.moveaxis((padded[..., :-2] + padded[..., 2:]) * 0.25 + image * 0.5, -1, axis)
    return image


def to_bytes(image: np.ndarray) -> np.ndarray:
    """Channels-first floats in [0, 1] to channels-last bytes."""
    scaled = np.floor(np.clip(image, 0.0, 1.0) * 255.0 + 0.5).astype(np.uint8)
    return np.ascontiguousarray(np.moveaxis(scaled, 0, -1)) if scaled.ndim == 3 else scaled
