# SPDX-License-Identifier: Apache-2.0

"""``training.json``: how a training went, and how its network and its data are built again."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.checks import check_choice, check_mapping, shown
from monai_ept.data import list_sources
from monai_ept.delta import read_delta
from monai_ept.files import plain_json, usable_folder, write_whole
from monai_ept.metrics.checked_batch import numbered_classes

__all__ = [
    "DELTA_FILE",
    "RECORD_FILE",
    "SETTINGS_1",
    "read_choice",
    "read_json",
    "read_record",
    "with_absolute_path",
    "write_choice",
    "write_record",
]

DELTA_FILE = "delta.safetensors"
RECORD_FILE = "training.json"

FORMAT = "monai_ept training 2"
FORMAT_1 = "monai_ept training 1"  # written by bundles up to 0.1; ``fit`` wrote settings.json instead
SETTINGS_1 = "settings.json"


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
    positive: Mapping[str, Any] | None = None,
) -> Path:
    """
    Write ``training.json``, the one record of a training.

    Args:
        name: of the bundle, or "fit".
        recipe: ``Recipe.to_dict()``, complete.
        params: everything that decides the result, flat, as MLflow has it.
        data: arguments of ``load_data``; None where nobody knows how the data were loaded.
        network: arguments of ``make_network``; None for a network that was given as an object.
        transforms: arguments of ``network_transforms`` that the network does not know.
        positive: arguments of ``PositiveClass``, where a class is looked for.
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
        **({} if positive is None else {"positive": dict(positive)}),
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


def write_choice(folder: str | os.PathLike | None, choice: Mapping[str, Any]) -> None:
    """Add what a training has chosen by itself to its record; nothing happens where none is written."""
    if folder is not None and (Path(folder) / RECORD_FILE).is_file():
        content = {**read_record(folder), "chosen": plain_json(choice)}
        write_whole(Path(folder) / RECORD_FILE, json.dumps(content, indent=1, ensure_ascii=False) + "\n")


def read_choice(folder: str | os.PathLike | None) -> dict[str, Any]:
    """What was chosen, as far as the record of a training tells."""
    if folder is None or not (Path(folder) / RECORD_FILE).is_file():
        return {}
    return dict(read_record(folder).get("chosen") or {})


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


def _of_settings(folder: Path) -> dict[str, Any]:
    """The record of a training by ``fit`` up to 0.1, which wrote names and values only."""
    params = read_json(folder / SETTINGS_1) or {}
    about = read_delta(folder / DELTA_FILE).metadata
    names = about.get("class_names") or list(numbered_classes(about["num_classes"]))
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


def read_json(path: Path) -> Any:
    """What a file of JSON says; None where it is none."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
