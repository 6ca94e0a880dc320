# SPDX-License-Identifier: Apache-2.0

"""The results of a sweep from MLflow."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from monai_ept.benchmark.report.results import Found, SweepResults, frame_of, with_own_labels

__all__ = ["NOT_A_SETTING", "REPETITION", "read_run", "read_tracked", "values_under"]

REPETITION = ("seed", "split_seed", "split_hash")
"""Parameters that differ between the repetitions of one setting: the choice of images and all other chance."""

NOT_A_SETTING = ("git_", "trained_in", "version", "device", "fingerprint", "_hash", "_dir", "_path", "_images")
"""Parts of names of parameters that say where and with what a run was made, and what follows from the split."""

PLACE = (*REPETITION, "source", "backbone", "shots", "method", "num_classes")
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
        54
    """
    from monai_ept.tracking.address import tracking_store, without_password
    from monai_ept.tracking.search_runs import search_runs

    if "'" in sweep:
        raise ValueError(f"sweep {sweep!r} must be a name without quotation marks: MLflow is asked for it.")
    where = without_password(tracking_store(tracking_uri))
    runs = search_runs(tracking_uri, query=f"tags.`sweep` = '{sweep}'")
    # A run that is finished counts, the latest of several.
    order = sorted(runs, key=lambda run: (run.info.status == "FINISHED", run.info.start_time))
    cells = {cell.about["id"]: cell for cell in map(read_run, order) if cell is not None}
    if not cells:
        raise ValueError(
            f"there is no run with the tag sweep={sweep} at {where}: run the sweep, or see 'monai-ept sync'."
        )
    return SweepResults(
        name=sweep,
        cells=with_own_labels(frame_of(cells.values())),
        notes=["Read from MLflow, which knows what has begun and not what else the sweep was to have."],
    )


def read_run(run: Any) -> Found | None:
    """One of MLflow's runs as a cell; None when it is no training."""
    params, tags, metrics = dict(run.data.params), dict(run.data.tags), dict(run.data.metrics)
    if "method" not in params:
        return None
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
        "grid": _from_tag(tags.get("grid")),
        "factors": _from_tag(tags.get("factors")),
        "settings": {
            key: value
            for key, value in params.items()
            if key.partition(".")[0] == "method" or not any(part in key for part in (*NOT_A_SETTING, *PLACE))
        },
    }
    status = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "failed"}.get(run.info.status)
    if status is None:
        return Found(about)
    ended = datetime.fromtimestamp((run.info.end_time or run.info.start_time) / 1000, tz=timezone.utc)
    counts = {"delta": params.get("trained_in_backbone"), "head": params.get("trained_in_head")}
    result = {
        "status": status,
        "error": tags.get("error") or (f"the run is {run.info.status}" if status == "failed" else None),
        "metrics": values_under(metrics, "test/"),
        "val_metrics": values_under(metrics, "val/"),
        "moved": values_under(metrics, "moved/"),
        "count": {name: int(text) for name, text in counts.items() if text is not None and text.isdigit()},
        "seconds": {name.removesuffix("_seconds"): value for name, value in values_under(metrics, "cost/").items()},
        "peak_memory_mb": metrics.get("cost/peak_memory_mb"),
        "num_train": params.get("train_images", "–"),
        "num_test": params.get("test_images", "–"),
        "split_hash": params.get("split_hash"),
        "fingerprint": params.get("backbone_fingerprint"),
        "versions": {key.partition(".")[2]: value for key, value in params.items() if key.startswith("version.")},
        "run_id": run.info.run_id,
        "finished": ended.isoformat(timespec="seconds"),
    }
    return Found(about, result)


def values_under(metrics: Mapping[str, float], start: str) -> dict[str, float]:
    """Metrics whose names begin so, without the ends of intervals and without single classes."""
    found = {name.removeprefix(start): value for name, value in metrics.items() if name.startswith(start)}
    return {
        name: value
        for name, value in found.items()
        if "/" not in name and not (name.endswith(("_low", "_high")) and name.rpartition("_")[0] in found)
    }


def _from_tag(text: str | None) -> dict[str, Any]:
    try:
        content = json.loads(text or "{}")
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}
