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

"""Training and evaluation: MONAI's engines, and what is plugged into them."""

from __future__ import annotations

from monai_ept.engines.describe import describe_run
from monai_ept.engines.evaluation import Evaluation, build_evaluator, evaluate, evaluate_table, predict
from monai_ept.engines.fit import FitResult, fit
from monai_ept.engines.gallery import draw_gallery
from monai_ept.engines.inputs import network_transforms
from monai_ept.engines.recipe import (
    amp_settings,
    at_precision,
    class_weights,
    cosine_schedule,
    make_loss,
    make_optimizer,
    optimizer_settings,
    task_of,
)
from monai_ept.engines.report import metrics_table, write_predictions, write_report
from monai_ept.engines.tested import evaluate_records
from monai_ept.engines.training import build_trainer

__all__ = [
    "Evaluation",
    "FitResult",
    "amp_settings",
    "at_precision",
    "build_evaluator",
    "build_trainer",
    "class_weights",
    "cosine_schedule",
    "describe_run",
    "draw_gallery",
    "evaluate",
    "evaluate_records",
    "evaluate_table",
    "fit",
    "make_loss",
    "make_optimizer",
    "metrics_table",
    "network_transforms",
    "optimizer_settings",
    "predict",
    "task_of",
    "write_predictions",
    "write_report",
]
