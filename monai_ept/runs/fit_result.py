# SPDX-License-Identifier: Apache-2.0

"""A finished training: what came out of it, where it is, and how its network and its data are built again."""

from __future__ import annotations

import html
import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from monai_ept.checks import check_choice, check_mapping, shown
from monai_ept.data import FewShotSplit, RecordSet, list_sources, load_source
from monai_ept.delta import read_delta
from monai_ept.files import usable_folder, write_whole
from monai_ept.metrics import Interval
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.model import TunedViT
from monai_ept.networks.embedded_weights import EMBEDDED_RANDOM
from monai_ept.reporting.metrics_table import metrics_html, metrics_table
from monai_ept.runs.build_network import make_backbone
from monai_ept.runs.data_loading import load_data
from monai_ept.runs.folder_exchange import is_aside, settle, settle_all

__all__ = [
    "CHECKPOINT_FILE",
    "DELTA_FILE",
    "HISTORY_FILE",
    "RECORD_FILE",
    "SPLIT_FILE",
    "FitResult",
    "find_training",
    "read_record",
    "with_absolute_path",
    "write_record",
]

CHECKPOINT_FILE = "last.pt"
DELTA_FILE = "delta.safetensors"
SPLIT_FILE = "split.json"
HISTORY_FILE = "history.json"
RECORD_FILE = "training.json"
"""In the folder of a training: how it went, and how its network and its data are built again."""

FORMAT = "monai_ept training 2"
FORMAT_1 = "monai_ept training 1"  # written by bundles up to 0.1; ``fit`` wrote settings.json instead
SETTINGS_1 = "settings.json"


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
        if settings is not None:
            given = {**settings, **({} if pretrained is None else {"pretrained": pretrained})}
            backbone = make_backbone(**given)
            return TunedViT.from_delta(self.delta_path, **backbone).eval()
        about = read_delta(self.delta_path).metadata["backbone"]
        if pretrained is None:
            pretrained = about["name"] != EMBEDDED_RANDOM
        return TunedViT.from_delta(self.delta_path, pretrained=pretrained).eval()

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


def write_record(
    folder: str | os.PathLike,
    *,
    name: str,
    recipe: Mapping[str, Any],
    seed: int,
    class_names: Sequence[str],
    task: str,
    spatial_dims: int,
    params: Mapping[str, Any],
    data: Mapping[str, Any] | None = None,
    network: Mapping[str, Any] | None = None,
    transforms: Mapping[str, Any] | None = None,
) -> Path:
    """
    Write ``training.json``, the one record of a training.

    Args:
        folder: of the training.
        name: of the bundle, or "fit".
        recipe: ``Recipe.to_dict()``, complete.
        seed: of everything random in the training.
        class_names: one name per class.
        task: "multiclass" or "multilabel".
        spatial_dims: of the images.
        params: everything that decides the result, flat, as MLflow has it.
        data: arguments of ``load_data``; None where nobody knows how the data were loaded.
        network: arguments of ``make_network``; None for a network that was given as an object.
        transforms: arguments of ``network_transforms`` that the network does not know.
    """
    content = {
        "format": FORMAT,
        "name": name,
        "recipe": dict(recipe),
        "seed": seed,
        "data": with_absolute_path(data),
        "network": network,
        "transforms": dict(transforms or {}),
        "class_names": list(class_names),
        "task": task,
        "spatial_dims": spatial_dims,
        "params": dict(params),
    }
    text = json.dumps(content, indent=1, ensure_ascii=False, default=str)
    return write_whole(usable_folder(folder) / RECORD_FILE, text + "\n")


def with_absolute_path(data: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
    """Arguments of ``load_data`` that mean the same in another working directory."""
    if data is None or data.get("dataset_dir") is None:
        return data
    return {**data, "dataset_dir": str(Path(data["dataset_dir"]).expanduser().absolute())}


def read_record(folder: str | os.PathLike) -> dict[str, Any]:
    """
    What ``training.json`` says, or what a release before this one has written in its place.

    Raises:
        FileNotFoundError: when there is neither.
        ValueError: when it cannot be read.
    """
    path = Path(folder) / RECORD_FILE
    if not path.is_file() and (Path(folder) / SETTINGS_1).is_file():
        return _of_settings(Path(folder))
    try:
        content = check_mapping("a record", json.loads(path.read_text(encoding="utf-8")), "those of training.json")
        _check_record(content)
        return content
    except FileNotFoundError:
        raise FileNotFoundError(f"{folder} has no {RECORD_FILE}: pass the folder of a finished training.") from None
    except OSError as error:
        raise OSError(f"{path} cannot be read ({error.strerror or error}): choose another folder.") from None
    except (ValueError, RecursionError) as error:
        reason = " ".join(str(error).split()).rstrip(".")[:300]
        raise ValueError(f"{path} does not describe a training ({reason}): choose another folder.") from None


def _check_record(content: Mapping[str, Any]) -> None:
    """Refuse a record that no training of ours has written."""
    if content.get("format") not in (FORMAT, FORMAT_1):
        raise ValueError(f"its format is {shown(content.get('format'))}")
    for key in ("class_names", "task", "network", "data", "transforms"):
        if key not in content:
            raise ValueError(f"its {key!r} is missing")
    names = content["class_names"]
    if not isinstance(names, list) or not names or not all(isinstance(name, str) for name in names):
        raise ValueError(f"class_names must be a list of texts, got {shown(names)}")
    check_choice("task", content["task"], ("multiclass", "multilabel"))
    for key in ("network", "data", "transforms"):
        if content[key] is not None or key == "transforms":
            check_mapping(key, content[key], "its arguments")


def _identity(folder: Path) -> int | None:
    return folder.stat().st_ino if folder.is_dir() else None


def _of_settings(folder: Path) -> dict[str, Any]:
    """The record of a training by ``fit`` up to 0.1, which wrote names and values only."""
    params = _read_json(folder / SETTINGS_1) or {}
    about = read_delta(folder / DELTA_FILE).metadata
    names = about.get("class_names") or [f"class_{index}" for index in range(about["num_classes"])]
    source = params.get("source")
    return {
        "format": FORMAT_1,
        "data": {"source": source} if source in list_sources() else None,
        "network": None,
        "transforms": {},
        "class_names": names,
        "task": (about.get("extra") or {}).get("identity", {}).get("task", "multiclass"),
        "params": params,
    }


def _read_metrics(path: Path) -> tuple[dict[str, Any], dict[str, Interval]]:
    content = _read_json(path)
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
    rows = _read_json(path) or []
    if not isinstance(rows, list) or not all(isinstance(row, dict) and "epoch" in row for row in rows):
        raise ValueError(f"{path} is not the history of epochs that a training writes: put it back, or remove it.")
    return rows


def _run_id(path: Path) -> str | None:
    """The MLflow run of a training, where its folder tells of one."""
    about = _read_json(path)
    return about.get("run_id") if isinstance(about, dict) else None


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


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
