# SPDX-License-Identifier: Apache-2.0
"""
What a network learns to tell of a picture, computed from the picture: its colours, its edges, its visual words.

A bag of visual words says which small patches a picture is made of, at three scales; the words are the centres of
clusters of patches. Together with colours and edges they are a thousand numbers. ``Describer`` turns them into a few
hundred that are not correlated.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import torch
import torch.nn.functional as F

__all__ = ["Describer"]

SCALES = ((28, 1), (56, 2), (112, 4))
"""Side to which a picture is shrunk for its words, and the step between patches."""

PATCH, WORDS = 6, 256
COMPONENTS = 384


class Describer:
    """
    Describes pictures by numbers that have mean 0 and are not correlated.

    Args:
        tensors: what ``fit`` has found.
    """

    def __init__(self, tensors: dict[str, torch.Tensor]) -> None:
        self.tensors = tensors

    @classmethod
    def fit(cls, batches: Callable[[], Iterable[torch.Tensor]], seed: int = 0) -> Describer:
        """
        Find the words and the components.

        Args:
            batches: gives the pictures, as often as it is called, in batches of uint8 (pictures, side, side, 3).
            seed: of the clusters.
        """
        draw = torch.Generator().manual_seed(seed)
        tensors: dict[str, torch.Tensor] = {}
        for side, step in SCALES:
            patches = torch.cat([_some(_patches(_planes(batch), side, step), 64, draw) for batch in batches()])
            mean = patches.mean(0)
            whitener = _whitener(patches - mean)
            tensors[f"words{side}.mean"], tensors[f"words{side}.whitener"] = mean, whitener
            tensors[f"words{side}.centres"] = _clusters((patches - mean) @ whitener, WORDS, draw)
        found = cls(tensors)
        raw = torch.cat([found.raw(batch) for batch in batches()]).double()
        tensors["mean"], tensors["std"] = raw.mean(0).float(), raw.std(0).clamp(min=1e-4).float()
        raw = (raw - raw.mean(0)) / raw.std(0).clamp(min=1e-4)
        values, vectors = torch.linalg.eigh(raw.T @ raw / len(raw))
        values, vectors = values.flip(0)[:COMPONENTS], vectors.flip(1)[:, :COMPONENTS]
        # Half of the way to equal variance: neither do a few components fill the loss, nor does noise.
        scaled = vectors * values.clamp(min=1e-6) ** -0.25
        tensors["components"] = (scaled / (values.sqrt().mean() ** 0.5)).float()
        return found

    def __call__(self, pictures: torch.Tensor) -> torch.Tensor:
        """Describe pictures, uint8 of shape (pictures, side, side, 3), by float32 (pictures, components)."""
        raw = (self.raw(pictures) - self.tensors["mean"]) / self.tensors["std"]
        return raw.clamp(-5, 5) @ self.tensors["components"]

    def raw(self, pictures: torch.Tensor) -> torch.Tensor:
        """The description before it is made uncorrelated."""
        planes = _planes(pictures)
        return torch.cat([_colours(planes), _histogram(planes), _edges(planes), *self._words(planes)], dim=1)

    def _words(self, planes: torch.Tensor) -> Iterable[torch.Tensor]:
        for side, step in SCALES:
            patches = _patches(planes, side, step)
            found = (patches.flatten(0, 1) - self.tensors[f"words{side}.mean"]) @ self.tensors[f"words{side}.whitener"]
            distance = torch.cdist(found, self.tensors[f"words{side}.centres"])
            # How much nearer than the average word (Coates, Lee and Ng 2011): few words answer to each patch.
            near = F.relu(distance.mean(1, keepdim=True) - distance)
            yield near.view(*patches.shape[:2], -1).mean(1)


def _planes(pictures: torch.Tensor) -> torch.Tensor:
    return pictures.permute(0, 3, 1, 2).float() / 255


def _opponents(planes: torch.Tensor) -> torch.Tensor:
    """Brightness, red against green, yellow against blue."""
    red, green, blue = planes.unbind(1)
    return torch.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], dim=1)


def _colours(planes: torch.Tensor) -> torch.Tensor:
    """Mean and spread of the colours in four rings around the centre."""
    opponents = _opponents(planes)
    side = planes.shape[-1]
    line = ((torch.arange(side, device=planes.device) + 0.5) / side * 2 - 1) ** 2
    ring = (line[:, None] + line[None, :]).clamp(max=1.99).mul(2).long().flatten()
    members = F.one_hot(ring, 4).float()
    members = members / members.sum(0)
    flat = opponents.flatten(2)
    mean = flat @ members
    spread = ((flat * flat) @ members - mean * mean).clamp(min=1e-6).sqrt()
    return torch.cat([mean, spread], dim=1).flatten(1)


def _histogram(planes: torch.Tensor, bins: int = 6) -> torch.Tensor:
    """Square roots of the frequencies of colours."""
    brightness, red, yellow = _opponents(planes).flatten(2).unbind(1)
    at = torch.zeros_like(brightness, dtype=torch.long)
    for values, low, high in ((brightness, 0.0, 1.0), (red, -0.3, 0.5), (yellow, -0.2, 0.5)):
        at = at * bins + ((values - low) / (high - low) * bins).clamp(0, bins - 1).long()
    at = at + torch.arange(len(at), device=at.device)[:, None] * bins**3
    counts = torch.bincount(at.flatten(), minlength=len(at) * bins**3).view(len(at), -1)
    return (counts / brightness.shape[1]).sqrt()


def _edges(planes: torch.Tensor, levels: int = 5) -> torch.Tensor:
    """For each scale: how strong the edges are, how uneven, and how much they agree in direction."""
    pyramid, numbers = _opponents(planes)[:, :2], []
    for _ in range(levels):
        if pyramid.shape[-1] < 8:
            break
        across = pyramid[..., 1:-1, 2:] - pyramid[..., 1:-1, :-2]
        down = pyramid[..., 2:, 1:-1] - pyramid[..., :-2, 1:-1]
        strength = (across * across + down * down + 1e-12).sqrt()
        angle = torch.atan2(down, across)
        mean, spread = strength.mean((-2, -1)), strength.std((-2, -1))
        numbers += [(mean + 1e-3).log(), (spread + 1e-3).log()]
        for fold in (2, 4):
            across = (strength * (fold * angle).cos()).mean((-2, -1))
            down = (strength * (fold * angle).sin()).mean((-2, -1))
            numbers.append((across**2 + down**2).sqrt() / (mean + 1e-3))
        pyramid = F.avg_pool2d(pyramid, 2)
    return torch.cat(numbers, dim=1)


def _patches(planes: torch.Tensor, side: int, step: int) -> torch.Tensor:
    small = F.interpolate(planes, size=(side, side), mode="area")
    return F.unfold(small, PATCH, stride=step).transpose(1, 2)


def _some(patches: torch.Tensor, number: int, draw: torch.Generator) -> torch.Tensor:
    at = torch.randint(patches.shape[1], (len(patches), number), generator=draw)
    return patches[torch.arange(len(patches))[:, None], at].flatten(0, 1)


def _whitener(centred: torch.Tensor) -> torch.Tensor:
    values, vectors = torch.linalg.eigh(centred.T @ centred / len(centred))
    floor = 5e-4 * float(values.max())
    return vectors @ torch.diag((values + floor).rsqrt()) @ vectors.T


def _clusters(points: torch.Tensor, number: int, draw: torch.Generator, rounds: int = 12) -> torch.Tensor:
    centres = points[torch.randperm(len(points), generator=draw)[:number]]
    for _ in range(rounds):
        nearest = torch.cat([torch.cdist(part, centres).argmin(1) for part in points.split(8192)])
        sums = torch.zeros_like(centres).index_add_(0, nearest, points)
        sizes = torch.bincount(nearest, minlength=number).unsqueeze(1)
        centres = torch.where(sizes > 0, sums / sizes.clamp(min=1), centres)
    return centres


def variance_explained(found: torch.Tensor, described: torch.Tensor) -> float:
    """Share of the variance of descriptions that was found; 1 is all of it, 0 what the mean would do."""
    found, described = found.double(), described.double()
    error, spread = (found - described).square().sum(), (described - described.mean(0)).square().sum()
    return 1 - float(error / spread.clamp(min=math.ulp(1.0)))
