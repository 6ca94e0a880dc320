# SPDX-License-Identifier: Apache-2.0

"""What a training is measured against: a linear head, solved in closed form on the backbone as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from monai_ept.engines.solve import solve_plain
from monai_ept.evaluation.evaluator import predict
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.model import TunedViT
from monai_ept.networks.readout import POOLED

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
    if solved and net.solved is not None:
        plain = net.solved
    else:
        plain = net.plain_answer(net.readout, net.views) if solved else net.plain_answer(POOLED, "one")
        solve_plain(plain, net, train, groups, task=task, device=device, amp=amp)
    table = predict(plain, test, task=task, device=device, amp=amp)
    name = "the solved head without tuning" if solved else "a linear head on the frozen backbone"
    return name, table
