# Copyright (c) The monai_ept developers
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#     http://www.apache.org/licenses/LICENSE-2.0
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

"""Ignite handlers of a training, each a class with ``attach`` that a configuration file can name by its full path."""

from __future__ import annotations

from monai_ept.handlers.checkpoint import CheckpointError, DeltaCheckpoint
from monai_ept.handlers.clip import ClipGradients
from monai_ept.handlers.guard import NanGuard, NonFiniteError, StopOnSignal, TrainingStopped
from monai_ept.handlers.history import EpochHistory
from monai_ept.handlers.predictions import CollectPredictions, PredictionTable, better
from monai_ept.handlers.progress import Progress
from monai_ept.handlers.reproducible import SeedEachEpoch
from monai_ept.handlers.tracking import MLflowTracking
from monai_ept.handlers.unwrap import unwrap

__all__ = [
    "CheckpointError",
    "ClipGradients",
    "CollectPredictions",
    "DeltaCheckpoint",
    "EpochHistory",
    "MLflowTracking",
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
