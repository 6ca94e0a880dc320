# SPDX-License-Identifier: Apache-2.0

"""Runs in MLflow: recorded locally first, uploaded beside the training, found again afterwards."""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports

if TYPE_CHECKING:
    from monai_ept.tracking.address import tracking_store
    from monai_ept.tracking.bank_files import BankTask
    from monai_ept.tracking.bank_registry import register_bank
    from monai_ept.tracking.model_registry import register_model
    from monai_ept.tracking.sync_folders import Synced, sync
    from monai_ept.tracking.tracked_run import TrackedRun, attach_run, open_run, resume_run
    from monai_ept.tracking.uploader import TrackingError

__all__ = [
    "BankTask",
    "Synced",
    "TrackedRun",
    "TrackingError",
    "attach_run",
    "open_run",
    "register_bank",
    "register_model",
    "resume_run",
    "sync",
    "tracking_store",
]

__getattr__ = lazy_exports(__name__)
