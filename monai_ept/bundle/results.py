# SPDX-License-Identifier: Apache-2.0

"""The ends of an evaluation, of predictions and of an export by bundle: what is written, and what is said."""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from monai_ept.bundle.untrained import Untrained
from monai_ept.data.records import Record
from monai_ept.engines import evaluate_table, metrics_table, write_predictions
from monai_ept.evaluation.evaluator import Evaluation
from monai_ept.evaluation.prediction_sets import about_sets, set_columns
from monai_ept.files import file_name, full_disk_is_said, write_whole
from monai_ept.handlers import MLflowTracking, PredictionTable
from monai_ept.model import TunedViT
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.result_folder import ResultFolder

__all__ = ["begin_work", "beside", "finish_evaluation", "finish_predictions", "save_model"]


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
) -> Evaluation:
    """
    Compute the metrics with their intervals, write the report, and add it to the training's MLflow run.

    Args:
        table: the predictions.
        training: the training.
        records: what was to be predicted; completeness is checked.
        output_dir: where to write.
        part: what was evaluated, which the metrics are named after in MLflow.
        num_resamples: of the bootstrap.
        seed: of the bootstrap.
        tracking: made with ``attach_to`` the training's folder.
        overwrite: replace an evaluation that is there, once this one is complete.

    Raises:
        ValueError: when a prediction is missing.
        FileExistsError: when there is a result in the folder already.
        WriteError: when the folder cannot be written.
    """
    sets = training.prediction_sets if part == "test" else None  # others have made them
    with ResultFolder(output_dir, "evaluation", overwrite=overwrite) as place, full_disk_is_said(output_dir):
        result = evaluate_table(
            table,
            task=training.task,
            class_names=training.class_names,
            groups={record["id"]: record["group"] for record in records},
            expected_ids=[record["id"] for record in records],
            folder=place.begin(),
            num_resamples=num_resamples,
            seed=seed,
            sets=sets,
        )
        place.deliver()
        result.paths.update({name: place.find(path) for name, path in result.paths.items()})
    print(f"\n{metrics_table(result.metrics, result.intervals)}\n")
    if part == "test":
        print("\n".join(about_sets(result.metrics.get("prediction_sets"), training.task)))
    print(f"report {output_dir}: {', '.join(path.name for path in result.paths.values())}", flush=True)
    if tracking is not None:
        sent = tracking.finish(result.recorded, {part: list(result.paths.values())}, prefix=part)
        if tracking.run is not None:
            print(f"MLflow {'added to' if sent else 'records kept for'} run {tracking.run_id}")
    return result


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
    sets = training.prediction_sets
    with ResultFolder(output_dir, "predictions", overwrite=overwrite) as place, full_disk_is_said(output_dir):
        path = write_predictions(
            place.begin(),
            readable,
            training.class_names,
            training.task,
            expected_ids=[record["id"] for record in records],
            errors=errors,
            sets=sets,
        )
        place.deliver()
        path = place.find(path)
    beside = {} if sets is None else set_columns(sets, readable.probabilities, training.class_names, training.task)
    for index, (identity, probabilities) in enumerate(zip(readable.ids[:10], readable.probabilities, strict=False)):
        best = int(probabilities.argmax())
        unsure = f", not sure: {beside['set'][index]}" if beside and beside["sure"][index] != "yes" else ""
        print(f"  {identity}: {training.class_names[best]} {probabilities[best]:.3f}{unsure}")
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
