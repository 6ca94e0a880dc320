# SPDX-License-Identifier: Apache-2.0

"""Ignite handlers of a training, each a class with ``attach`` that a configuration file can name by its full path."""

from __future__ import annotations

from monai_ept.handlers.clip_gradients import ClipGradients
from monai_ept.handlers.collect_predictions import CollectPredictions, PredictionTable, better
from monai_ept.handlers.delta_checkpoint import CheckpointError, DeltaCheckpoint
from monai_ept.handlers.epoch_history import EpochHistory
from monai_ept.handlers.mlflow_tracking import MLflowTracking
from monai_ept.handlers.nan_guard import NanGuard, NonFiniteError
from monai_ept.handlers.progress import Progress
from monai_ept.handlers.seed_each_epoch import SeedEachEpoch
from monai_ept.handlers.step_values import MeanLoss
from monai_ept.handlers.stop_on_signal import StopOnSignal, TrainingStopped
from monai_ept.networks.unwrap_network import unwrap

__all__ = [
    "CheckpointError",
    "ClipGradients",
    "CollectPredictions",
    "DeltaCheckpoint",
    "EpochHistory",
    "MLflowTracking",
    "MeanLoss",
    "NanGuard",
    "NonFiniteError",
    "PredictionTable",
    "Progress",
    "SeedEachEpoch",
    "StopOnSignal",
    "TrainingStopped",
    "better",
    "unwrap",
]
