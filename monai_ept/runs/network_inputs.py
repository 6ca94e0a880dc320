# SPDX-License-Identifier: Apache-2.0

"""The transforms that fit a network: its size, channels and the normalisation of its pretraining."""

from __future__ import annotations

import logging
from functools import cache
from typing import Any

from monai.transforms import Compose
from torch import nn

from monai_ept.data.transforms import eval_transforms, input_settings, train_transforms
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["network_transforms"]

logger = logging.getLogger(__name__)


def network_transforms(network: nn.Module, train: bool = False, **options: Any) -> Compose:
    """
    Training or evaluation transforms for a network.

    What of it follows from the network is in ``monai_ept.data.transforms.input_settings``; where nobody knows its mean
    and standard deviation, that is said once.

    Args:
        network: a ``TunedViT``.
        train: with random crops and flips.
        options: options of ``train_transforms`` or ``eval_transforms``, which replace what the network says.
    """
    vit = unwrap(network).vit
    if vit.mean is None and not options.keys() & {"mean", "std"}:
        _tell(type(vit.module).__name__)
    return (train_transforms if train else eval_transforms)(**input_settings(vit, **options))


@cache
def _tell(name: str) -> None:
    logger.warning(
        "nothing says how images were prepared for the weights of this %s: a mean and a standard deviation of 0.5 are "
        "taken. Pass mean and std to network_transforms, or give the module a pretrained_cfg that has them.",
        name,
    )
