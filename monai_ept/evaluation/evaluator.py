# SPDX-License-Identifier: Apache-2.0

"""The evaluator: MONAI's ``SupervisedEvaluator`` that keeps every prediction, and the test that is made of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from monai.engines import SupervisedEvaluator
from torch import nn

from monai_ept.data.records import Record
from monai_ept.evaluation.beside_baseline import beside_baseline
from monai_ept.evaluation.class_numbers import class_curves, class_sensitivities, positive_numbers, threshold_of
from monai_ept.evaluation.evaluation_files import write_report
from monai_ept.evaluation.gallery import draw_gallery, worst_mistakes
from monai_ept.evaluation.prediction_sets import measure_sets
from monai_ept.handlers.collect_beside import CollectBeside
from monai_ept.handlers.collect_predictions import CollectPredictions, PredictionTable, better
from monai_ept.metrics import METRIC_NAMES, Interval, bootstrap_interval, classification_metrics, group_weights
from monai_ept.metrics.checked_batch import numbered_classes
from monai_ept.metrics.classification import KEY_METRIC
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.networks.precision import at_precision
from monai_ept.networks.unwrap_network import unwrap
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["Evaluation", "build_evaluator", "evaluate", "evaluate_records", "evaluate_table", "predict", "show_images"]

WITH_INTERVALS = tuple(name for name in METRIC_NAMES if name != "ece")
"""Metrics that get an interval; resamples have a larger calibration error than the images themselves."""


def build_evaluator(
    network: nn.Module,
    data_loader: Iterable,
    *,
    task: str = "multiclass",
    class_names: Sequence[str] | None = None,
    key_metric: str | None = None,
    device: str | torch.device = "cpu",
    amp: str = "off",
    handlers: Sequence[Any] = (),
    **kwargs: Any,
) -> SupervisedEvaluator:
    """
    An evaluator whose ``state.metrics`` has every scalar of ``classification_metrics`` after each run.

    Args:
        network: what to evaluate, on ``device`` already.
        data_loader: batches, dictionaries with "image", "id" and, where there are some, "label".
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        key_metric: decides which epoch is best; "balanced_accuracy" (multi-class) or "map" (multi-label) by default.
        device: where to compute.
        amp: as in ``at_precision``; off by default, so that numbers are those that a CPU finds.
        handlers: more handlers.
        kwargs: more arguments of ``monai.engines.SupervisedEvaluator``.

    Returns:
        the evaluator; after a run ``evaluator.predictions.table()`` has its predictions.
    """
    name = key_metric or KEY_METRIC[task]
    network, precision = at_precision(network, device, amp)
    collect = CollectPredictions(task, class_names)
    evaluator = SupervisedEvaluator(
        device=torch.device(device),
        val_data_loader=data_loader,
        network=network,
        key_val_metric={name: collect},
        val_handlers=list(handlers),
        **{"decollate": False, "metric_cmp_fn": better, **precision, **kwargs},
    )
    evaluator.predictions = collect  # type: ignore[attr-defined]
    return evaluator


def predict(network: nn.Module, data_loader: Iterable, *, task: str = "multiclass", **settings: Any) -> PredictionTable:
    """
    Probabilities of every image; labels may be there or not.

    Args:
        data_loader: batches, dictionaries with "image" and "id".
        network, task and settings: as in :py:func:`build_evaluator`.
    """
    evaluator = build_evaluator(network, data_loader, task=task, **settings)
    evaluator.run()
    return evaluator.predictions.table()  # type: ignore[attr-defined]


@dataclass(frozen=True)
class Evaluation:
    """What an evaluation found."""

    metrics: dict[str, Any]  # all of ``classification_metrics``: scalars, and per class
    intervals: dict[str, Interval]  # metric → value with its 95 % bootstrap interval
    table: PredictionTable  # the predictions behind them
    paths: dict[str, Path] = field(default_factory=dict)  # what was written, by what it is

    @property
    def recorded(self) -> dict[str, Any]:
        """What a run in MLflow shows: numbers and intervals. What concerns one class stands in the report."""
        numbers = {name: value for name, value in self.metrics.items() if isinstance(value, (int, float))}
        for name, row in self.metrics.get("positive", {}).get("metrics", {}).items():
            numbers[f"positive_{name}"] = row["value"]
        for name, row in self.metrics.get("baseline", {}).get("metrics", {}).items():
            numbers[f"baseline_{name}"] = row["baseline"]
        return {**numbers, **self.intervals}


def evaluate(
    network: nn.Module,
    data_loader: Iterable,
    *,
    task: str = "multiclass",
    device: str | torch.device = "cpu",
    amp: str = "off",
    handlers: Sequence[Any] = (),
    beside: tuple[str, nn.Module] | None = None,
    **settings: Any,
) -> Evaluation:
    """
    Metrics with bootstrap intervals of a network on labelled images, and the report on disk.

    Args:
        network, device, amp and handlers: as in :py:func:`build_evaluator`.
        data_loader: batches, dictionaries with "image", "label" and "id".
        beside: the name of another network, and the network, whose predictions of the same batches are ``baseline``.
        task and settings: as in :py:func:`evaluate_table`.

    Raises:
        ValueError: when predictions are not complete, or there are no labels.
        WriteError: when the folder cannot be written.
    """
    other = None if beside is None else CollectBeside(beside[1], task)
    handlers = [*handlers, *([other] if other else [])]
    table = predict(network, data_loader, task=task, device=device, amp=amp, handlers=handlers)
    if beside and other:
        settings["baseline"] = beside[0], other.table()
    sets = getattr(unwrap(network), "prediction_sets", None)
    return evaluate_table(table, task=task, **{"sets": sets, **settings})


def evaluate_records(
    network: nn.Module,
    data_loader: Iterable,
    records: Sequence[Record],
    *,
    folder: str | Path,
    task: str,
    class_names: Sequence[str],
    transform_settings: Mapping[str, Any] | None = None,
    **settings: Any,
) -> Evaluation:
    """
    The test at the end of a training: :py:func:`evaluate` on a split's test records, and a look at the images.

    Args:
        network, data_loader and settings: as in :py:func:`evaluate`; groups and ids are those of the records.
        records: what the loader's batches hold, each of which must come out once.
        folder: where the report and ``images.png`` go.
        task and class_names: as in :py:func:`evaluate_table`.
        transform_settings: what the images' transforms were given beyond the network's own.
    """
    settings["groups"] = {record["id"]: record["group"] for record in records}
    settings["expected_ids"] = [record["id"] for record in records]
    about: dict[str, Any] = {"task": task, "class_names": class_names}
    evaluation = evaluate(network, data_loader, folder=folder, **about, **settings)
    show_images(evaluation, network, records, folder=folder, transform_settings=transform_settings, **about)
    return evaluation


def show_images(
    evaluation: Evaluation,
    network: nn.Module,
    records: Sequence[Record],
    *,
    folder: str | Path,
    task: str,
    class_names: Sequence[str],
    transform_settings: Mapping[str, Any] | None = None,
) -> None:
    """
    Draw ``images.png``, a look at the images, and ``mistakes.png``, the worst of them, beside an evaluation.

    Args:
        evaluation: gets their paths.
        transform_settings: what the images' transforms were given beyond the network's own.
    """
    about: dict[str, Any] = {"task": task, "class_names": class_names}
    about["transform"] = network_transforms(network, **{**(transform_settings or {}), "mean": 0.0, "std": 1.0})
    evaluation.paths["images"] = draw_gallery(folder, records, evaluation.table, **about)
    if worst := worst_mistakes(records, evaluation.table, task):
        evaluation.paths["mistakes"] = draw_gallery(folder, worst, evaluation.table, name="mistakes", **about)


def evaluate_table(
    table: PredictionTable,
    *,
    task: str = "multiclass",
    class_names: Sequence[str] | None = None,
    groups: Mapping[str, Any] | None = None,
    expected_ids: Sequence[str] | None = None,
    folder: str | Path | None = None,
    num_resamples: int = 1000,
    seed: int = 0,
    positive: PositiveClass | Mapping[str, Any] | str | None = None,
    threshold: float | None = None,
    baseline: tuple[str, PredictionTable] | None = None,
    sets: PredictionSets | None = None,
) -> Evaluation:
    """
    As :py:func:`evaluate`, of predictions that are there already (``evaluator.predictions.table()``).

    Args:
        table: the predictions.
        task: "multiclass" or "multilabel".
        class_names: one name per class.
        groups: patient, study or lesion by image id: whole groups are resampled, since their images belong together.
        expected_ids: ids that must all be there, each once.
        folder: where the report goes; without it nothing is written.
        num_resamples: of the bootstrap; 0 leaves the intervals out.
        seed: of the bootstrap.
        positive: the class that is looked for, see ``PositiveClass``; its numbers are ``metrics["positive"]``.
        threshold: it is claimed from this probability on, which validation images have chosen; by default the
            operating point that ``positive`` gives.
        baseline: the name of another model, and its predictions of the same images in the same order, which these are
            compared with: ``metrics["baseline"]``.
        sets: what makes prediction sets, whose measures are ``metrics["prediction_sets"]`` then.
    """
    if table.labels is None:
        raise ValueError("the images have no labels, so there is nothing to compare with: use predict instead.")
    names = tuple(class_names or numbered_classes(table.probabilities.shape[1]))
    members = None if groups is None else [groups[identity] for identity in table.ids]
    given: dict[str, Any] = {"inputs": "probabilities", "task": task, "class_names": names}
    drawn: dict[str, Any] = {"groups": members, "num_resamples": num_resamples, "seed": seed}
    metrics = classification_metrics(table.probabilities, table.labels, **given)
    intervals: dict[str, Interval] = {}
    if num_resamples:
        intervals = bootstrap_interval(
            table.probabilities,
            table.labels,
            metrics=WITH_INTERVALS,
            **drawn,
            **given,
        )
    looked_for = PositiveClass.of(positive)
    if looked_for is not None:
        looked_for.check(names, validated=threshold is not None)
        threshold = threshold_of(looked_for, None, names) if threshold is None else threshold
    weights = None
    if num_resamples:
        weights = group_weights(table.ids if members is None else members, num_resamples, seed)
        metrics["sensitivity_intervals"] = {
            name: [one.low, one.high] for name, one in class_sensitivities(table, names, task, weights).items()
        }
    if sets is not None:
        metrics["prediction_sets"] = measure_sets(sets, table, names, task, groups, weights)
    if looked_for is not None and threshold is not None:
        metrics["positive"] = positive_numbers(table, names, looked_for, threshold, weights)
    if baseline is not None:
        metrics["baseline"] = beside_baseline(table, *baseline, task=task, class_names=names, **drawn)
    if folder is None:
        return Evaluation(metrics, intervals, table)
    curves = class_curves(table, names, weights)
    about: dict[str, Any] = {"class_names": names, "task": task, "expected_ids": expected_ids, "sets": sets}
    return Evaluation(
        metrics, intervals, table, write_report(folder, table, metrics, intervals, curves=curves, **about)
    )
