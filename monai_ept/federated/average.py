# SPDX-License-Identifier: Apache-2.0

"""The server's part of a round: the mean of what the clients have learnt, each weighted by its images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from monai.fl.utils.constants import WeightType
from monai.fl.utils.exchange_object import ExchangeObject
from torch import Tensor

from monai_ept.checks import check_whole

__all__ = ["BACKBONE", "NUM_IMAGES", "federated_average", "the_same_backbone"]

NUM_IMAGES, BACKBONE = "num_images", "backbone"
"""What clients say of themselves: how many images they train on, and the fingerprint of their frozen weights."""


def federated_average(start: Mapping[str, Tensor], sent: Sequence[ExchangeObject]) -> dict[str, Tensor]:
    """
    What the next round starts from: FedAvg, weighted by number of training images.

    Args:
        start: what this round has started from.
        sent: what each client's ``get_weights`` gave.

    Raises:
        ValueError: when clients have sent nothing, or other things than was sent to them.
    """
    the_same_backbone(sent)
    total = sum(check_whole(NUM_IMAGES, _said(one, NUM_IMAGES)) for one in sent)
    mean = {name: torch.zeros_like(tensor, dtype=torch.float64) for name, tensor in start.items()}
    for number, one in enumerate(sent):
        weights = one.weights or {}
        if one.weight_type != WeightType.WEIGHT_DIFF or {k: v.shape for k, v in weights.items()} != {
            k: v.shape for k, v in start.items()
        }:
            raise ValueError(
                f"client {number} has not sent the difference to what was sent to it: use DeltaAlgo there."
            )
        for name, difference in weights.items():
            mean[name] += difference.double() * (_said(one, NUM_IMAGES) / total)
    return {name: (tensor.double() + mean[name]).to(tensor.dtype) for name, tensor in start.items()}


def the_same_backbone(sent: Sequence[ExchangeObject]) -> None:
    """
    Refuse what cannot be added up.

    Raises:
        ValueError: when nobody has sent anything, or not all have the same frozen backbone.
    """
    if not sent:
        raise ValueError("no client has sent anything: there is nothing to take the mean of.")
    found = {_said(one, BACKBONE) for one in sent}
    if len(found) > 1:
        raise ValueError(f"clients have {len(found)} different frozen backbones: give all of them the same weights.")


def _said(one: ExchangeObject, what: str):
    statistics = one.statistics or {}
    if what not in statistics:
        raise ValueError(f"a client has not said its {what}: use DeltaAlgo there.")
    return statistics[what]
