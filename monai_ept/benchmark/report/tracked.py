# SPDX-License-Identifier: Apache-2.0

"""Reading a sweep's runs from MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from monai_ept.benchmark.report.results import CellResult, SweepResults, with_own_labels
from monai_ept.tracking.compare import NOT_A_SETTING, REPETITION

__all__ = ["read_tracked"]

NOT_SETTINGS = (*REPETITION, "source", "backbone", "shots", "method", "num_classes")
"""Parameters that say where a run stands in the tables, or follow from that."""


def read_tracked(sweep: str, *, tracking_uri: str | None = None) -> SweepResults:
    """
    Read the runs that have the tag ``sweep``, of a sweep or of trainings that were given that tag.

    The store knows what has begun and not what else was planned: nothing is missing but what runs now.

    Args:
        sweep: the value of the tag.
        tracking_uri: the store, see ``tracking_store``.

    Raises:
        ValueError: when there is no such run or database.
        ConnectionError: when the store does not answer.

    Example::

        >>> len(read_tracked("quick").finished)
        24
    """
    from monai_ept.tracking.mlflow_client import tracking_store, without_password
    from monai_ept.tracking.search_runs import search_runs

    if "'" in sweep:
        raise ValueError(f"sweep {sweep!r} must be a name without quotation marks: MLflow is asked for it.")
    where = without_password(tracking_store(tracking_uri))
    runs = search_runs(tracking_uri, query=f"tags.`sweep` = '{sweep}'")
    cells: dict[str, CellResult] = {}
    for run in sorted(runs, key=lambda run: (run.info.status == "FINISHED", run.info.start_time)):
        if "method" in run.data.params:
            cell = _cell(run)
            cells[cell.id] = cell  # a run that is finished counts, the latest of several
    if not cells:
        raise ValueError(
            f"there is no run with the tag sweep={sweep} at {where}: run the sweep, or see 'monai-ept sync'."
        )
    return SweepResults(
        name=sweep,
        cells=with_own_labels(cells.values()),
        where=where,
        notes=["Read from MLflow, which knows what has begun and not what else the sweep was to have."],
    )


def _cell(run: Any) -> CellResult:
    params, tags, metrics = dict(run.data.params), dict(run.data.tags), dict(run.data.metrics)
    about = {
        "id": tags.get("cell", run.info.run_id),
        "source": params.get("source", "?"),
        "backbone": params.get("backbone", "?"),
        "method": params["method"],
        "label": tags.get("label", params["method"]),
        "group": tags.get("group"),
        "shots": params.get("shots", "?"),
        "sampling": params.get("split_seed", params.get("split_hash", "0")),
        "seed": params.get("seed", "0"),
        "grid": _mapping(tags.get("grid")),
        "factors": _mapping(tags.get("factors")),
        "settings": {
            key: value
            for key, value in params.items()
            if key.partition(".")[0] == "method" or not any(part in key for part in (*NOT_A_SETTING, *NOT_SETTINGS))
        },
    }
    status = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}.get(run.info.status)
    if status is None:
        return CellResult(about)
    ended = datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, tz=timezone.utc)
    result = {
        "status": status,
        "error": tags.get("error") or (f"the run is {run.info.status}" if status == "failed" else None),
        "metrics": _under(metrics, "test/"),
        "val_metrics": _under(metrics, "val/"),
        "count": {
            "delta": _whole(params.get("trained_in_backbone")),
            "head": _whole(params.get("trained_in_head")),
        },
        "seconds": {
            key.removesuffix("_seconds"): value
            for key, value in _under(metrics, "cost/").items()
            if key.endswith("_seconds")
        },
        "peak_memory_mb": metrics.get("cost/peak_memory_mb"),
        "num_train": params.get("train_images", "–"),
        "num_test": params.get("test_images", "–"),
        "split_hash": params.get("split_hash"),
        "fingerprint": params.get("backbone_fingerprint"),
        "versions": {
            key.removeprefix("version."): value for key, value in params.items() if key.startswith("version.")
        },
        "run_id": run.info.run_id,
        "finished": ended.isoformat(timespec="seconds"),
        "moved": _under(metrics, "moved/"),
    }
    return CellResult(about, result)


def _under(metrics: Mapping[str, float], start: str) -> dict[str, float]:
    """Metrics whose names begin so, without the ends of intervals and without single classes."""
    found = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
    return {
        name: value
        for name, value in found.items()
        if "/" not in name and not (name.endswith(("_low", "_high")) and name.rpartition("_")[0] in found)
    }


def _mapping(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdigit() else None
