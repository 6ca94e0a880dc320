# SPDX-License-Identifier: Apache-2.0

"""``run.json`` in a run's folder: which run in MLflow it is, so that an evaluation finds it."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from monai_ept.files import write_whole

__all__ = ["RUN_FILE", "name_store", "read_about", "write_about"]

RUN_FILE = "run.json"
_one_at_a_time = threading.Lock()


def read_about(folder: str | os.PathLike) -> dict[str, Any] | None:
    """
    What ``run.json`` in a folder says, or None where there is none.

    Raises:
        ValueError: when it is damaged.
    """
    path = Path(folder) / RUN_FILE
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        whole = [about[key] for key in ("id", "run_name", "experiment", "tracking_uri")] + [about.get("run_id", "new")]
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError):
        whole = [None]
    if not all(isinstance(value, str) and value for value in whole) or not whole[0].isalnum():
        raise ValueError(
            f"{path} is damaged and names no run of MLflow: bring it back, or delete it to go without the run."
        )
    return dict(about)


def write_about(folder: Path, about: Mapping[str, Any]) -> None:
    """Write ``run.json``."""
    with _one_at_a_time:
        _write(folder, about)


def name_store(folder: Path, about: Mapping[str, Any]) -> None:
    """
    Say in ``run.json`` where a run is now, unless another training has taken the folder since.

    Raises:
        ValueError: when ``run.json`` is damaged.
    """
    with _one_at_a_time:  # the other training may be a thread of this process that is just taking it
        current = read_about(folder)
        if current is not None and current["id"] == about["id"]:
            _write(folder, {**current, **about})


def _write(folder: Path, about: Mapping[str, Any]) -> None:
    write_whole(folder / RUN_FILE, json.dumps(about, indent=1, ensure_ascii=False) + "\n")
