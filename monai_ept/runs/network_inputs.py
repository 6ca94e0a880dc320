# SPDX-License-Identifier: Apache-2.0

"""The transforms that fit a network: its size, channels and the normalisation of its pretraining."""

from __future__ import annotations

from typing import Any

from monai.transforms import Compose
from torch import nn

from monai_ept.data.transforms import eval_transforms, input_settings, train_transforms
from monai_ept.networks.unwrap_network import unwrap

__all__ = ["network_transforms"]


def network_transforms(network: nn.Module, train: bool = False, **options: Any) -> Compose:
    """
    Training or evaluation transforms for a network.

    What of it follows from the network is in ``monai_ept.data.transforms.input_settings``.

    Args:
        network: a ``TunedViT``.
        train: with random crops and flips.
        options: options of ``train_transforms`` or ``eval_transforms``, which replace what the network says.
    """
    return (train_transforms if train else eval_transforms)(**input_settings(unwrap(network).vit, **options))
