# SPDX-License-Identifier: Apache-2.0

"""The test at the end of a training: metrics, the report, and a look at the images."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from monai_ept.data.records import Record
from monai_ept.evaluation.evaluator import Evaluation, evaluate
from monai_ept.evaluation.gallery import draw_gallery
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["evaluate_records"]


def evaluate_records(
    network: nn.Module,
    data_loader: Iterable,
    records: Sequence[Record],
    *,
    folder: str | Path,
    task: str,
    class_names: Sequence[str],
    num_resamples: int = 1000,
    seed: int = 0,
    device: str | torch.device = "cpu",
    transform_settings: Mapping[str, Any] | None = None,
) -> Evaluation:
    """
    Evaluate a network on the test records of a split, and write everything down.

    Args:
        network: the network, on ``device`` already.
        data_loader: batches of the records.
        records: the records, each of which must come out once; their groups are resampled whole.
        folder: where the report and ``images.png`` go.
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.
        device: where to compute.
        transform_settings: what the images' transforms were given beyond the network's own.
    """
    evaluation = evaluate(
        network,
        data_loader,
        task=task,
        class_names=class_names,
        groups={record["id"]: record["group"] for record in records},
        expected_ids=[record["id"] for record in records],
        folder=folder,
        num_resamples=num_resamples,
        seed=seed,
        device=device,
    )
    shown = network_transforms(network, **{**(transform_settings or {}), "mean": 0.0, "std": 1.0})
    evaluation.paths["images"] = draw_gallery(
        folder, records, evaluation.table, class_names=class_names, task=task, transform=shown
    )
    return evaluation
