# SPDX-License-Identifier: Apache-2.0
"""A pattern built as tissue is: fibres, nuclei strewn among them, and glands whose walls are rows of nuclei."""

from __future__ import annotations

import colorsys
import math

import numpy as np

from tools.pretrain.fields import Field, smooth_noise, spectral_noise, window

__all__ = ["stain", "tissue"]

MOST_STREWN = 400


def tissue(rng: np.random.Generator, size: int) -> Field:
    """Dark nuclei on bright fibres, strewn in clumps and in rows around the light middles of glands, or inverted."""
    lean = rng.uniform(0, math.pi)
    fibres = spectral_noise(rng, size, rng.uniform(0.8, 2.0), math.exp(rng.normal(0.4, 0.4)), lean)
    field = np.float32(rng.uniform(0.5, 0.75)) + fibres * np.float32(rng.uniform(0.02, 0.1))
    radius = math.exp(rng.uniform(math.log(1.8), math.log(6)))
    taken = np.zeros((size, size), dtype=bool)
    nuclei = [_gland(rng, field, fibres, taken, radius) for _ in range(rng.choice([0, 0, 1, 3, 6, 10]))]
    nuclei.append(_strewn(rng, taken, radius, lean))
    _stamp(rng, field, np.concatenate(nuclei), radius)
    return np.clip(field if rng.random() < 0.8 else 1 - field, 0, 1)


def stain(rng: np.random.Generator) -> np.ndarray:
    """Four colours from dark nuclei over tissue to glass: mostly the purple and pink that sections are stained with."""
    hue = rng.normal(0.86, 0.05) if rng.random() < 0.7 else rng.random()
    gap = rng.uniform(0.02, 0.14)
    # For each colour: its distance in hue, and between which values saturation and brightness lie.
    tones = [
        (-gap, (0.3, 0.8), (0.2, 0.55)),
        (-gap / 2, (0.25, 0.6), (0.5, 0.75)),
        (gap / 4, (0.15, 0.45), (0.7, 0.95)),
        (gap / 2, (0.0, 0.15), (0.85, 1.0)),
    ]
    colours = [
        colorsys.hsv_to_rgb((hue + apart) % 1, rng.uniform(*saturation), rng.uniform(*bright))
        for apart, saturation, bright in tones
    ]
    return np.clip(np.array(colours) + rng.normal(0, 0.02, (4, 3)), 0, 1)


def _gland(rng: np.random.Generator, field: Field, fibres: Field, taken: np.ndarray, radius: float) -> np.ndarray:
    """Paint a gland, and give the nuclei of its wall: (number, 3), place and direction of each."""
    size = len(field)
    reach = math.exp(rng.uniform(math.log(size / 14), math.log(size / 4)))
    (middle_x, middle_y), flat, lean = rng.uniform(0, size, 2), rng.uniform(0.55, 1), rng.uniform(0, math.pi)
    bends = rng.normal(0, 0.07, (3, 2))
    wall = min(max(radius * rng.uniform(2.2, 4) / reach, 0.15), 0.8)
    shade, light = np.float32(rng.uniform(0.4, 0.65)), np.float32(rng.uniform(0.8, 1))
    number = max(int(2 * math.pi * reach / (radius * rng.uniform(1.3, 2.6))), 1)
    around = np.linspace(0, 2 * math.pi, number, endpoint=False) + rng.normal(0, 0.04, number)
    outwards = reach * (1 - wall * rng.uniform(0.15, 0.45, number)) * _bent(around, bends)
    turned = rng.normal(0, 0.2, number)

    where, rows, columns = window(middle_x, middle_y, reach * 1.5, size)
    along, across = _along_and_across(columns - np.float32(middle_x), rows - np.float32(middle_y), lean, flat)
    level = np.sqrt(along * along + across * across) / (reach * _bent(np.arctan2(across, along), bends))
    inside = level < 1
    field[where][inside] = shade + fibres[where][inside] * np.float32(0.03)
    field[where][level < 1 - wall] = light
    taken[where] |= inside

    along, across = np.cos(around) * outwards, np.sin(around) * outwards * flat
    x = middle_x + along * math.cos(lean) - across * math.sin(lean)
    y = middle_y + along * math.sin(lean) + across * math.cos(lean)
    return np.stack([x, y, np.arctan2(across, along) + lean + turned], axis=1)


def _along_and_across(right: Field, down: Field, lean: float, flat: float) -> tuple[Field, Field]:
    """Coordinates in which an ellipse that leans, and is flatter than a circle, is round."""
    cos, sin = np.float32(math.cos(lean)), np.float32(math.sin(lean))
    return right * cos + down * sin, (down * cos - right * sin) / np.float32(flat)


def _bent(around: np.ndarray, bends: np.ndarray) -> np.ndarray:
    """How far out a wavy line is in each direction, about 1."""
    waves = (a * np.cos(order * around) + b * np.sin(order * around) for order, (a, b) in enumerate(bends, 2))
    return 1 + sum(waves)


def _strewn(rng: np.random.Generator, taken: np.ndarray, radius: float, lean: float) -> np.ndarray:
    """Nuclei between the glands, more in some places than in others: (number, 3), place and direction of each."""
    size = len(taken)
    number = int(min(rng.uniform(0.02, 0.35) * size**2 / (3 * radius**2), MOST_STREWN))
    x, y = rng.uniform(0, size, (2, number))
    at = y.astype(int), x.astype(int)
    crowded = smooth_noise(rng, size)[at] * rng.uniform(0, 1.5)
    kept = (crowded > rng.normal(-0.5, 0.7, number)) & ~taken[at]
    turned = lean + smooth_noise(rng, size)[at] * 0.5 + rng.normal(0, rng.uniform(0.1, 1.5), number)
    return np.stack([x, y, turned], axis=1)[kept]


def _stamp(rng: np.random.Generator, field: Field, nuclei: np.ndarray, radius: float) -> None:
    """Paint nuclei, dark ellipses, where they are inside the square."""
    size, number = len(field), len(nuclei)
    flat, spread, dark = rng.uniform(0.35, 1), rng.uniform(0.05, 0.35), rng.uniform(0.0, 0.25)
    sides, shades = radius * np.exp(rng.normal(0, spread, number)), rng.normal(dark, 0.06, number)
    inside = ((nuclei[:, :2] >= 0) & (nuclei[:, :2] < size)).all(axis=1)
    for (x, y, lean), side, shade in zip(nuclei[inside], sides[inside], shades[inside], strict=True):
        where, rows, columns = window(x, y, side * 1.3, size)
        along, across = _along_and_across(columns - np.float32(x), rows - np.float32(y), lean, flat)
        cover = np.clip((np.float32(side) - np.sqrt(along * along + across * across)) * np.float32(0.8), 0, 1)
        field[where] += (np.float32(shade) - field[where]) * cover
