# SPDX-License-Identifier: Apache-2.0

"""Images that look the same: saved anew, resized, turned by any angle, mirrored, or cut at the edges.

Each image becomes a map of its structure in polar coordinates, with the logarithm of the radius (SciPy's
``map_coordinates``). A turn of the image is a shift of the map along one axis, a zoom one along the other, a mirror
image the map backwards. So two images are compared by the best correlation over all shifts, which a Fourier transform
gives for all angles at once. What is invariant to shifts, the size of the Fourier coefficients, says beforehand which
few of all pairs are worth that.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np
import torch

from monai_ept.data.image_transforms import LoadRecordd, ResizeImaged
from monai_ept.data.records import Record, RecordSet

__all__ = ["ALIKE", "NearCopy", "find_near_copies", "near_copies_of"]

ALIKE = 0.8
"""Correlation from which two images are near copies; see docs/data.md for what it finds and what it takes for one."""

_EDGE, _RADII, _ANGLES, _SMALLEST = 96, 32, 64, 0.08
_ZOOM = 4  # steps of 8.5 %, to both sides
_NEIGHBOURS = 16  # of each image that are looked at closely
_PROMISING = 0.4  # correlation from which the centre of one is moved over the other, in case edges were cut
_MOVED = -0.05, -0.025, 0.0, 0.025, 0.05  # to where, as shares of the edge


class NearCopy(NamedTuple):
    """Two images that look the same, by their ids, and how much: 1 is equal."""

    first: str
    second: str
    likeness: float


def near_copies_of(data: RecordSet) -> list[NearCopy]:
    """The near copies of a data set, which are looked for once."""
    if "_near_copies" not in data.__dict__:
        if data.spatial_dims != 2:
            raise ValueError(f"{data.name} holds volumes, and near copies are found among 2-D images only.")
        data.__dict__["_near_copies"] = find_near_copies(data.records)
    return data.__dict__["_near_copies"]


def find_near_copies(records: Sequence[Record], alike: float = ALIKE) -> list[NearCopy]:
    """Find pairs of 2-D images that look the same. Every image is read and decoded.

    Args:
        alike: correlation from which two images count as the same.

    Raises:
        ValueError: when an image cannot be read; it names the file.

    Returns:
        the pairs, the most alike first.

    Example::

        find_near_copies(load_source("folder", "my_images").records)[:10]
    """
    if len(records) < 2:
        return []
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        grey = list(pool.map(_grey, records))
        maps = np.stack(list(pool.map(_polar, grey)))
    pairs = _candidates(_invariants(maps))
    found = []
    for pair, likeness in zip(pairs, _likeness(grey, maps, pairs), strict=True):
        if likeness >= alike:
            first, second = sorted(records[at]["id"] for at in pair)
            found.append(NearCopy(first, second, round(likeness, 4)))
    return sorted(found, key=lambda pair: (-pair.likeness, pair.first, pair.second))


def _grey(record: Record) -> np.ndarray:
    """A small square image without what is smooth, such as light, and without what is finer than a pixel."""
    from scipy.ndimage import gaussian_filter

    image = LoadRecordd("image", spatial_dims=2).convert(record["image"], record["id"])
    small = ResizeImaged("image", (_EDGE, _EDGE), mode="bilinear").convert(_unit(image), record["id"])
    pixels = np.asarray(small[0])
    return (gaussian_filter(pixels, 1.0) - gaussian_filter(pixels, 4.0)).astype(np.float32)


def _unit(image: torch.Tensor) -> torch.Tensor:
    grey = image.float()[: 3 if image.shape[0] > 3 else None].mean(0, keepdim=True)
    low, high = grey.min(), grey.max()
    return (grey - low) / (high - low).clamp(min=1e-6)


def _polar(image: np.ndarray, move: tuple[float, float] = (0.0, 0.0)) -> np.ndarray:
    from scipy.ndimage import map_coordinates

    middle = (_EDGE - 1) / 2
    radii = middle * np.geomspace(_SMALLEST, 1, _RADII)[:, None]
    angles = np.linspace(0, 2 * np.pi, _ANGLES, endpoint=False)
    rows, columns = (middle + share * _EDGE for share in move)
    return map_coordinates(image, [rows + radii * np.sin(angles), columns + radii * np.cos(angles)], order=1)


def _invariants(maps: np.ndarray) -> list[np.ndarray]:
    """What a turn and a mirror leave as it is, for each zoom; less what all images have in common."""
    sizes = np.abs(np.fft.rfft(maps, axis=2))[:, :, : _ANGLES // 4].astype(np.float32)
    sizes = (sizes - sizes.mean(0)) / (sizes.std(0) + 1e-6)
    flat = [sizes[:, zoom : _RADII - _ZOOM + zoom].reshape(len(sizes), -1) for zoom in range(_ZOOM + 1)]
    return [one / (np.linalg.norm(one, axis=1, keepdims=True) + 1e-6) for one in flat]


def _candidates(invariants: Sequence[np.ndarray], rows: int = 512) -> list[tuple[int, int]]:
    """For each image the few that are nearest to it at any zoom."""
    pairs: set[tuple[int, int]] = set()
    smallest, *larger = invariants
    number = len(smallest)
    for start in range(0, number, rows):
        part = slice(start, start + rows)
        near = smallest[part] @ smallest.T
        for one in larger:
            np.maximum(near, smallest[part] @ one.T, out=near)
            np.maximum(near, one[part] @ smallest.T, out=near)
        near[np.arange(len(near)), np.arange(start, start + len(near))] = -np.inf
        nearest = np.argpartition(-near, min(_NEIGHBOURS, number - 1), axis=1)[:, :_NEIGHBOURS]
        pairs.update((min(i, j), max(i, j)) for i, row in enumerate(nearest.tolist(), start) for j in row if i != j)
    return sorted(pairs)


def _likeness(grey: Sequence[np.ndarray], maps: np.ndarray, pairs: Sequence[tuple[int, int]]) -> Iterator[float]:
    """The best correlation of each pair over turns, mirrors and zooms, and over places if that is promising."""
    moves = [(down, right) for down in _MOVED for right in _MOVED if down or right]
    for start in range(0, len(pairs), 256):
        part = pairs[start : start + 256]
        best = _correlation(maps[[i for i, _ in part]], maps[[j for _, j in part]])
        for at in np.flatnonzero((best >= _PROMISING) & (best < ALIKE)).tolist():
            i, j = part[at]
            shifted = np.stack([_polar(grey[j], move) for move in moves])
            best[at] = max(best[at], _correlation(np.repeat(maps[[i]], len(moves), 0), shifted).max())
        yield from best.tolist()


def _correlation(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    best = np.full(len(first), -1.0)
    for zoom in range(-_ZOOM, _ZOOM + 1):
        one = _normalised(first[:, max(0, zoom) : _RADII + min(0, zoom)])
        other = _normalised(second[:, max(0, -zoom) : _RADII + min(0, -zoom)])
        ahead = np.fft.rfft(one, axis=2)
        back = np.fft.rfft(other, axis=2)
        for spectrum in (back.conj(), back):  # that of a real map backwards is its conjugate
            turned = np.fft.irfft((ahead * spectrum).sum(1), n=_ANGLES, axis=1)
            best = np.maximum(best, turned.max(1))
    return best


def _normalised(maps: np.ndarray) -> np.ndarray:
    centred = maps - maps.mean((1, 2), keepdims=True)
    return centred / (np.sqrt((centred**2).sum((1, 2), keepdims=True)) + 1e-6)
