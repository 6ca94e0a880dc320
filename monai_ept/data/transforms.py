# SPDX-License-Identifier: Apache-2.0

"""One function per phase that builds MONAI dictionary transforms from a record to what a ViT takes.

Everything that is the same in every epoch comes first (load, orient, channels, intensities), everything random after
it. A :py:class:`monai.data.CacheDataset` then decodes each image once in its life.
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
from monai.transforms import (
    Compose,
    EnsureTyped,
    Lambdad,
    MapTransform,
    NormalizeIntensityd,
    Orientationd,
    RandFlipd,
    Randomizable,
    Resize,
    ScaleIntensity,
    ScaleIntensityRange,
    SpatialCrop,
)
from monai.transforms.traits import RandomizableTrait
from monai.utils import ensure_tuple, ensure_tuple_rep, look_up_option

from monai_ept.data.read_image import read_image
from monai_ept.data.seeded_loader import PerSampleRandom

__all__ = [
    "BytesToUnitd",
    "LoadRecordd",
    "RandAreaCropd",
    "RepairChannelsd",
    "ResizeImaged",
    "UnitIntensityd",
    "eval_transforms",
    "train_transforms",
]


def train_transforms(
    img_size: int | Sequence[int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    in_channels: int = 3,
    spatial_dims: int = 2,
    interpolation: str = "bicubic",
    keep_aspect: bool = False,
    intensity_range: tuple[float, float] | None = None,
    scale: tuple[float, float] | None = None,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip_prob: float = 0.5,
    flip_axis: int | Sequence[int] | None = None,
    track_meta: bool = False,
    image_key: str = "image",
    label_key: str = "label",
) -> Compose:
    """Transforms for training: random area crop, resized to ``img_size``, and random flip, as in the paper.

    Args:
        img_size: size of the network's input, one number or one per dimension.
        mean: mean per channel, from the backbone's own settings.
        std: standard deviation per channel, from the backbone's own settings.
        in_channels: channels of the network's input.
        spatial_dims: 2 for images, 3 for volumes.
        interpolation: "bicubic", "bilinear" or "nearest"; volumes use "trilinear" for both of the first two.
        keep_aspect: crop with the aspect ratio of ``img_size``, instead of one drawn from ``ratio``.
        intensity_range: values that become 0 and 1, e.g. a CT window; None: 8-bit images by 255, all else by its own
            minimum and maximum.
        scale: share of the image that a crop covers, from and to; default (0.08, 1) in 2-D and (0.5, 1) in 3-D.
        ratio: aspect ratios of a crop, from and to.
        flip_prob: probability of a flip, for each of the flip axes.
        flip_axis: spatial axes to flip; default left-right: the columns of an image, the first axis of a volume.
        track_meta: keep MONAI's metadata on the image (its file name, for instance).
        image_key: the record's key of the image.
        label_key: the record's key of the label; a missing one is fine.

    Returns:
        a :py:class:`monai.transforms.Compose`; image float32 of shape ``(in_channels, *img_size)``, label int64
        (multi-class) or float32 (multi-label).

    Example::

        dataset = monai.data.CacheDataset(split.train, train_transforms(224, mean=0.5, std=0.5))
    """
    size = ensure_tuple_rep(img_size, spatial_dims)
    default_axis = 1 if spatial_dims == 2 else 0
    axes = (default_axis,) if flip_axis is None else ensure_tuple(flip_axis)
    random: list[Any] = [
        RandAreaCropd(
            image_key,
            scale=scale or ((0.08, 1.0) if spatial_dims == 2 else (0.5, 1.0)),
            ratio=None if keep_aspect else ratio,
            target=size,
        ),
        *(RandFlipd(image_key, prob=flip_prob, spatial_axis=axis) for axis in axes),
    ]
    return Compose(
        [
            *_load(image_key, in_channels, spatial_dims, intensity_range, track_meta),
            _label_to_tensor(label_key),
            PerSampleRandom(random),
            *_finish(image_key, size, interpolation, False, mean, std, in_channels, track_meta),
        ]
    )


def eval_transforms(
    img_size: int | Sequence[int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    in_channels: int = 3,
    spatial_dims: int = 2,
    interpolation: str = "bicubic",
    keep_aspect: bool = False,
    intensity_range: tuple[float, float] | None = None,
    track_meta: bool = False,
    image_key: str = "image",
    label_key: str = "label",
) -> Compose:
    """Transforms for validation, test and use: nothing random, the whole image resized to ``img_size``.

    Args:
        img_size: size of the network's input, one number or one per dimension.
        mean: mean per channel, from the backbone's own settings.
        std: standard deviation per channel, from the backbone's own settings.
        in_channels: channels of the network's input.
        spatial_dims: 2 for images, 3 for volumes.
        interpolation: "bicubic", "bilinear" or "nearest"; volumes use "trilinear" for both of the first two.
        keep_aspect: True fits the whole image in and fills up with black; False squashes it, as in the paper.
        intensity_range: values that become 0 and 1, e.g. a CT window; None: 8-bit images by 255, all else by its own
            minimum and maximum.
        track_meta: keep MONAI's metadata on the image (its file name, for instance).
        image_key: the record's key of the image.
        label_key: the record's key of the label; a missing one is fine.

    Returns:
        a :py:class:`monai.transforms.Compose`, see :py:func:`train_transforms`.
    """
    size = ensure_tuple_rep(img_size, spatial_dims)
    return Compose(
        [
            *_load(image_key, in_channels, spatial_dims, intensity_range, track_meta),
            _label_to_tensor(label_key),
            *_finish(image_key, size, interpolation, keep_aspect, mean, std, in_channels, track_meta),
        ]
    )


def _load(
    key: str, in_channels: int, spatial_dims: int, intensity_range: tuple[float, float] | None, track_meta: bool
) -> list[Any]:
    steps: list[Any] = [LoadRecordd(key, spatial_dims=spatial_dims)]
    if spatial_dims == 3:
        steps.append(Orientationd(key, axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))))
    steps += [RepairChannelsd(key, in_channels=in_channels), UnitIntensityd(key, intensity_range=intensity_range)]
    # Nothing that follows needs the metadata, and plain tensors are faster to crop, cache and collate.
    return steps if track_meta else [*steps, EnsureTyped(key, track_meta=False)]


def _finish(
    key: str,
    size: tuple[int, ...],
    interpolation: str,
    keep_aspect: bool,
    mean: float | Sequence[float],
    std: float | Sequence[float],
    in_channels: int,
    track_meta: bool,
) -> list[Any]:
    return [
        BytesToUnitd(key),
        ResizeImaged(key, size, mode=interpolation, keep_aspect=keep_aspect),
        NormalizeIntensityd(
            key,
            subtrahend=_per_channel("mean", mean, in_channels),
            divisor=_per_channel("std", std, in_channels),
            channel_wise=True,
        ),
        EnsureTyped(key, dtype=torch.float32, track_meta=track_meta),
    ]


def _label_to_tensor(key: str) -> Lambdad:
    return Lambdad(key, func=_to_label, allow_missing_keys=True, track_meta=False)


def _to_label(label: int | Sequence[int] | torch.Tensor) -> torch.Tensor:
    # Cross entropy wants whole numbers, binary cross entropy wants floats.
    tensor = torch.as_tensor(label)
    return tensor.to(torch.int64 if tensor.ndim == 0 else torch.float32)


def _per_channel(name: str, values: float | Sequence[float], in_channels: int) -> np.ndarray:
    numbers = np.atleast_1d(np.asarray(values, dtype=np.float32))
    if len(numbers) == in_channels:
        return numbers
    if in_channels == 1:  # colour statistics for a grey network: their average
        return numbers.mean(keepdims=True)
    if len(numbers) == 1:
        return numbers.repeat(in_channels)
    raise ValueError(f"{name} has {len(numbers)} values, but in_channels is {in_channels}; give one number a channel.")


class LoadRecordd(MapTransform):
    """Reads a record's image, path or array, and puts the channels first.

    Args:
        keys: keys of the images.
        spatial_dims: 2 or 3; what is left over is the channel axis. It may be last (as in files) or first.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, spatial_dims: int = 2, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.spatial_dims = look_up_option(spatial_dims, (2, 3))

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            name = str(image) if isinstance(image, (str, Path)) else f"record {d.get('id', '?')!r}"
            image = read_image(image) if isinstance(image, (str, Path)) else MetaTensor(np.ascontiguousarray(image))
            d[key] = self._channel_first(image, name)
        return d

    def _channel_first(self, image: torch.Tensor, name: str) -> torch.Tensor:
        dims, shape = self.spatial_dims, tuple(image.shape)
        if len(shape) == dims:
            shaped = image.unsqueeze(0)
        elif len(shape) == dims + 1 and shape[-1] <= 4:
            shaped = image.movedim(-1, 0)
        elif len(shape) == dims + 1 and shape[0] <= 4:
            shaped = image
        else:
            hint = "; spatial_dims=3 reads volumes" if dims == 2 and len(shape) == 3 else ""
            raise ValueError(f"{name} has shape {shape}, which is not {dims}-D with up to 4 channels{hint}.")
        return shaped


class RepairChannelsd(MapTransform):
    """Gives an image the number of channels the network takes.

    Grey is repeated, alpha is dropped, colour becomes grey with the weights of ITU-R 601 (as in PIL).

    Args:
        keys: keys of channel-first images.
        in_channels: the number wanted.
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(self, keys: KeysCollection, in_channels: int = 3, allow_missing_keys: bool = False) -> None:
        super().__init__(keys, allow_missing_keys)
        self.in_channels = in_channels

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image, wanted = d[key], self.in_channels
            # Volumes with two or four channels are modalities, not alpha.
            if image.ndim == 3 and wanted in (1, 3) and image.shape[0] in (2, 4):
                image = image[:-1]
            if image.shape[0] == wanted:
                pass
            elif image.shape[0] == 1:
                image = image.repeat(wanted, *[1] * (image.ndim - 1))
            elif image.shape[0] == 3 and wanted == 1:
                weights = torch.tensor([0.299, 0.587, 0.114]).reshape(3, *[1] * (image.ndim - 1))
                grey = (image.float() * weights).sum(0, keepdim=True)
                image = grey.round().to(image.dtype) if not image.is_floating_point() else grey
            else:
                raise ValueError(
                    f"record {d.get('id', '?')!r} has {image.shape[0]} channels and the network takes {wanted}; "
                    "no rule says how to get from one to the other."
                )
            d[key] = image
        return d


class UnitIntensityd(MapTransform):
    """Brings intensities to [0, 1], except for 8-bit images, which stay small for the cache.

    Args:
        keys: keys of the images.
        intensity_range: values that become 0 and 1, applied to every number type, with what lies outside cut off; None:
            an image's own minimum and maximum, and 8-bit images unchanged (:py:class:`BytesToUnitd` is for them).
        allow_missing_keys: skip keys that are not there.
    """

    def __init__(
        self,
        keys: KeysCollection,
        intensity_range: tuple[float, float] | None = None,
        allow_missing_keys: bool = False,
    ) -> None:
        super().__init__(keys, allow_missing_keys)
        self.scale: Any = ScaleIntensity(0.0, 1.0)
        if intensity_range is not None:
            low, high = intensity_range
            if not low < high:
                raise ValueError(f"intensity_range is {intensity_range}, the first value must be below the second.")
            self.scale = ScaleIntensityRange(low, high, 0.0, 1.0, clip=True)
        self.bytes_too = intensity_range is not None

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            image = d[key]
            if image.dtype == torch.bool:
                image = image.to(torch.uint8) * 255
            if image.dtype != torch.uint8 or self.bytes_too:
                image = self.scale(torch.nan_to_num(image.float()))
            d[key] = image
        return d


class BytesToUnitd(MapTransform):
    """Turns 8-bit images into floats in [0, 1] and leaves floats alone."""

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            if d[key].dtype == torch.uint8:
                d[key] = d[key].float() / 255
        return d


class RandAreaCropd(Randomizable, MapTransform, RandomizableTrait):
    """Crops a random share of the area, with a random aspect ratio, at a random place.

    With a resize after it, this is the RandomResizedCrop of torchvision, for images and volumes.

    Args:
        keys: keys of channel-first images; all are cropped alike.
        scale: smallest and largest share of the area (volume) to keep.
        ratio: smallest and largest aspect ratio (columns to rows); in 3-D the stretch of each axis. None: the aspect
            ratio of ``target``.
        target: the size a crop will be resized to; only needed without ``ratio``.
        allow_missing_keys: skip keys that are not there.
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
        self._start: list[int] = []
        self._size: list[int] = []

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
        drawn = False
        for key in self.key_iterator(d):
            if not drawn:
                self.randomize(d[key].shape[1:])
                drawn = True
            d[key] = SpatialCrop(roi_start=self._start, roi_end=np.add(self._start, self._size))(d[key])
        return d


class ResizeImaged(MapTransform):
    """Resizes without aliasing, squashing the image or keeping its aspect ratio.

    Images are resized by torch's antialiased filter. It agrees with PIL, which timm's networks were trained with, and
    is many times faster than MONAI's Gaussian filter before a resize (tools/measure/data_cache.py). Torch has no such
    filter for volumes; there MONAI's resize does the work.

    Args:
        keys: keys of channel-first float images in [0, 1].
        spatial_size: the size wanted.
        mode: "bicubic", "bilinear" or "nearest"; volumes use "trilinear" for both of the first two.
        keep_aspect: fit the image in and fill up with zeros on both sides, instead of squashing it.
        allow_missing_keys: skip keys that are not there.
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

    def __call__(self, data: Mapping[Hashable, Any]) -> dict[Hashable, Any]:
        d = dict(data)
        for key in self.key_iterator(d):
            d[key] = self._resize(d[key])
        return d

    def _resize(self, image: torch.Tensor) -> torch.Tensor:
        shape, target = tuple(image.shape[1:]), self.spatial_size
        size = target
        if self.keep_aspect:
            factor = min(want / have for want, have in zip(target, shape, strict=True))
            size = tuple(min(want, max(1, round(have * factor))) for want, have in zip(target, shape, strict=True))
        if size != shape:
            image = self._interpolate(image, size)
        if size != target:
            gaps = [want - have for want, have in zip(target, size, strict=True)]
            # torch's pad starts with the last axis
            padding = [amount for gap in reversed(gaps) for amount in (gap // 2, gap - gap // 2)]
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
