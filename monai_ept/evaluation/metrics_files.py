# SPDX-License-Identifier: Apache-2.0

"""``metrics.json``, ``metrics.csv`` and ``per_class.csv``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_ept.files import plain_json, write_whole
from monai_ept.metrics import Interval
from monai_ept.reporting.csv_file import write_csv

__all__ = ["write_metrics", "write_per_class"]


def write_metrics(
    folder: str | Path, metrics: Mapping[str, Any], intervals: Mapping[str, Interval] | None = None
) -> dict[str, Path]:
    """
    Write ``metrics.json`` with everything there is, and ``metrics.csv`` with a row per metric and its interval.

    A metric that is not defined (NaN) is null in JSON, which knows no NaN, and empty in CSV.
    """
    intervals = intervals or {}
    scalars = {name: value for name, value in metrics.items() if isinstance(value, float)}
    content = {
        "metrics": {
            name: {"value": value, **({"low": one.low, "high": one.high} if (one := intervals.get(name)) else {})}
            for name, value in scalars.items()
        },
        **{name: value for name, value in metrics.items() if name not in scalars},
    }
    text = json.dumps(plain_json(content), indent=1, ensure_ascii=False)
    rows = [[name, value, *(intervals[name][1:] if name in intervals else ("", ""))] for name, value in scalars.items()]
    return {
        "metrics": write_whole(Path(folder) / "metrics.json", text + "\n"),
        "metrics_table": write_csv(Path(folder) / "metrics.csv", ["metric", "value", "low", "high"], rows),
    }


def write_per_class(folder: str | Path, metrics: Mapping[str, Any], class_names: Sequence[str]) -> Path:
    """Write ``per_class.csv``: a row per class with its number of images and every metric that is known per class."""
    per_class = metrics["per_class"]
    rows = [[name, metrics["support"][name], *(values[name] for values in per_class.values())] for name in class_names]
    return write_csv(Path(folder) / "per_class.csv", ["class", "images", *per_class], rows)
