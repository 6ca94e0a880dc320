# SPDX-License-Identifier: Apache-2.0

"""A linear head in closed form: ridge regression on standardised features, and probabilities from its scores."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["Ridge", "folds", "negative_log_likelihood", "offset", "sharpness", "usual_sharpness"]

SPREAD = 0.5
"""By how much, in logarithms, the sharpness of scores differs from what is usual, from one set of images to another."""


@dataclass(frozen=True)
class Ridge:
    """
    Scores ``(features - mean) / deviation @ weight`` of each class, near 1 for its images and 0 for others.

    Args:
        mean: of the training views' features.
        deviation: likewise.
        weight: ``(features, classes)``.
        prior: how often each class is there, as the fit weighs images; what all scores are relative to.
    """

    mean: Tensor
    deviation: Tensor
    weight: Tensor
    prior: Tensor

    @classmethod
    def fit(
        cls,
        features: Tensor,
        targets: Tensor,
        strength: float,
        weights: Tensor | None = None,
        ones: Tensor | None = None,
    ) -> Ridge:
        """
        Solve for the weight. It costs the square of the smaller of two numbers: images and features.

        Args:
            features: ``(views, features)``, a row for each view.
            strength: of the penalty, relative to the mean of the kernel's diagonal.
            weights: how much each row counts, 1 on average; all alike by default.
            ones: what has become of the 1 of each view, where rows are not views but other rows with the same sums of
                products, a triangular factor for one; all the ridge knows of its rows are these sums.
        """
        weights = torch.ones(len(features), dtype=features.dtype) if weights is None else weights.to(features.dtype)
        ones = torch.ones_like(weights)[:, None] if ones is None else ones.to(features.dtype)[:, None]
        count = ones.square().sum()
        share = weights[:, None] / (weights[:, None] * ones.square()).sum()
        mean = (share * ones * features).sum(0)
        variance = (share * (features - ones * mean).square()).sum(0)
        if round(count.item()) <= targets.shape[1]:  # one view of one image per class says nothing of single features
            variance = variance.mean().expand_as(variance)
        deviation = variance.sqrt() + 1e-3
        prior = (share * ones * targets).sum(0)
        root = weights.sqrt()[:, None]
        rows, wanted = root * (features - ones * mean) / deviation, root * (targets - ones * prior)
        penalty = strength * rows.square().sum() / count * torch.eye(min(rows.shape), dtype=rows.dtype)
        if len(rows) <= rows.shape[1]:
            solved = rows.T @ torch.linalg.solve(rows @ rows.T + penalty, wanted)
        else:
            solved = torch.linalg.solve(rows.T @ rows + penalty, rows.T @ wanted)
        return cls(mean, deviation, solved, prior)

    def scores(self, features: Tensor) -> Tensor:
        """Scores ``(…, classes)`` of features ``(…, features)``."""
        return ((features - self.mean) / self.deviation) @ self.weight

    def head(self, sharpness: float, task: str) -> tuple[Tensor, Tensor]:
        """Weight and bias of the linear layer whose logits are the scores times ``sharpness``."""
        weight = (self.weight / self.deviation[:, None]).T * sharpness
        return weight, offset(self.prior, task) - weight @ self.mean


def offset(prior: Tensor, task: str) -> Tensor:
    """Logits where scores say nothing: of several labels each is as likely as it is common."""
    return torch.logit(prior.clamp(0.01, 0.99)) if task == "multilabel" else torch.zeros_like(prior)


def negative_log_likelihood(logits: Tensor, targets: Tensor, task: str) -> Tensor:
    """Of each image, the mean over its labels where it has several."""
    if task == "multilabel":
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="none").mean(-1)
    return -(F.log_softmax(logits, -1) * targets).sum(-1)


def usual_sharpness(classes: int, task: str) -> float:
    """
    What scores are multiplied with where nothing is known: the more classes, the less a score says.

    It was right for one shot of two data sets, of two classes (10) and of seven (3).
    """
    return 20.0 / (2 if task == "multilabel" else classes)


def sharpness(scores: Tensor, prior: Tensor, targets: Tensor, task: str, *, weights: Tensor) -> float:
    """
    What scores are multiplied with to become logits: what makes the targets likeliest.

    A few images that are all told right would have it as large as can be; what is usual counts as evidence too.

    Args:
        scores: of images that the fit has not seen.
        prior: of the fits that they come from, a row each.
    """
    from scipy.optimize import minimize_scalar

    usual = math.log(usual_sharpness(targets.shape[1], task))

    def loss(log: float) -> float:
        logits = scores * math.exp(log) + offset(prior, task)
        lost = float((weights * negative_log_likelihood(logits, targets, task)).sum())
        return lost + (log - usual) ** 2 / (2 * SPREAD**2)

    found = minimize_scalar(loss, bounds=(usual - 5, usual + 5), method="bounded", options={"xatol": 1e-6})
    return math.exp(found.x)


def folds(groups: Sequence[str], targets: Tensor, task: str, most: int = 5) -> list[tuple[Tensor, Tensor]]:
    """
    Rows to fit on and rows to leave out: whole groups at a time, and of several classes each in every fit.

    Args:
        targets: ``(rows, classes)``.

    Returns:
        nothing when one of the classes has one group only, which cannot be left out and learnt from.
    """
    from sklearn.model_selection import GroupKFold, StratifiedGroupKFold

    count = min(most, len(set(groups)))
    if task == "multiclass":
        classes = targets.argmax(1).tolist()
        held = {label: {group for group, of in zip(groups, classes, strict=True) if of == label} for label in classes}
        count = min(count, *(len(own) for own in held.values()))
    if count < 2:
        return []
    splitter = StratifiedGroupKFold(count) if task == "multiclass" else GroupKFold(count)
    found = splitter.split(targets, targets.argmax(1), groups)
    return [(torch.as_tensor(fit), torch.as_tensor(left)) for fit, left in found]
