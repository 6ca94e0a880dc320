# SPDX-License-Identifier: Apache-2.0

"""Collects what a network says about each image of an evaluation, and its metrics."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from ignite.metrics import Metric
from monai.utils import look_up_option

from monai_ept.metrics import classification_metrics, probabilities_of

__all__ = ["CollectPredictions", "PredictionTable", "better"]


@dataclass(frozen=True)
class PredictionTable:
    """One row per image.

    Args:
        ids: the images' ids, each once.
        probabilities: of shape (images, classes), float64.
        labels: class indices of shape (images,), or 0/1 of shape (images, classes); None where there are none.
    """

    ids: list[str]
    probabilities: np.ndarray
    labels: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.ids)


class CollectPredictions(Metric):
    """An Ignite metric that keeps every prediction, and computes all of ``monai_ept.metrics`` at the end.

    Attached under the name of one of them, as below, it puts that one and all others into ``engine.state.metrics``;
    :py:meth:`table` has the predictions. With several processes each collects its share, and an image that a sampler
    repeated counts once.

    Args:
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        inputs: what the engine's output holds under "pred": "logits" or "probabilities".

    Example::

        evaluator = SupervisedEvaluator(..., key_val_metric={"auc": CollectPredictions("multiclass", names)})
    """

    def __init__(
        self,
        task: str = "multiclass",
        class_names: Sequence[str] | None = None,
        *,
        inputs: str = "logits",
    ) -> None:
        self.task = look_up_option(task, ("multiclass", "multilabel"))
        self.class_names = None if class_names is None else tuple(class_names)
        self.inputs = look_up_option(inputs, ("logits", "probabilities"))
        self._rows: list[tuple[str, np.ndarray, np.ndarray | None]] = []
        super().__init__()

    def reset(self) -> None:
        self._rows = []

    def update(self, output: Any) -> None:
        """Take ids, predictions and labels (or None) of a batch."""
        ids, predictions, labels = output
        scores, truth = _on_the_cpu(predictions), None if labels is None else _on_the_cpu(labels)
        for index, identity in enumerate(ids):
            row = np.asarray(scores[index].to(torch.float64).numpy())
            if not np.isfinite(row).all():
                raise ValueError(
                    f"what the network says of image {identity} is no number: check the file, its normalisation and "
                    "the weights."
                )
            self._rows.append((str(identity), row, None if truth is None else torch.as_tensor(truth[index]).numpy()))

    @torch.no_grad()
    def iteration_completed(self, engine: Any) -> None:
        output = engine.state.output
        predictions, labels = _column(output, "pred"), _column(output, "label")
        ids = _column(engine.state.batch, "id")
        if ids is None:
            ids = range(len(self._rows), len(self._rows) + len(predictions))
        self.update((ids, predictions, labels))

    def compute(self) -> dict[str, float]:
        table = self.table()
        if table.labels is None:
            return {}
        result = classification_metrics(
            table.probabilities, table.labels, inputs="probabilities", task=self.task, class_names=self.class_names
        )
        return {name: value for name, value in result.items() if isinstance(value, float)}

    def completed(self, engine: Any, name: str) -> None:
        metrics = self.compute()
        if metrics and name not in metrics:
            raise ValueError(f"there is no metric {name!r}; choose the name from {', '.join(metrics)}.")
        engine.state.metrics.update(metrics)
        engine.state.metrics.setdefault(name, math.nan)  # without labels there is nothing to compare

    def table(self) -> PredictionTable:
        """The predictions, in the order in which the images came.

        Raises:
            ValueError: when there are none.
        """
        rows = self._gathered()
        if not rows:
            raise ValueError("there is no prediction: the evaluation had no images.")
        unique = list({row[0]: row for row in rows}.values())
        scores = np.stack([row[1] for row in unique])
        if self.inputs == "logits":
            scores = probabilities_of(scores, self.task)
        labels = [row[2] for row in unique if row[2] is not None]
        whole = np.stack(labels).astype(np.int64) if len(labels) == len(unique) else None
        return PredictionTable([row[0] for row in unique], scores, whole)

    def _gathered(self) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
        if not (torch.distributed.is_available() and torch.distributed.is_initialized()):
            return self._rows
        shares: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(shares, self._rows)
        # A sampler deals images out in turn; taking them up in turn restores their order.
        longest = max(len(share) for share in shares)
        return [share[i] for i in range(longest) for share in shares if i < len(share)]


def _on_the_cpu(values: Any) -> Any:
    """A batch in one piece, for which a card is waited for once; rows of their own one by one."""
    if isinstance(values, torch.Tensor):
        return values.detach().cpu()
    return [torch.as_tensor(value).detach().cpu() for value in values]


def _column(batch: Any, key: str) -> Any:
    """What a batch, or the rows it was decollated into, have under a key; None unless all of them have it."""
    if isinstance(batch, Mapping):
        return batch.get(key)
    rows = [row.get(key) if isinstance(row, Mapping) else None for row in batch]
    return None if not rows or any(value is None for value in rows) else rows


def better(current: float, best: float) -> bool:
    """Whether a score beats the best one, for ``metric_cmp_fn``; MONAI's own is stuck once the best one is NaN."""
    return not math.isnan(current) and (math.isnan(best) or current > best)
