# SPDX-License-Identifier: Apache-2.0

"""What a training is measured against: a linear head, solved in closed form on the backbone as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from monai_ept.data.views import test_views
from monai_ept.engines.solve import linear_head, view_features
from monai_ept.evaluation.evaluator import predict
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.model import TunedViT
from monai_ept.networks.readout import POOLED, read_out

__all__ = ["linear_baseline"]


def linear_baseline(
    net: TunedViT,
    train: Iterable,
    test: Iterable,
    groups: Sequence[str],
    *,
    task: str,
    device: torch.device,
    amp: str = "off",
    solved: bool = False,
) -> tuple[str, PredictionTable]:
    """
    Predictions of a linear head on the frozen backbone, whose features take one pass over the images.

    Args:
        net: the trained network, whose backbone answers as it came.
        train: batches of training images in the order of ``groups``, not augmented.
        test: batches of test images.
        groups: patient, study or lesion of each training image.
        task: "multiclass" or "multilabel".
        device: where to compute.
        amp: as in ``at_precision``.
        solved: read what the network reads, on the views that it looks at: the head that tuning has started from.
            Otherwise the backbone's own features of the image alone.

    Returns:
        what it is called, and its predictions.
    """
    frozen = _Frozen(net, net.readout, net.views) if solved else _Frozen(net, POOLED, "one")
    was = net.training
    net.eval()
    try:
        with net.disabled():
            features, labels = view_features(frozen, train, device=device, amp=amp)
            frozen.solve(*linear_head(features, labels, groups, task, net))
            table = predict(frozen.to(device), test, task=task, device=device, amp=amp)
    finally:
        net.train(was)
    name = "the solved head without tuning" if solved else "a linear head on the frozen backbone"
    return name, table


class _Frozen(nn.Module):
    """The backbone with a head of its own: what a ``TunedViT`` would be without its method."""

    def __init__(self, net: TunedViT, readout: str | int, views: str) -> None:
        super().__init__()
        self.net, self.readout, self.views = net, readout, views
        self.head: Any = None

    def solve(self, weight: Tensor, bias: Tensor) -> None:
        self.head = nn.Linear(weight.shape[1], weight.shape[0])
        self.head.load_state_dict({"weight": weight.float(), "bias": bias.float()})

    def features(self, x: Tensor) -> Tensor:
        return read_out(self.net.vit, x, self.readout)

    def forward(self, x: Tensor) -> Tensor:
        return torch.stack([self.head(self.features(view(x))) for view in test_views(self.views)]).mean(dim=0)
