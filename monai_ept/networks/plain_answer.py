# SPDX-License-Identifier: Apache-2.0

"""What a backbone says as it came, through a head of its own, whatever tuning has made of it."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from monai_ept.data.views import mean_over_views
from monai_ept.networks.backbone import ViTFace
from monai_ept.networks.readout import read_out, readout_width

__all__ = ["PlainAnswer"]


class PlainAnswer(nn.Module):
    """
    A frozen backbone and a linear head: what a ``TunedViT`` would be without its method.

    Args:
        vit: the backbone.
        num_classes: number of logits.
        readout: what the head reads.
        views: over which views of an image its answer is the mean, see ``monai_ept.data.test_views``.
    """

    def __init__(self, vit: ViTFace, num_classes: int, readout: str | int, views: str) -> None:
        super().__init__()
        self.vit, self.readout, self.views = vit, readout, views
        self.backbone = vit.module
        with torch.random.fork_rng(devices=[]):  # nobody's random numbers move on
            self.head = nn.Linear(readout_width(vit, readout), num_classes)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)
        self.head.requires_grad_(False)
        self.eval()

    def train(self, mode: bool = True) -> PlainAnswer:
        """Nothing in it trains, so that it answers as in evaluation mode in either."""
        return super().train(False)

    @torch.no_grad()
    def solve(self, weight: Tensor, bias: Tensor) -> None:
        """Take over a head."""
        self.head.weight.copy_(weight)
        self.head.bias.copy_(bias)

    def features(self, x: Tensor) -> Tensor:
        """What the head reads of images as they are."""
        return read_out(self.vit, x, self.readout)

    def forward(self, x: Tensor) -> Tensor:
        """Logits, the mean over the views."""
        return mean_over_views(lambda view: self.head(self.features(view)), x, self.views, self.vit.img_size)
