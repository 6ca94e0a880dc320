# SPDX-License-Identifier: Apache-2.0

"""Learning from images alone: two views of an image are to look alike, and views of different images are not."""

from __future__ import annotations

import os
from typing import Any

import torch
from monai.losses import ContrastiveLoss
from torch import Tensor, nn

from monai_ept.data.random_views import RandomViews
from monai_ept.model import TunedViT
from monai_ept.networks.backbone import ViTFace
from monai_ept.start import headless, write_start

__all__ = ["ContrastOfViews", "TwoViews"]

HIDDEN, PROJECTED = 1024, 256


class TwoViews(nn.Module):
    """
    A network that looks at each image twice, and a projection of its pooled features that nobody keeps.

    What trains is what the network's methods train, and the projection; the head has no part in it. A checkpoint
    takes it for a network: its delta has the projection in the head's place, and the file it saves has neither.
    """

    def __init__(self, net: TunedViT, views: RandomViews) -> None:
        super().__init__()
        self.net = net
        self.views = views
        width = net.vit.embed_dim
        self.projection = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, PROJECTED))

    @property
    def vit(self) -> ViTFace:
        """The backbone of the network."""
        return self.net.vit

    def forward(self, images: Tensor) -> Tensor:
        """Projections ``(images, 2, PROJECTED)``."""
        both = torch.cat([self.views(images), self.views(images)])
        features = self.net.vit.features(both).float()
        with torch.autocast(features.device.type, enabled=False):
            first, second = self.projection(features).chunk(2)
        return torch.stack([first, second], dim=1)

    def delta_tensors(self) -> dict[str, Tensor]:
        """What changes: the network's delta without its head, and the projection."""
        own = {f"projection.{name}": tensor for name, tensor in self.projection.state_dict().items()}
        return {**headless(self.net.delta_tensors()), **own}

    def delta_metadata(self) -> dict[str, Any]:
        """What a checkpoint says about the network, whose classes do not matter."""
        return {**self.net.delta_metadata(), "num_classes": None, "class_names": None}

    def save_delta(self, path: str | os.PathLike, **extra: Any) -> None:
        """Write the network's delta without a head."""
        write_start(self.net, path, **extra)


class ContrastOfViews(ContrastiveLoss):
    """
    MONAI's contrastive loss of what ``TwoViews`` returns.

    Args:
        temperature: the lower, the more the most similar of the other images count.
    """

    def __init__(self, temperature: float = 0.15) -> None:
        super().__init__(temperature)

    def forward(self, input: Tensor, target: Any = None) -> Tensor:
        """The loss of projections ``(images, 2, features)``; there is no target."""
        return super().forward(input[:, 0], input[:, 1])
