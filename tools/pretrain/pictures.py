# SPDX-License-Identifier: Apache-2.0
"""
Coloured pictures composed of the fields: things with contours on a ground, hairs, light, blur and noise.

Nothing of a photograph is in them, and the same seed and index give the same picture.
"""

from __future__ import annotations

import colorsys
import math
from typing import NamedTuple

import numpy as np

from tools.pretrain.fields import FIELDS, plane, smooth_noise

__all__ = [
    "CHOICES",
    "CONTOURS",
    "VALUES",
    "Picture",
    "contour_line",
    "draw_hairs",
    "make_picture",
    "paint",
    "palette",
    "shifted",
]

CONTOURS = ("wavy", "polygon", "star", "rounded")

CHOICES: dict[str, int] = {
    "ground": len(FIELDS),
    "filling": len(FIELDS) + 1,
    "contour": len(CONTOURS) + 1,
    "things": 4,
    "shells": 4,
    "hairs": 2,
    "blurred": 2,
}
"""What is told of each picture as one of several answers, and how many; the last of filling and contour is "none"."""

VALUES = ("area", "elongation", "irregularity", "softness", "opacity", "blur", "light")
"""What is told of each picture as a number, roughly between -1 and 1; not a number where there is no such thing."""


class Picture(NamedTuple):
    """
    A picture and how it was made.

    Args:
        image: uint8 array of shape (size, size, 3).
        choices: one index for each of ``CHOICES``.
        values: one number for each of ``VALUES``.
    """

    image: np.ndarray
    choices: np.ndarray
    values: np.ndarray


def make_picture(seed: int, index: int, size: int = 224) -> Picture:
    """
    Make a picture.

    Args:
        seed: chooses the series of pictures.
        index: which of the series.
        size: side in pixels.

    Example::

        >>> picture = make_picture(seed=0, index=7, size=64)
        >>> picture.image.shape
        (64, 64, 3)
    """
    rng = np.random.Generator(np.random.PCG64([seed, index]))
    families = list(FIELDS)
    choices = dict.fromkeys(CHOICES, 0)
    values = dict.fromkeys(VALUES, math.nan)

    colours = palette(rng)
    choices["ground"] = int(rng.integers(len(families)))
    canvas = paint(FIELDS[families[choices["ground"]]](rng, size), colours)
    choices["things"] = things = int(rng.choice(4, p=[0.2, 0.5, 0.15, 0.15]))
    choices["filling"], choices["contour"] = len(families), len(CONTOURS)
    for thing in range(things):
        filling, kind = int(rng.integers(len(families))), int(rng.integers(len(CONTOURS)))
        shells = int(rng.choice(4, p=[0.55, 0.2, 0.15, 0.1]))
        inner = shifted(rng, colours) if rng.random() < 0.6 else palette(rng)
        colour = paint(FIELDS[families[filling]](rng, size), inner)
        level, about = _contour(rng, CONTOURS[kind], size, 0.42 if things == 1 else 0.3)
        softness = math.exp(rng.uniform(math.log(0.008), math.log(0.25)))
        opacity = rng.uniform(0.35, 1)
        # The first thing is what the labels tell about: with several, one has to be meant.
        if thing == 0:
            choices.update(filling=filling, contour=kind, shells=shells)
            values.update(about, softness=math.log(softness) / 2 + 1.5, opacity=opacity * 3 - 2)
        _lay(canvas, colour, _cover(level, softness) * np.float32(opacity))
        for shell in range(shells):
            inset = level - np.float32(0.6 * (shell + 1) / (shells + 1) * float(level.max()))
            tone = np.asarray(inner[int(rng.integers(len(inner)))], dtype=np.float32) * np.float32(
                rng.uniform(0.6, 1.2)
            )
            _lay(canvas, tone, _cover(inset, softness) * np.float32(rng.uniform(0.2, 0.8)))
    if rng.random() < 0.25:
        choices["hairs"] = 1
        draw_hairs(rng, canvas, (rng.random(3) * rng.choice([0.3, 1.0])).astype(np.float32))
    if rng.random() < 0.5:
        values["light"] = _light(rng, canvas)
    if rng.random() < 0.35:
        choices["blurred"] = 1
        width = math.exp(rng.uniform(math.log(0.7), math.log(max(size / 50, 1))))
        values["blur"] = math.log(width)
        canvas = _blur(canvas, width)
    if rng.random() < 0.3:
        grain = rng.standard_normal(canvas.shape[:2], dtype=np.float32)[..., None]
        canvas += grain * np.float32(math.exp(rng.uniform(math.log(0.01), math.log(0.08))))
    image = (np.clip(canvas, 0, 1) * 255).round().astype(np.uint8)
    return Picture(
        image,
        np.array([choices[name] for name in CHOICES], dtype=np.int64),
        np.array([values[name] for name in VALUES], dtype=np.float32),
    )


def palette(rng: np.random.Generator) -> np.ndarray:
    """Two to five colours on a line through colour space: any hue, or warm as tissue is, or grey."""
    mood = rng.random()
    if mood < 0.4:
        base = rng.random(3)
    elif mood < 0.85:  # from purple over pink and red to yellow
        base = np.array(colorsys.hsv_to_rgb(rng.uniform(-0.25, 0.12) % 1, rng.uniform(0.1, 0.7), rng.uniform(0.25, 1)))
    else:
        base = np.full(3, rng.uniform(0.1, 0.9))
    number = int(rng.integers(2, 6))
    light = rng.normal(0, math.exp(rng.uniform(math.log(0.03), math.log(0.35))), (number, 1))
    tint = rng.normal(0, math.exp(rng.uniform(math.log(0.01), math.log(0.2))), (number, 3)) * (mood < 0.85)
    return np.clip(base + light + tint, 0, 1)


def shifted(rng: np.random.Generator, colours: np.ndarray, brightest: float = 1.25) -> np.ndarray:
    """The same colours, darker or lighter and a little more of one hue, as a mark has those of what it lies on."""
    return np.clip(colours * rng.uniform(0.35, brightest) + rng.normal(0, 0.08, 3), 0, 1)


def paint(field: np.ndarray, palette: np.ndarray) -> np.ndarray:
    """A grey pattern in the colours of a palette."""
    at = np.linspace(0, 1, 256)
    steps = np.linspace(0, 1, len(palette))
    table = np.stack([np.interp(at, steps, palette[:, channel]) for channel in range(3)], axis=1).astype(np.float32)
    return table[(np.clip(field, 0, 1) * 255).astype(np.uint8)]


def _contour(rng: np.random.Generator, kind: str, size: int, largest: float) -> tuple[np.ndarray, dict[str, float]]:
    """How far inside a closed line each pixel is, and numbers about the line."""
    x, y = plane(size)
    radius, aspect, turn = rng.uniform(0.15, largest) * 2, rng.uniform(0.45, 1), rng.uniform(0, math.pi)
    from_x, from_y = x - np.float32(rng.uniform(-0.4, 0.4)), y - np.float32(rng.uniform(-0.4, 0.4))
    along = from_x * np.float32(math.cos(turn)) + from_y * np.float32(math.sin(turn))
    across = (from_y * np.float32(math.cos(turn)) - from_x * np.float32(math.sin(turn))) / np.float32(aspect)
    level, rough = contour_line(rng, kind, radius, along, across)
    about = {"area": radius * radius * aspect * 5 - 1, "elongation": 3 - 4 * aspect, "irregularity": rough * 3 - 0.8}
    return level, about


def contour_line(
    rng: np.random.Generator, kind: str, radius: float, along: np.ndarray, across: np.ndarray
) -> tuple[np.ndarray, float]:
    """How far inside a closed line around the origin each place is, and how rough the line is."""
    rough = 0.0
    level: np.ndarray
    line: np.ndarray
    if kind == "rounded":
        power = np.float32(rng.uniform(1.2, 5))
        level = radius - (np.abs(along) ** power + np.abs(across) ** power) ** (1 / power)
    else:
        angle, distance = np.arctan2(across, along), np.sqrt(along * along + across * across)
        if kind == "wavy":
            rough = rng.uniform(0, 0.6)
            line = np.ones_like(angle)
            for wave in range(2, int(rng.integers(3, 9))):
                line += np.cos(angle * np.float32(wave) + np.float32(rng.uniform(0, 6.3))) * np.float32(
                    rough * rng.normal() / wave
                )
        else:
            corners = int(rng.integers(3, 9))
            sector = np.float32(2 * math.pi / corners)
            within = np.abs((angle + np.float32(8 * math.pi)) % sector - sector / 2)
            line = np.float32(math.cos(sector / 2)) / np.cos(sector / 2 - within)
            if kind == "star":
                rough = rng.uniform(0.15, 0.6)
                line = 1 - np.float32(rough) * within * 2 / sector
        level = np.float32(radius) * line - distance
    return level.astype(np.float32), rough


def _cover(level: np.ndarray, softness: float) -> np.ndarray:
    """0 outside and 1 inside, smoothly over the border."""
    part = np.clip(level / np.float32(2 * softness) + np.float32(0.5), 0, 1)
    return part * part * (3 - 2 * part)


def _lay(canvas: np.ndarray, colour: np.ndarray, cover: np.ndarray) -> None:
    canvas += cover[..., None] * (colour - canvas)


def draw_hairs(rng: np.random.Generator, canvas: np.ndarray, colour: np.ndarray) -> None:
    """Thin curved lines of one colour."""
    size = len(canvas)
    steps = np.linspace(0, 1, size * 2, dtype=np.float32)[:, None]
    thick = int(rng.integers(1, 4))
    for _ in range(int(rng.integers(1, 14))):
        start, middle, end = rng.uniform(-0.1, 1.1, (3, 2)).astype(np.float32) * size
        line = (1 - steps) ** 2 * start + 2 * steps * (1 - steps) * middle + steps**2 * end
        at = line.astype(np.int32)
        for shift in range(thick):
            rows, columns = at[:, 0] + shift, at[:, 1]
            inside = (rows >= 0) & (rows < size) & (columns >= 0) & (columns < size)
            canvas[rows[inside], columns[inside]] = colour


def _light(rng: np.random.Generator, canvas: np.ndarray) -> float:
    """Uneven light: slow shading, a slope, or dark corners. Returns how strong."""
    size = len(canvas)
    x, y = plane(size)
    kind, strength = rng.integers(3), rng.uniform(0.05, 0.5)
    shade: np.ndarray
    if kind == 0:
        shade = smooth_noise(rng, size) * np.float32(0.4)
    elif kind == 1:
        angle = rng.uniform(0, 2 * math.pi)
        shade = x * np.float32(math.cos(angle)) + y * np.float32(math.sin(angle))
    else:
        shade = -np.clip((x * x + y * y - np.float32(rng.uniform(0.5, 1.2))) * 4, 0, 2)
    canvas *= np.clip(1 + shade * np.float32(strength), 0, 2)[..., None]
    return float(strength * 4 - 1)


def _blur(canvas: np.ndarray, width: float) -> np.ndarray:
    size = len(canvas)
    down = np.exp(-2 * (math.pi * width * np.fft.fftfreq(size)) ** 2).astype(np.float32)[:, None, None]
    right = np.exp(-2 * (math.pi * width * np.fft.rfftfreq(size)) ** 2).astype(np.float32)[None, :, None]
    spectrum = np.fft.rfft2(canvas, axes=(0, 1))
    return np.fft.irfft2(spectrum * down * right, s=(size, size), axes=(0, 1)).astype(np.float32)
