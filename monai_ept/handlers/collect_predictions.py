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

    Attached under the name of one of them (MONAI's ``key_val_metric={"balanced_accuracy": CollectPredictions(...)}``)
    it puts that one and all others into ``engine.state.metrics``; :py:meth:`table` has the predictions. With several
    processes each collects its share, and an image that a sampler repeated counts once.

    Args:
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        inputs: what the engine's output holds under "pred": "logits", or "probabilities" when postprocessing has made
            them so.
        id_key: the batch's key of the images' ids.

    Example::

        evaluator = SupervisedEvaluator(..., key_val_metric={"auc": CollectPredictions("multiclass", names)})
    """

    def __init__(
        self,
        task: str = "multiclass",
        class_names: Sequence[str] | None = None,
        *,
        inputs: str = "logits",
        id_key: str = "id",
    ) -> None:
        self.task = look_up_option(task, ("multiclass", "multilabel"))
        self.class_names = None if class_names is None else tuple(class_names)
        self.inputs = look_up_option(inputs, ("logits", "probabilities"))
        self.id_key = id_key
        self._rows: list[tuple[str, np.ndarray, np.ndarray | None]] = []
        super().__init__()

    def reset(self) -> None:
        self._rows = []

    def update(self, output: Any) -> None:
        """Take ids, predictions and labels (or None) of a batch."""
        ids, predictions, labels = output
        for index, identity in enumerate(ids):
            label = None if labels is None else torch.as_tensor(labels[index]).cpu().numpy()
            scores = predictions[index].detach().to("cpu", torch.float64).numpy()
            self._rows.append((str(identity), np.asarray(scores), label))

    @torch.no_grad()
    def iteration_completed(self, engine: Any) -> None:
        batch, output = engine.state.batch, engine.state.output
        decollated = isinstance(output, (list, tuple))
        predictions = [row["pred"] for row in output] if decollated else output["pred"]
        labels = [row.get("label") for row in output] if decollated else output.get("label")
        if labels is not None and decollated and any(label is None for label in labels):
            labels = None
        ids: Any
        if isinstance(batch, (list, tuple)) and batch and isinstance(batch[0], Mapping):
            ids = [row.get(self.id_key) for row in batch]
        else:
            ids = batch.get(self.id_key) if isinstance(batch, Mapping) else None
        if ids is None or any(identity is None for identity in ids):
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
        labels = [row[2] for row in unique if row[2] is not None]
        return PredictionTable(
            ids=[row[0] for row in unique],
            probabilities=scores if self.inputs == "probabilities" else probabilities_of(scores, self.task),
            labels=np.stack(labels).astype(np.int64) if len(labels) == len(unique) else None,
        )

    def _gathered(self) -> list[tuple[str, np.ndarray, np.ndarray | None]]:
        distributed = torch.distributed.is_available() and torch.distributed.is_initialized()
        if not distributed or torch.distributed.get_world_size() == 1:
            return self._rows
        shares: list[Any] = [None] * torch.distributed.get_world_size()
        torch.distributed.all_gather_object(shares, self._rows)
        # A sampler deals images out in turn; taking them up in turn restores their order.
        longest = max(len(share) for share in shares)
        return [share[i] for i in range(longest) for share in shares if i < len(share)]


def better(current: float, best: float) -> bool:
    """Whether a score beats the best one, for ``metric_cmp_fn``; MONAI's own is stuck once the best one is NaN."""
    return not math.isnan(current) and (math.isnan(best) or current > best)
