# SPDX-License-Identifier: Apache-2.0

"""The transforms that fit a network: its size, channels and the normalisation of its pretraining."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from monai.transforms import Compose
from torch import nn

from monai_ept.data.transforms import eval_transforms, train_transforms
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["network_transforms"]

logger = logging.getLogger(__name__)


def network_transforms(network: nn.Module, train: bool = False, **options: Any) -> Compose:
    """
    Training or evaluation transforms for a network.

    Mean, standard deviation and interpolation are those of its pretraining; where nobody knows them (a module without
    pretrained settings), 0.5 each and bicubic, which is said once.

    Args:
        network: a ``TunedViT``.
        train: with random crops and flips.
        options: options of ``train_transforms`` or ``eval_transforms``, which replace what the network says.
    """
    vit = unwrap(network).vit
    if vit.mean is None and not options.keys() & {"mean", "std"}:
        _tell(type(vit.module).__name__)
    settings: dict[str, Any] = {
        "img_size": vit.img_size,
        "mean": vit.mean or 0.5,
        "std": vit.std or 0.5,
        "in_channels": vit.in_channels,
        "spatial_dims": vit.spatial_dims,
        "interpolation": vit.interpolation if vit.interpolation in ("bicubic", "bilinear", "nearest") else "bicubic",
        **options,
    }
    return (train_transforms if train else eval_transforms)(**settings)


@cache
def _tell(name: str) -> None:
    logger.warning(
        "nothing says how images were prepared for the weights of this %s: a mean and a standard deviation of 0.5 are "
        "taken. Pass mean and std to network_transforms, or give the module a pretrained_cfg that has them.",
        name,
    )
