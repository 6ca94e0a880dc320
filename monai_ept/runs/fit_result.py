# SPDX-License-Identifier: Apache-2.0

"""A finished training: what came out of it, where it is, and how its network and its data are built again."""

from __future__ import annotations

import html
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ept.data import FewShotSplit, RecordSet, list_sources, load_source
from monai_ept.delta import read_delta
from monai_ept.metrics import Interval
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.model import TunedViT
from monai_ept.reporting.metrics_table import metrics_html, metrics_table
from monai_ept.runs.build_network import network_of_bare_delta, network_of_delta
from monai_ept.runs.data_loading import load_data
from monai_ept.runs.folder_exchange import is_aside, settle, settle_all
from monai_ept.runs.training_record import DELTA_FILE, RECORD_FILE, SETTINGS_1, read_json, read_record

__all__ = ["CHECKPOINT_FILE", "HISTORY_FILE", "SPLIT_FILE", "FitResult", "find_training"]

CHECKPOINT_FILE = "last.pt"
SPLIT_FILE = "split.json"
HISTORY_FILE = "history.json"
"""In the folder of a training, beside ``training.json``."""


@dataclass(frozen=True, repr=False)
class FitResult:
    """
    What came out of a training, by ``fit`` or by a bundle, just now or some time ago (``FitResult.load``).

    Args:
        metrics: test metrics, all of ``classification_metrics``; empty when there was nothing to test on.
        intervals: metric → value with its 95 % bootstrap interval over test images.
        history: for each epoch its mean loss, learning rate and, where it was validated, ``"val"`` metrics.
        epoch: the epoch that was selected as the result.
        run_id: the MLflow run; None when tracking was off or the server was out of reach.
        folder: where everything was written.
        paths: what was written, by what it is; ``paths["delta"]`` is the trained delta.
        record: what ``training.json`` says.

    Example::

        result = FitResult.load("runs/ept_derm/ept-5shot-seed0-1f2e3d")
        net = result.network()                 # with the trained adapter in it
        data = result.data()
        test = result.split(data).test
    """

    metrics: dict[str, Any]
    intervals: dict[str, Interval]
    history: list[dict[str, Any]]
    epoch: int
    run_id: str | None
    folder: Path
    paths: dict[str, Path] = field(default_factory=dict)
    record: Mapping[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        return f"FitResult({str(self.folder)!r})"

    def __str__(self) -> str:
        return metrics_table(self.metrics, self.intervals)

    def _repr_html_(self) -> str:
        """The table of metrics, where a notebook shows a result."""
        return (
            f"{metrics_html(self.metrics, self.intervals)}<p>adapter: {html.escape(str(self.paths.get('delta')))}</p>"
        )

    @classmethod
    def load(cls, folder: str | os.PathLike) -> FitResult:
        """
        The finished training in a folder.

        Raises:
            FileNotFoundError: when the folder holds none.
            ValueError: when its record cannot be read.
        """
        folder = Path(folder).expanduser()
        while True:
            settle(folder)
            before = _identity(folder)
            try:
                found = cls._read(folder)
            except (FileNotFoundError, ValueError):
                if before == _identity(folder):
                    raise
            else:
                if before == _identity(folder):
                    return found
            # A new result has taken the place of the old one while it was read.

    @classmethod
    def _read(cls, folder: Path) -> FitResult:
        delta = folder / DELTA_FILE
        if not delta.is_file() or not (folder / SPLIT_FILE).is_file():
            missing = DELTA_FILE if not delta.is_file() else SPLIT_FILE
            raise FileNotFoundError(
                f"{folder} is not the folder of a finished training (it has no {missing}): "
                "pass the folder that fit or train.yaml wrote."
            )
        record = read_record(folder)
        metrics, intervals = _read_metrics(folder / "evaluation" / "metrics.json")
        history = _read_history(folder / HISTORY_FILE)
        extra = read_delta(delta).metadata.get("extra") or {}
        paths = {"delta": delta, "split": folder / SPLIT_FILE, "record": folder / RECORD_FILE}
        paths.update({"history": folder / HISTORY_FILE, "checkpoint": folder / "last.pt"})
        return cls(
            metrics=metrics,
            intervals=intervals,
            history=history,
            epoch=extra.get("epoch") or (history[-1]["epoch"] if history else 0),
            run_id=_run_id(folder / "run.json"),
            folder=folder,
            paths={name: path for name, path in paths.items() if path.is_file()},
            record=record,
        )

    @property
    def delta_path(self) -> Path:
        """The trained adapter."""
        return self.paths["delta"]

    @property
    def task(self) -> str:
        """ "multiclass" or "multilabel"."""
        return self.record["task"]

    @property
    def class_names(self) -> tuple[str, ...]:
        return tuple(self.record["class_names"])

    @property
    def prediction_sets(self) -> PredictionSets | None:
        """What makes prediction sets, as the adapter carries it."""
        about = read_delta(self.delta_path).metadata
        return PredictionSets.from_record(about.get("prediction_sets"), about["num_classes"])

    @property
    def transform_settings(self) -> dict[str, Any]:
        """Arguments of ``network_transforms`` that the network does not know."""
        return dict(self.record["transforms"])

    def network(self, pretrained: Any = None) -> TunedViT:
        """
        The network, with the adapter in it.

        Args:
            pretrained: where the weights of the backbone are: a path, True (hub) or False. By default where they were;
                the hub where that is not known.

        Raises:
            DeltaError: when the backbone's weights are not those that the adapter was trained on.
        """
        settings = self.record["network"]
        if settings is None:
            return network_of_bare_delta(self.delta_path, pretrained).eval()
        given = {**settings, **({} if pretrained is None else {"pretrained": pretrained})}
        return network_of_delta(self.delta_path, **given).eval()

    def data(
        self,
        dataset_dir: str | os.PathLike | None = None,
        *,
        source: str | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> RecordSet:
        """
        All records of the data that it was trained on, which may have moved to another folder.

        Args:
            dataset_dir: the folder, if it is another now.
            source: how it is read, where the record does not know.
            options: options of the source, in the place of those in the record.

        Raises:
            ValueError: when nothing says how the images are read.
        """
        settings = dict(self.record["data"] or {})
        if source is not None:
            settings = {"source": source, "options": dict(options or {})}
        elif options is not None:
            settings["options"] = dict(options)
        if settings.get("source") is None:
            raise ValueError(
                f"nothing in {self.folder} says how its images are read: pass --source, one of "
                f"{', '.join(list_sources())}."
            )
        if dataset_dir is not None:
            settings["dataset_dir"] = str(dataset_dir)
        if "embedded" in settings:  # a bundle's, which has pictures for whoever has none
            return load_data(**settings)
        return load_source(settings["source"], settings.get("dataset_dir"), **(settings.get("options") or {}))

    def split(self, data: RecordSet) -> FewShotSplit:
        """Which of the records trained it and which test it."""
        return FewShotSplit.load(self.folder / SPLIT_FILE, data)


def _identity(folder: Path) -> int | None:
    return folder.stat().st_ino if folder.is_dir() else None


def _read_metrics(path: Path) -> tuple[dict[str, Any], dict[str, Interval]]:
    content = read_json(path)
    if content is None:
        return {}, {}
    try:
        numbers = content.pop("metrics")
        values = {name: float("nan") if row["value"] is None else row["value"] for name, row in numbers.items()}
        known = {name: row for name, row in numbers.items() if "low" in row}
        return {**values, **content}, {
            name: Interval(values[name], row["low"], row["high"]) for name, row in known.items()
        }
    except (AttributeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is not what an evaluation writes ({error!r}): evaluate the training again."
        ) from error


def _read_history(path: Path) -> list[dict[str, Any]]:
    rows = read_json(path) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "epoch" in row for row in rows):
        raise ValueError(f"{path} is not the history of epochs that a training writes: put it back, or remove it.")
    return rows


def _run_id(path: Path) -> str | None:
    """The MLflow run of a training, where its folder tells of one."""
    about = read_json(path)
    return about.get("run_id") if isinstance(about, dict) else None


def find_training(run_dir: str | os.PathLike | None = None, *, runs: str | os.PathLike) -> FitResult:
    """
    Find a finished training.

    Args:
        run_dir: its folder; without it the newest in ``runs``.
        runs: folder of trainings.

    Raises:
        FileNotFoundError: when there is none.
    """
    if run_dir is not None:
        return FitResult.load(run_dir)
    settle_all(runs)
    found = [
        path.parent
        for path in Path(runs).glob(f"*/{DELTA_FILE}")
        if not is_aside(path.parent) and any((path.parent / name).is_file() for name in (RECORD_FILE, SETTINGS_1))
    ]
    if not found:
        raise FileNotFoundError(
            f"there is no finished training in {Path(runs).absolute()}: run train.yaml first, or pass --run_dir PATH."
        )
    return FitResult.load(max(found, key=lambda folder: ((folder / DELTA_FILE).stat().st_mtime, folder.name)))
