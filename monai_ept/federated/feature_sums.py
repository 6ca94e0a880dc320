# SPDX-License-Identifier: Apache-2.0

"""
A solved head in one round: clients send sums of their frozen features, and the server solves for all images at once.

Ridge regression knows its images only through counts, sums and second moments. Those of a class stand in the matrix
``AᵀA`` of its rows ``A = [1 | features]``, one row for each view of an image; what travels is its triangular factor R
(``RᵀR = AᵀA``), which has as many rows as there are views or columns, whichever are fewer. Nothing else of the
images can be known from it, but that may be much: see docs/federated.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from monai_ept.checks import check_choice, check_whole
from monai_ept.engines.loss import image_weights
from monai_ept.engines.ridge import Ridge, usual_sharpness
from monai_ept.engines.solve import STRENGTHS, solvable_layer
from monai_ept.model import TunedViT

__all__ = ["feature_sums", "solve_from_sums"]

IMAGES, ALL = "images", "factor"  # names of what is sent


def feature_sums(
    features: Tensor,
    labels: Tensor,
    *,
    num_classes: int,
    task: str = "multiclass",
    least: int = 2,
    class_names: Sequence[str] | None = None,
) -> dict[str, Tensor]:
    """
    Counts, sums and second moments of features, as a client sends them.

    Args:
        features: ``(images, views, features)``, as ``view_features`` gives them.
        num_classes: of the network, whether there are images of all of them here or not.
        least: images that a class must have here, or none: the sum over one image is that image's features. 1 sends
            them all the same.

    Raises:
        ValueError: when a class has fewer images.
    """
    check_choice("task", task, ("multiclass", "multilabel"))
    check_whole("least", least)
    targets = F.one_hot(labels.long(), num_classes) if task == "multiclass" else labels.long()
    counts = targets.sum(0)
    rest = [] if task == "multiclass" else (len(targets) - counts).tolist()  # whose sums are what is left of all
    for index, count in enumerate([*counts.tolist(), *rest]):
        if 0 < count < least:
            name = (class_names or range(num_classes))[index % num_classes]
            whose = f"class {name!r} has {count} image" if index < num_classes else f"{count} image is not of {name!r}"
            raise ValueError(
                f"{whose} here, whose features its sums would give away: leave it out, find {least}, or say "
                f"least={count} if that may be known."
            )
    sums = {IMAGES: torch.cat([counts, torch.tensor([len(targets)])])}
    rows = features.double()
    if task == "multiclass":
        for index in counts.nonzero().flatten().tolist():
            sums[f"{ALL}.{index}"] = _factor(rows[labels == index].flatten(0, 1))
    else:
        views = targets.double().repeat_interleave(features.shape[1], 0)
        sums[ALL] = _factor(torch.cat([views, rows.flatten(0, 1)], 1))
    return sums


def solve_from_sums(net: TunedViT, sent: Sequence[Mapping[str, Any]], *, strength: float = STRENGTHS[0]) -> None:
    """
    Give a network the head that solving finds on the images of all clients.

    It is the head of ``solve_head`` without its choices, which need images left out: the penalty has its usual
    strength, and scores their usual sharpness, which decides how sure probabilities are and not which is largest.

    Args:
        net: the network, which reads images as those of the clients do.
        sent: what each client's ``feature_sums`` gave.
        strength: of the penalty.

    Raises:
        ValueError: when these are not sums of such a network's features, or of no image at all.
    """
    layer, classes = solvable_layer(net), net.num_classes
    counts = torch.zeros(classes + 1, dtype=torch.long)
    for one in sent:
        if tuple(one.get(IMAGES, torch.empty(0)).shape) != (classes + 1,):
            raise ValueError(f"a client has not sent sums of features for {classes} classes: use feature_sums there.")
        counts += torch.as_tensor(one[IMAGES])
    if not counts[-1]:
        raise ValueError("no client has sent sums of any image: there is nothing to solve the head on.")
    task = "multilabel" if any(ALL in one for one in sent) else "multiclass"
    weight_of = torch.ones(classes, dtype=torch.float64)
    if task == "multiclass":
        present = torch.arange(classes).repeat_interleave(counts[:-1])
        weight_of[present] = image_weights(F.one_hot(present, classes))
    rows, targets, ones, weights = [], [], [], []
    for one in sent:
        for name in sorted(one.keys() - {IMAGES}):
            factor = _unpacked(torch.as_tensor(one[name]), 1 + layer.in_features + (classes if name == ALL else 0))
            if name == ALL:
                targets.append(factor[:, 1 : classes + 1])
                weights.append(torch.ones(len(factor), dtype=torch.float64))
            else:
                index = int(name.removeprefix(f"{ALL}."))
                targets.append(factor[:, :1] * F.one_hot(torch.tensor(index), classes))
                weights.append(weight_of[index].expand(len(factor)))
            ones.append(factor[:, 0])
            rows.append(factor[:, -layer.in_features :])
    ridge = Ridge.fit(torch.cat(rows), torch.cat(targets), strength, torch.cat(weights), torch.cat(ones))
    weight, bias = ridge.head(usual_sharpness(classes, task), task)
    with torch.no_grad():
        layer.weight.copy_(weight)
        layer.bias.copy_(bias)


def _factor(rows: Tensor) -> Tensor:
    """The numbers of the triangular factor of ``[1 | rows]``, row by row."""
    ones = torch.ones(len(rows), 1, dtype=rows.dtype)
    factor = torch.linalg.qr(torch.cat([ones, rows], 1), mode="r").R
    return factor[tuple(torch.triu_indices(*factor.shape))]


def _unpacked(numbers: Tensor, columns: int) -> Tensor:
    """The factor again, from its numbers."""
    half = columns + 0.5
    height = round(half - math.sqrt(max(0.0, half**2 - 2 * len(numbers))))  # height · columns - height (height - 1) / 2
    factor = torch.zeros(height, columns, dtype=torch.float64)
    upper = tuple(torch.triu_indices(height, columns))
    if len(upper[0]) != len(numbers) or not torch.isfinite(numbers).all():
        raise ValueError(
            f"a client has sent sums of other features than the {columns - 1} of this network: all sides need the same "
            "backbone and readout."
        )
    factor[upper] = numbers.to(factor)
    return factor
