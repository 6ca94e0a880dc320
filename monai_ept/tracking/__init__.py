# SPDX-License-Identifier: Apache-2.0

"""Runs in MLflow: recorded locally first, uploaded beside the training, found again afterwards."""

from __future__ import annotations

from typing import Any

from monai_ept.tracking.mlflow_client import tracking_store
from monai_ept.tracking.model_registry import register_model
from monai_ept.tracking.sync_folders import Synced, sync
from monai_ept.tracking.tracked_run import TrackedRun, attach_run, open_run, resume_run
from monai_ept.tracking.uploader import TrackingError

__all__ = [
    "Synced",
    "TrackedRun",
    "TrackingError",
    "attach_run",
    "open_run",
    "register_model",
    "resume_run",
    "sync",
    "tracking_store",
]

MOVED = ("Comparison", "compare")


def __getattr__(name: str) -> Any:
    """For one release, what has moved to the report of a benchmark."""
    if name not in MOVED:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    import importlib
    import warnings

    home = "monai_ept.benchmark.report"
    warnings.warn(f"monai_ept.tracking.{name} is {home}.{name} now.", DeprecationWarning, stacklevel=2)
    return getattr(importlib.import_module(home), name)
