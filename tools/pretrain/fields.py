# SPDX-License-Identifier: Apache-2.0
"""
Formulas that fill a square with a grey pattern: noise, waves, cells, fractals, spots and leaves.

Each takes a generator of random numbers and a side length, and returns an array of values from 0 to 1. They
cost one to six milliseconds at 224 pixels, so that making pictures takes less time than learning from them.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import lru_cache

import numpy as np

__all__ = [
    "FIELDS",
    "cells",
    "fractal",
    "leaves",
    "plane",
    "smooth_noise",
    "spectral_noise",
    "spots",
    "waves",
    "window",
]

Field = np.ndarray


@lru_cache(maxsize=4)
def plane(size: int) -> tuple[Field, Field]:
    """Coordinates of the pixels' centres from -1 to 1: x and y."""
    line = ((np.arange(size, dtype=np.float32) + 0.5) / size * 2 - 1).astype(np.float32)
    x, y = np.broadcast_to(line[None, :], (size, size)), np.broadcast_to(line[:, None], (size, size))
    return x, y


def noise(rng: np.random.Generator, size: int) -> Field:
    """Noise whose spectrum falls with a power of the frequency, in one direction faster than in the other, or not."""
    slope = rng.uniform(0.6, 2.6)
    stretch = math.exp(rng.normal(0, 0.5)) if rng.random() < 0.5 else 1.0
    field = spectral_noise(rng, size, slope, stretch, rng.uniform(0, math.pi))
    kind = rng.integers(4)
    if kind == 1:  # ridges
        field = 1 - np.abs(field)
    elif kind == 2:  # steps
        steps = rng.integers(2, 6)
        field = np.floor(field * steps / 2) / steps * 2
    return np.clip(0.5 + field * np.float32(0.25), 0, 1)


def waves(rng: np.random.Generator, size: int) -> Field:
    """Stripes, checks, rings and spirals, of any width, bent by smooth noise."""
    x, y = plane(size)
    angle, cycles = rng.uniform(0, 2 * math.pi), math.exp(rng.uniform(math.log(1.5), math.log(28)))
    along = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    kind = rng.integers(4)
    if kind >= 2:
        from_x, from_y = x - np.float32(rng.normal(0, 0.4)), y - np.float32(rng.normal(0, 0.4))
        along = np.sqrt(from_x * from_x + from_y * from_y)
        if kind == 3:
            along = along + np.arctan2(from_y, from_x) * np.float32(rng.integers(1, 6) / (math.pi * cycles))
    bend = rng.uniform(0, 0.5) if rng.random() < 0.7 else 0.0
    if bend:
        along = along + smooth_noise(rng, size) * np.float32(bend / math.sqrt(cycles))
    field = np.sin(along * np.float32(math.pi * cycles))
    if kind == 1:
        across = y * np.float32(math.cos(angle)) - x * np.float32(math.sin(angle))
        field = field * np.sin(across * np.float32(math.pi * cycles * rng.uniform(0.5, 2)))
    sharp = rng.uniform(0, 1)
    if sharp > 0.5:
        field = np.clip(field * np.float32(1 / (1.05 - sharp)), -1, 1)
    return 0.5 + 0.5 * field


def cells(rng: np.random.Generator, size: int) -> Field:
    """Voronoi cells around jittered points: filled, with walls, or as cones around the points."""
    grid = int(rng.integers(3, 22))
    jitter = rng.random((grid + 2, grid + 2, 2), dtype=np.float32) * np.float32(rng.uniform(0.3, 1.0))
    shade = rng.random((grid + 2, grid + 2), dtype=np.float32)
    # On every second pixel: nine neighbours of each would cost more than all the rest of a picture.
    coarse = max(size // 2, 2)
    x, y = plane(coarse)
    place_x, place_y = (x + 1) * np.float32(grid / 2), (y + 1) * np.float32(grid / 2)
    column, row = place_x.astype(np.int32), place_y.astype(np.int32)
    first = np.full((coarse, coarse), 9, dtype=np.float32)
    second = first.copy()
    filled = np.zeros((coarse, coarse), dtype=np.float32)
    kind = rng.integers(3)
    for down in (0, 1, 2):
        for right in (0, 1, 2):
            at = (row + down, column + right)
            point = jitter[at]
            distance = (column + (right - 1) + point[..., 0] - place_x) ** 2
            distance += (row + (down - 1) + point[..., 1] - place_y) ** 2
            nearer = distance < first
            if kind == 0:
                filled[nearer] = shade[at][nearer]
            else:
                second = np.where(nearer, first, np.minimum(second, distance))
            first = np.where(nearer, distance, first)
    if kind == 1:
        filled = np.clip((np.sqrt(second) - np.sqrt(first)) * np.float32(rng.uniform(1, 5)), 0, 1)
    elif kind == 2:
        filled = np.clip(np.sqrt(first) * np.float32(rng.uniform(0.8, 2.0)), 0, 1)
    return _enlarge(filled, size)


def fractal(rng: np.random.Generator, size: int) -> Field:
    """The attractor of two to four contractions of the plane, played as the chaos game and seen as a density."""
    maps = int(rng.integers(2, 5))
    matrices, shifts = np.empty((maps, 2, 2), np.float32), rng.uniform(-1, 1, (maps, 2)).astype(np.float32)
    for index in range(maps):
        (a, b), (large, ratio) = rng.uniform(0, 2 * math.pi, 2), (rng.uniform(0.45, 0.85), rng.uniform(0.3, 1.0))
        small = large * ratio * rng.choice([-1, 1])
        left = np.array([[math.cos(a), -math.sin(a)], [math.sin(a), math.cos(a)]])
        right = np.array([[math.cos(b), -math.sin(b)], [math.sin(b), math.cos(b)]])
        matrices[index] = left @ np.diag([large, small]) @ right
    x, y = rng.uniform(-1, 1, (3000, 2)).astype(np.float32).T
    rows = [(matrices[:, row, 0].copy(), matrices[:, row, 1].copy(), shifts[:, row].copy()) for row in (0, 1)]
    kept = []
    for step in range(30):
        chosen = rng.integers(maps, size=len(x))
        x, y = (row[0].take(chosen) * x + row[1].take(chosen) * y + row[2].take(chosen) for row in rows)
        if step >= 8:
            kept.append(np.stack([x, y], axis=1))
    cloud = np.concatenate(kept)
    low, high = np.quantile(cloud[::8], 0.01, axis=0), np.quantile(cloud[::8], 0.99, axis=0)
    coarse = size // int(rng.integers(1, 4))
    at = ((cloud - low) / np.maximum(high - low, 1e-3) * coarse).astype(np.int32)
    inside = np.all((at >= 0) & (at < coarse), axis=1)
    counts = np.bincount(at[inside, 1] * coarse + at[inside, 0], minlength=coarse * coarse).astype(np.float32)
    density = np.log1p(counts).reshape(coarse, coarse)
    density = density / max(float(np.quantile(density, 0.98)), 0.5)
    back = np.arange(size) * coarse // size
    return np.clip(density, 0, 1)[back][:, back]


def spots(rng: np.random.Generator, size: int) -> Field:
    """Discs, blurred dots and rings strewn over the square, in one size or in many."""
    field = np.zeros((size, size), dtype=np.float32)
    radius = math.exp(rng.uniform(math.log(2.5), math.log(max(size / 9, 3))))
    spread, kind = rng.uniform(0, 0.6), rng.integers(3)
    number = int(min(max(rng.uniform(0.05, 0.6) * size**2 / (4 * radius**2), 4), 160))
    for x, y, grow, shade, flat in zip(
        rng.uniform(0, size, number),
        rng.uniform(0, size, number),
        rng.normal(0, spread, number),
        rng.uniform(0.4, 1, number),
        rng.uniform(0.6, 1, number),
        strict=True,
    ):
        side = min(radius * math.exp(grow), size / 4)
        where, rows, columns = window(x, y, side * (2 if kind == 1 else 1.2), size)
        distance = np.sqrt((columns - x) ** 2 + ((rows - y) / flat) ** 2) / side
        if kind == 0:
            spot = np.clip((1 - distance) * side * 0.7, 0, 1)
        elif kind == 1:
            spot = np.exp(-2 * distance * distance)
        else:
            spot = np.clip(1 - np.abs(distance - 0.75) * 4, 0, 1)
        field[where] = np.maximum(field[where], spot * shade)
    return field


def leaves(rng: np.random.Generator, size: int) -> Field:
    """Dead leaves: discs and squares of many sizes that fall on each other."""
    field = np.full((size, size), rng.random(), dtype=np.float32)
    number = int(rng.integers(40, 160))
    smallest = rng.uniform(3, 10)
    # Areas by a power law, as the things of the world have them; large ones fall first.
    sides = np.sort(np.minimum(smallest / np.sqrt(1 - rng.uniform(0, 0.998, number)), size / 2.5))[::-1]
    square = rng.random() < 0.4
    for x, y, side, shade, angle in zip(
        rng.uniform(0, size, number),
        rng.uniform(0, size, number),
        sides,
        rng.random(number),
        rng.uniform(0, math.pi, number),
        strict=True,
    ):
        where, rows, columns = window(x, y, side * (1.5 if square else 1), size)
        across, down = columns - x, rows - y
        if square:
            turned = (
                math.cos(angle) * across + math.sin(angle) * down,
                math.cos(angle) * down - math.sin(angle) * across,
            )
            inside = np.maximum(np.abs(turned[0]), np.abs(turned[1])) < side
        else:
            inside = across * across + down * down < side * side
        field[where][inside] = shade
    return field


FIELDS: dict[str, Callable[[np.random.Generator, int], Field]] = {
    "noise": noise,
    "waves": waves,
    "cells": cells,
    "fractal": fractal,
    "spots": spots,
    "leaves": leaves,
}
"""The families, by name; their order is the order of the labels."""


def smooth_noise(rng: np.random.Generator, size: int) -> Field:
    """Slow waves of mean 0 and standard deviation 1, for bending and shading."""
    return spectral_noise(rng, size, 2.5, 1.0, 0.0, lowest=32)


def spectral_noise(
    rng: np.random.Generator, size: int, slope: float, stretch: float, angle: float, lowest: int | None = None
) -> Field:
    """Noise of mean 0 and standard deviation 1; made of its ``lowest`` frequencies only, if that is given."""
    coarse = size if lowest is None else lowest
    down = np.fft.fftfreq(coarse).astype(np.float32)[:, None]
    right = np.fft.rfftfreq(coarse).astype(np.float32)[None, :]
    first = (down * np.float32(math.cos(angle)) + right * np.float32(math.sin(angle))) * np.float32(stretch)
    other = (right * np.float32(math.cos(angle)) - down * np.float32(math.sin(angle))) / np.float32(stretch)
    square = first * first + other * other
    square[0, 0] = 1
    amplitude = square ** np.float32(-slope / 2)
    amplitude[0, 0] = 0
    waves_ = rng.standard_normal((2, *amplitude.shape), dtype=np.float32)
    field = np.fft.irfft2((waves_[0] + 1j * waves_[1]) * amplitude, s=(coarse, coarse)).astype(np.float32)
    field /= field.std() + np.float32(1e-6)
    if coarse != size:
        field = _enlarge(field, size)
    return field


def _enlarge(field: Field, size: int) -> Field:
    """Linear interpolation to a larger square, one axis after the other."""
    at = np.linspace(0, len(field) - 1, size, dtype=np.float32)
    low = np.minimum(at.astype(np.int32), len(field) - 2)
    part = at - low
    rows = field[low] * (1 - part)[:, None] + field[low + 1] * part[:, None]
    return rows[:, low] * (1 - part) + rows[:, low + 1] * part


def window(x: float, y: float, reach: float, size: int) -> tuple[tuple[slice, slice], Field, Field]:
    """The part of the square that something at (x, y) can touch, and the coordinates of its rows and columns."""
    top, left = max(int(y - reach), 0), max(int(x - reach), 0)
    bottom, right = min(int(y + reach) + 2, size), min(int(x + reach) + 2, size)
    rows = np.arange(top, bottom, dtype=np.float32)[:, None] + np.float32(0.5)
    columns = np.arange(left, right, dtype=np.float32)[None, :] + np.float32(0.5)
    return (slice(top, bottom), slice(left, right)), rows, columns
