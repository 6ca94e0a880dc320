# SPDX-License-Identifier: Apache-2.0

"""Runs in MLflow: recorded locally first, uploaded beside the training, found again afterwards."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
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

_exported = lazy_exports(__name__)


def __getattr__(name: str) -> Any:
    if name in ("Comparison", "compare"):  # until the release after 0.1
        import monai_ept.benchmark.report as report

        warnings.warn(
            f"monai_ept.tracking.{name} is monai_ept.benchmark.report.{name} now.", DeprecationWarning, stacklevel=2
        )
        return getattr(report, name)
    return _exported(name)
