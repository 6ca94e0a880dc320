# SPDX-License-Identifier: Apache-2.0

"""The ends of an evaluation, of predictions and of an export by bundle: what is written, and what is said."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_ept.bundle.untrained import Untrained
from monai_ept.data.records import Record
from monai_ept.engines import evaluate_table, metrics_table, write_predictions
from monai_ept.evaluation.evaluator import Evaluation, show_images
from monai_ept.evaluation.prediction_sets import about_sets, set_columns
from monai_ept.evaluation.report_page import write_report_page
from monai_ept.files import file_name, full_disk_is_said, write_whole
from monai_ept.handlers import MLflowTracking, PredictionTable
from monai_ept.metrics.positive_class import PositiveClass
from monai_ept.model import TunedViT
from monai_ept.reporting.metrics_table import metric_rows
from monai_ept.reporting.page import Section, Table
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.result_folder import ResultFolder

__all__ = [
    "begin_work",
    "beside",
    "beside_test",
    "claimed_from",
    "finish_evaluation",
    "finish_predictions",
    "looked_for",
    "save_model",
]


_KINDS = {"evaluating": "evaluation", "predicting": "predictions"}


def beside(training: FitResult | Untrained, what: str, name: str | os.PathLike | None = None) -> str:
    """
    The folder of what is made with a training: beside that of the training, and with its name.

    Args:
        training: the training.
        what: "evaluation", "predictions" or "export".
        name: of the images; a path counts by its last part.

    Raises:
        FileNotFoundError: when nothing was trained yet.

    Example::

        >>> beside(FitResult.load("runs/first"), "predictions", "data/clinic A")
        'runs/first.predictions-clinic-A'
    """
    if isinstance(training, Untrained):
        raise FileNotFoundError(training.missing)
    folder = training.folder if training.folder.name not in ("", "..") else training.folder.resolve()
    end = "" if name is None else f"-{file_name(Path(name).expanduser().resolve().name)}"
    return str(folder.with_name(f"{folder.name}.{what}{end}"))


def begin_work(
    training: FitResult | Untrained,
    what: str,
    number: int,
    output_dir: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> None:
    """
    Say what is done with which training, unless the result could not be written.

    Args:
        training: the training.
        what: "evaluating" or "predicting".
        number: how many images.
        output_dir: where the result will be.
        overwrite: whether it may replace one that is there.

    Raises:
        FileNotFoundError: when nothing was trained yet.
        FileExistsError: when there is a result already.
    """
    if isinstance(training, Untrained):
        raise FileNotFoundError(training.missing)
    if output_dir is not None:
        ResultFolder(output_dir, _KINDS[what], overwrite=overwrite)
    print(f"{what} {number} images with the training in {training.folder}", flush=True)


def finish_evaluation(
    table: PredictionTable,
    training: FitResult,
    records: Sequence[Record],
    *,
    output_dir: str | Path,
    part: str = "test",
    num_resamples: int = 1000,
    seed: int = 0,
    tracking: MLflowTracking | None = None,
    overwrite: bool = False,
    network: TunedViT | None = None,
    positive: PositiveClass | Mapping[str, Any] | str | None = None,
    against: tuple[str, PredictionTable] | None = None,
) -> Evaluation:
    """
    Compute the metrics with their intervals, write the report, and add it to the training's MLflow run.

    Args:
        table: the predictions.
        training: the training.
        records: what was to be predicted; completeness is checked.
        output_dir: where to write.
        part: what was evaluated, which the metrics are named after in MLflow; "external" stands beside the test.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        tracking: made with ``attach_to`` the training's folder.
        overwrite: replace an evaluation that is there, once this one is complete.
        network: draws the images, as it sees them; without it there are none in the report.
        positive: the class that is looked for, by default the training's, with the threshold that it has chosen.
        against: name and predictions of another training on the same images, see ``other_predictions``.

    Raises:
        ValueError: when a prediction is missing, or a threshold is to be chosen that the training has not.
        FileExistsError: when there is a result in the folder already.
        WriteError: when the folder cannot be written.
    """
    sets = training.prediction_sets if part != "val" else None  # which has made them
    wanted, threshold = looked_for(training, positive)
    about: dict[str, Any] = {"task": training.task, "class_names": training.class_names}
    with ResultFolder(output_dir, "evaluation", overwrite=overwrite) as place, full_disk_is_said(output_dir):
        result = evaluate_table(
            table,
            **about,
            groups={record["id"]: record["group"] for record in records},
            expected_ids=[record["id"] for record in records],
            folder=(work := place.begin()),
            num_resamples=num_resamples,
            seed=seed,
            sets=sets,
            positive=wanted,
            threshold=threshold,
            baseline=against,
        )
        if network is not None:
            shown = {"folder": work, "transform_settings": training.transform_settings, **about}
            show_images(result, network, records, **shown)
        result.paths["page"] = write_report_page(
            work,
            result,
            title=f"{training.folder.name}: {part} images",
            training=training.record,
            beside=beside_test(result, training) if part == "external" else None,
            **about,
        )
        place.deliver()
        result.paths.update({name: place.find(path) for name, path in result.paths.items()})
    print(f"\n{metrics_table(result.metrics, result.intervals)}\n")
    if against is not None:
        print(f"{result.metrics['baseline']['said']}\n")
    if part != "val":
        print("\n".join(about_sets(result.metrics.get("prediction_sets"), training.task)))
    print(f"files  {output_dir}: {', '.join(path.name for path in result.paths.values())}")
    print(f"report {result.paths['page']} (open it in a browser)", flush=True)
    if tracking is not None:
        sent = tracking.finish(result.recorded, {part: list(result.paths.values())}, prefix=part)
        if tracking.run is not None:
            print(f"MLflow {'added to' if sent else 'records kept for'} run {tracking.run_id}")
    return result


def looked_for(
    training: FitResult, positive: PositiveClass | Mapping[str, Any] | str | None
) -> tuple[PositiveClass | None, float | None]:
    """
    The positive class of an evaluation, and its threshold where the training has chosen one.

    Args:
        training: the training.
        positive: the class that is wanted; that of the training by default.

    Raises:
        ValueError: when there is no such class, or a threshold is to be chosen that the training has not.
    """
    own = PositiveClass.of(training.record.get("positive"))
    wanted = PositiveClass.of(positive) or own
    if wanted is not None:
        wanted.check(training.class_names)
    if wanted is None or not wanted.is_chosen:
        return wanted, None
    found = training.metrics.get("positive") or {}
    if own is None or (own.name, own.operating_point) != (wanted.name, wanted.operating_point) or not found:
        raise ValueError(
            f"operating_point {wanted.operating_point!r} is chosen by a training on its validation images, and "
            f"{training.folder} has not: give a probability, or train with it."
        )
    return wanted, found["threshold"]


def claimed_from(training: FitResult) -> Mapping[str, Any] | None:
    """
    The class that a training looks for, and its threshold, as ``write_predictions`` takes them.

    None where there is no such class, or where validation images were to choose its threshold and no test has kept it.
    """
    if found := training.metrics.get("positive"):
        return found
    own = PositiveClass.of(training.record.get("positive"))
    return None if own is None or own.is_chosen else {"class": own.name, "threshold": own.operating_point}


def beside_test(result: Evaluation, training: FitResult) -> Section:
    """An external validation beside the training's own test."""
    rows: list[Sequence[str]] = []
    inside = {name: row for name, *row in metric_rows(training.metrics, training.intervals)}
    for name, value, ends in metric_rows(result.metrics, result.intervals):
        rows.append([name.strip().replace("_", " "), value, ends, *inside.get(name, ["", ""])])
    number = training.metrics.get("num_images")
    head = ["metric", "value", "95 % interval", "value", "95 % interval"]
    groups = [(f"these {result.metrics['num_images']:,} images", 2), (f"the training's {number:,} test images", 2)]
    note = (
        "Two sets of images, so that both intervals count: where they do not meet, the network does differently here. "
        "A set with other shares of the classes has another accuracy and other predictive values for that alone."
    )
    return Section("Beside the test", tables=[Table(head, rows, numbers=range(1, 5), groups=groups)], notes=[note])


def finish_predictions(
    table: PredictionTable,
    errors: Mapping[str, str],
    training: FitResult,
    records: Sequence[Record],
    *,
    output_dir: str | Path,
    overwrite: bool = False,
) -> Path:
    """
    Write ``predictions.csv``: a row for each image, with the reason where it could not be read.

    Args:
        table: the predictions, those of unreadable images included.
        errors: the reason by id.
        training: the training.
        records: what was to be predicted.
        output_dir: where to write.
        overwrite: replace predictions that are there.

    Raises:
        FileExistsError: when there is a result in the folder already.
        WriteError: when the folder cannot be written.

    Returns:
        the path.
    """
    good = [index for index, identity in enumerate(table.ids) if identity not in errors]
    readable = PredictionTable([table.ids[index] for index in good], np.asarray(table.probabilities)[good])
    sets, positive = training.prediction_sets, claimed_from(training)
    with ResultFolder(output_dir, "predictions", overwrite=overwrite) as place, full_disk_is_said(output_dir):
        path = write_predictions(
            place.begin(),
            readable,
            training.class_names,
            training.task,
            expected_ids=[record["id"] for record in records],
            errors=errors,
            sets=sets,
            positive=positive,
        )
        place.deliver()
        path = place.find(path)
    beside = {} if sets is None else set_columns(sets, readable.probabilities, training.class_names, training.task)
    for index, (identity, probabilities) in enumerate(zip(readable.ids[:10], readable.probabilities, strict=False)):
        best = int(probabilities.argmax())
        unsure = f", not sure: {beside['set'][index]}" if beside and beside["sure"][index] != "yes" else ""
        claimed = ""
        if positive is not None:
            chance = probabilities[training.class_names.index(positive["class"])]
            word = "claimed" if chance >= positive["threshold"] else "not claimed"
            claimed = f"; {positive['class']} {chance:.3f}, {word}"
        print(f"  {identity}: {training.class_names[best]} {probabilities[best]:.3f}{unsure}{claimed}")
    if len(readable) > 10:
        print(f"  … and {len(readable) - 10} more")
    for identity, reason in errors.items():
        print(f"  {identity}: could not be read: {reason[:160]}")
    print(f"predictions {path}", flush=True)
    return path


def save_model(network: TunedViT, path: str | os.PathLike, overwrite: bool = False) -> Path:
    """
    Write the whole network as PyTorch weights, which MONAI's export commands start from.

    Args:
        network: the trained network.
        path: where to; its folder is made if need be.
        overwrite: replace a model that is there.

    Raises:
        FileExistsError: when there is a result in its folder already.
        WriteError: when it cannot be written.
    """
    path = Path(path)
    content = io.BytesIO()
    torch.save(network.state_dict(), content)
    with ResultFolder(path.parent, "export", overwrite=overwrite) as place, full_disk_is_said(path):
        write_whole(place.begin() / path.name, content.getvalue())
        place.deliver()
    print(f"model {path} ({path.stat().st_size / 1e6:,.0f} MB)", flush=True)
    return path
