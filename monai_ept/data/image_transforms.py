# SPDX-License-Identifier: Apache-2.0

"""MONAI dictionary transforms of images: read, channels, intensities, random crops, size.

``allow_missing_keys`` skips keys that are not there, as everywhere in MONAI.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from monai.config import KeysCollection
from monai.data import MetaTensor
from monai.transforms import MapTransform, Randomizable, Resize, ScaleIntensity, ScaleIntensityRange, SpatialCrop
from monai.transforms.traits import RandomizableTrait
from monai.utils import look_up_option

from monai_ept.data.image_file import all_finite, channel_axis
from monai_ept.data.read_image import read_image

__all__ = ["BytesToUnitd", "LoadRecordd", "RandAreaCropd", "RepairChannelsd", "ResizeImaged", "UnitIntensityd"]


class _EachImaged(MapTransform):
    """What one function does to the image under each key."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self.convert(d[key], f"record {d.get('id', '?')!r}")
        return d

    def convert(self, image: Any, name: str) -> torch.Tensor:
        raise NotImplementedError


class LoadRecordd(_EachImaged):
    """Reads a record's image, path or array, and puts the channels first.

    Args:
        spatial_dims: 2 or 3; what is left over is the channel axis. It may be last (as in files) or first.
    """

    def __init__(self, keys: KeysCollection, spatial_dims: int = 2, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spatial_dims = look_up_option(spatial_dims, (2, 3))

    def convert(self, image: Any, name: str) -> torch.Tensor:
        if isinstance(image, (str, Path)):
            image, name = read_image(image, self.spatial_dims), str(image)
        else:
            array = np.ascontiguousarray(image)
            if not all_finite(array):
                raise ValueError(f"{name} holds values that are not finite (NaN or infinite): replace or remove them.")
            image = MetaTensor(array)
        axis = channel_axis(tuple(image.shape), self.spatial_dims, name)
        return image.unsqueeze(0) if axis is None else image.movedim(axis, 0)


class RepairChannelsd(_EachImaged):
    """Gives an image the number of channels the network takes.

    Grey is repeated, alpha is dropped, colour becomes grey with the weights of ITU-R 601 (as in PIL).
    """

    def __init__(self, keys: KeysCollection, in_channels: int = 3, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.in_channels = in_channels

    def convert(self, image: Any, name: str) -> torch.Tensor:
        wanted, other_axes = self.in_channels, [1] * (image.ndim - 1)
        # Volumes with two or four channels are modalities, not alpha.
        if image.ndim == 3 and wanted in (1, 3) and image.shape[0] in (2, 4):
            image = image[:-1]
        if image.shape[0] == wanted:
            return image
        if image.shape[0] == 1:
            return image.repeat(wanted, *other_axes)
        if image.shape[0] == 3 and wanted == 1:
            weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, *other_axes)
            grey = (image.float() * weights).sum(0, keepdim=True)
            return grey if image.is_floating_point() else grey.round().to(image.dtype)
        raise ValueError(
            f"{name} has {image.shape[0]} channels and the network takes {wanted}; "
            "no rule says how to get from one to the other."
        )


class UnitIntensityd(_EachImaged):
    """Brings intensities to [0, 1], except for 8-bit images, which stay small for the cache.

    Args:
        keys: keys of the images.
        intensity_range: values that become 0 and 1, applied to every number type, with what lies outside cut off; None:
            an image's own minimum and maximum, and 8-bit images unchanged (:py:class:`BytesToUnitd` is for them).
    """

    def __init__(
        self,
        keys: KeysCollection,
        intensity_range: tuple[float, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.bytes_too = intensity_range is not None
        self.scale: Any = ScaleIntensity(0.0, 1.0)
        if intensity_range is not None:
            low, high = intensity_range
            if not low < high:
                raise ValueError(f"intensity_range is {intensity_range}, the first value must be below the second.")
            self.scale = ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)

    def convert(self, image: Any, name: str) -> torch.Tensor:
        if image.dtype == torch.bool:
            image = image.to(torch.uint8) * 255
        if image.dtype == torch.uint8 and not self.bytes_too:
            return image
        return self.scale(image.float())


class BytesToUnitd(_EachImaged):
    """Turns 8-bit images into floats in [0, 1] and leaves floats alone."""

    def convert(self, image: Any, name: str) -> torch.Tensor:
        return image.float() / 255 if image.dtype == torch.uint8 else image


class RandAreaCropd(Randomizable, MapTransform, RandomizableTrait):
    """Crops a random share of the area, with a random aspect ratio, at a random place.

    With a resize after it, this is torchvision's RandomResizedCrop, for images and volumes.

    Args:
        scale: smallest and largest share of the area (volume) to keep.
        ratio: smallest and largest aspect ratio (columns to rows); in 3-D the stretch of each axis. None: the aspect
            ratio of ``target``.
        target: the size a crop will be resized to; only needed without ``ratio``.
    """

    def __init__(
        self,
        keys: KeysCollection,
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] | None = (3 / 4, 4 / 3),
        target: Sequence[int] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        MapTransform.__init__(self, keys, allow_missing_keys)
        if not 0 < scale[0] <= scale[1] <= 1:
            raise ValueError(f"scale is {scale}, it needs 0 < from <= to <= 1.")
        if ratio is not None and not 0 < ratio[0] <= ratio[1]:
            raise ValueError(f"ratio is {ratio}, it needs 0 < from <= to.")
        if ratio is None and target is None:
            raise ValueError("give either ratio or target.")
        self.scale, self.ratio, self.target = scale, ratio, target
        self._start, self._size = [0], [0]

    def randomize(self, shape: Sequence[int]) -> None:
        """Draw the box; ten tries, then the largest centred box of an allowed shape."""
        total = math.prod(shape)
        for _ in range(10):
            volume = total * self.R.uniform(*self.scale)
            stretch = self._stretch(shape)
            side = (volume / math.prod(stretch)) ** (1 / len(shape))
            size = [max(1, round(side * s)) for s in stretch]
            if all(n <= limit for n, limit in zip(size, shape, strict=True)):
                self._size = size
                self._start = [int(self.R.randint(0, limit - n + 1)) for n, limit in zip(size, shape, strict=True)]
                return
        stretch = self._stretch(shape)
        side = min(limit / s for limit, s in zip(shape, stretch, strict=True))
        self._size = [max(1, min(limit, round(side * s))) for limit, s in zip(shape, stretch, strict=True)]
        self._start = [(limit - n) // 2 for n, limit in zip(self._size, shape, strict=True)]

    def _stretch(self, shape: Sequence[int]) -> list[float]:
        """Relative side lengths of the box."""
        if self.ratio is None:
            return [float(n) for n in self.target or shape]
        low, high = (math.log(value) for value in self.ratio)
        if len(shape) == 2:  # pixels are square: columns to rows
            return [1.0, math.exp(self.R.uniform(low, high))]
        # Voxels seldom are cubes, so the box follows the shape of the volume; halves, as two axes move apart.
        return [n * math.exp(self.R.uniform(low, high) / 2) for n in shape]

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for number, key in enumerate(self.key_iterator(d)):
            if number == 0:
                self.randomize(d[key].shape[1:])
            d[key] = SpatialCrop(roi_start=self._start, roi_end=np.add(self._start, self._size))(d[key])
        return d


class ResizeImaged(_EachImaged):
    """Resizes without aliasing, squashing the image or keeping its aspect ratio.

    Images are resized by torch's antialiased filter: it agrees with PIL, which timm's networks were trained with, and
    is faster than MONAI's Gaussian (tools/measure/data_cache.py). It takes no volumes; those are left to MONAI.

    Args:
        mode: "bicubic", "bilinear" or "nearest"; volumes use "trilinear" for both of the first two.
        keep_aspect: fit the image in and fill up with zeros on both sides, instead of squashing it.
    """

    def __init__(
        self,
        keys: KeysCollection,
        spatial_size: Sequence[int],
        mode: str = "bicubic",
        keep_aspect: bool = False,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spatial_size = tuple(spatial_size)
        self.mode = look_up_option(mode, ("bicubic", "bilinear", "trilinear", "nearest"))
        self.keep_aspect = keep_aspect

    def convert(self, image: Any, name: str) -> torch.Tensor:
        shape, target = tuple(image.shape[1:]), self.spatial_size
        size = target
        if self.keep_aspect:
            factor = min(want / have for want, have in zip(target, shape, strict=True))
            size = tuple(min(want, max(1, round(have * factor))) for want, have in zip(target, shape, strict=True))
        if size != shape:
            image = self._interpolate(image, size)
        if size != target:
            gaps = [want - have for want, have in zip(target, size, strict=True)][::-1]  # torch's pad begins at the end
            padding = [amount for gap in gaps for amount in (gap // 2, gap - gap // 2)]
            image = torch.nn.functional.pad(image, padding)
        return image

    def _interpolate(self, image: torch.Tensor, size: tuple[int, ...]) -> torch.Tensor:
        if self.mode == "nearest":
            return torch.nn.functional.interpolate(image[None], size=size, mode="nearest-exact")[0]
        if len(size) == 3:
            # The Gaussian is for shrinking only; MONAI decides that per axis.
            return Resize(size, mode="trilinear", anti_aliasing=True)(image)
        mode = "bilinear" if self.mode == "trilinear" else self.mode
        resized = torch.nn.functional.interpolate(image[None], size=size, mode=mode, antialias=True)[0]
        return resized.clamp(0, 1)  # bicubic overshoots at edges
