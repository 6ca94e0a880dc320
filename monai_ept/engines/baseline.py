# SPDX-License-Identifier: Apache-2.0

"""What a training is measured against: a linear head, solved in closed form on the backbone as it came."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch

from monai_ept.engines.solve import solve_plain
from monai_ept.model import TunedViT
from monai_ept.networks.plain_answer import PlainAnswer
from monai_ept.networks.readout import POOLED

__all__ = ["linear_baseline"]


def linear_baseline(
    net: TunedViT,
    train: Iterable,
    groups: Sequence[str],
    *,
    task: str,
    device: torch.device,
    amp: str = "off",
    solved: bool = False,
) -> tuple[str, PlainAnswer]:
    """
    A linear head on the frozen backbone, which takes one pass over the training images.

    Args:
        net: the trained network, whose backbone answers as it came.
        train: batches of training images in the order of ``groups``, not augmented.
        groups: patient, study or lesion of each training image.
        task: "multiclass" or "multilabel".
        device: where to compute.
        amp: as in ``at_precision``.
        solved: read what the network reads, on the views that it looks at: the head that tuning has started from.
            Otherwise the backbone's own features of the image alone.

    Returns:
        what it is called, and the network.
    """
    if solved and net.solved is not None:
        plain = net.solved
    else:
        plain = net.plain_answer(net.readout, net.views) if solved else net.plain_answer(POOLED, "one")
        solve_plain(plain, net, train, groups, task=task, device=device, amp=amp)
    return "the solved head without tuning" if solved else "a linear head on the frozen backbone", plain
