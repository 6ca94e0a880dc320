# SPDX-License-Identifier: Apache-2.0

"""One function per phase that builds MONAI dictionary transforms from a record to what a ViT takes.

Everything that is the same in every epoch comes first (load, orient, channels, intensities), everything random after
it. A :py:class:`monai.data.CacheDataset` then decodes each image once in its life.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from monai.transforms import Compose, EnsureTyped, Lambdad, NormalizeIntensityd, Orientationd, RandFlipd
from monai.utils import ensure_tuple, ensure_tuple_rep

from monai_ept.data.image_transforms import (
    BytesToUnitd,
    LoadRecordd,
    RandAreaCropd,
    RepairChannelsd,
    ResizeImaged,
    UnitIntensityd,
)
from monai_ept.data.seeded_loader import PerSampleRandom

__all__ = ["eval_transforms", "input_settings", "train_transforms"]


def train_transforms(
    img_size: int | Sequence[int],
    mean: float | Sequence[float],
    std: float | Sequence[float],
    *,
    spatial_dims: int = 2,
    keep_aspect: bool = False,
    scale: tuple[float, float] | None = None,
    ratio: tuple[float, float] = (3 / 4, 4 / 3),
    flip_prob: float = 0.5,
    flip_axis: int | Sequence[int] | None = None,
    image_key: str = "image",
    **settings: Any,
) -> Compose:
    """Transforms for training: random area crop, resized to ``img_size``, and random flip, as in the paper.

    Everything that is not random is as in :py:func:`eval_transforms`, whose arguments it takes.

    Args:
        keep_aspect: crop with the aspect ratio of ``img_size``, instead of one drawn from ``ratio``.
        scale: share of the image that a crop covers, from and to; default (0.08, 1) in 2-D and (0.5, 1) in 3-D.
        ratio: aspect ratios of a crop, from and to.
        flip_prob: probability of a flip, for each of the flip axes.
        flip_axis: spatial axes to flip; default left-right: the columns of an image, the first axis of a volume.
        settings: these and all others are those of :py:func:`eval_transforms`.

    Returns:
        what :py:func:`eval_transforms` returns.

    Example::

        dataset = monai.data.CacheDataset(split.train, train_transforms(224, mean=0.5, std=0.5))
    """
    if flip_axis is None:
        flip_axis = 1 if spatial_dims == 2 else 0
    crop = RandAreaCropd(
        image_key,
        scale=scale or ((0.08, 1.0) if spatial_dims == 2 else (0.5, 1.0)),
        ratio=None if keep_aspect else ratio,
        target=ensure_tuple_rep(img_size, spatial_dims),
    )
    flips = [RandFlipd(image_key, prob=flip_prob, spatial_axis=axis) for axis in ensure_tuple(flip_axis)]
    steps = eval_transforms(img_size, mean, std, spatial_dims=spatial_dims, image_key=image_key, **settings).transforms
    # Crops are cheaper of what is still bytes.
    first = next(index for index, step in enumerate(steps) if isinstance(step, BytesToUnitd))
    return Compose([*steps[:first], PerSampleRandom([crop, *flips]), *steps[first:]])


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
        std: standard deviation per channel, likewise.
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
        a :py:class:`monai.transforms.Compose`; image float32 of shape ``(in_channels, *img_size)``, label
        int64 (multi-class) or float32 (multi-label).
    """
    steps: list[Any] = [LoadRecordd(image_key, spatial_dims=spatial_dims)]
    if spatial_dims == 3:
        steps.append(Orientationd(image_key, axcodes="RAS", labels=(("L", "R"), ("P", "A"), ("I", "S"))))
    steps.append(RepairChannelsd(image_key, in_channels=in_channels))
    steps.append(UnitIntensityd(image_key, intensity_range=intensity_range))
    if not track_meta:  # plain tensors are faster to crop, cache and collate
        steps.append(EnsureTyped(image_key, track_meta=False))
    size = ensure_tuple_rep(img_size, spatial_dims)
    means, deviations = _per_channel("mean", mean, in_channels), _per_channel("std", std, in_channels)
    steps += [
        Lambdad(label_key, func=_to_label, allow_missing_keys=True, track_meta=False),
        BytesToUnitd(image_key),
        ResizeImaged(image_key, size, mode=interpolation, keep_aspect=keep_aspect),
        NormalizeIntensityd(image_key, subtrahend=means, divisor=deviations, channel_wise=True),
        EnsureTyped(image_key, dtype=torch.float32, track_meta=track_meta),
    ]
    return Compose(steps)


def input_settings(vit: Any, **options: Any) -> dict[str, Any]:
    """
    Arguments of ``eval_transforms`` that fit a network: all of them that decide what it sees.

    Mean, standard deviation and interpolation are those of its pretraining; where nobody knows them (a module without
    pretrained settings), 0.5 each and bicubic.

    Args:
        options: options of ``eval_transforms``, which replace what the network says.
    """
    return {
        "img_size": vit.img_size,
        "mean": vit.mean or 0.5,
        "std": vit.std or 0.5,
        "in_channels": vit.in_channels,
        "spatial_dims": vit.spatial_dims,
        "interpolation": vit.interpolation if vit.interpolation in ("bicubic", "bilinear", "nearest") else "bicubic",
        **options,
    }


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
