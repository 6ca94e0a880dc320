# SPDX-License-Identifier: Apache-2.0

"""Training and evaluation: MONAI's engines, and what is plugged into them."""

from __future__ import annotations

from monai_ept.engines.fit import FitResult, fit
from monai_ept.engines.network_inputs import network_transforms
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
from monai_ept.engines.run_description import describe_run
from monai_ept.engines.trainer import build_trainer
from monai_ept.evaluation.evaluate_split import evaluate_records
from monai_ept.evaluation.evaluation_files import write_report
from monai_ept.evaluation.evaluator import Evaluation, build_evaluator, evaluate, evaluate_table, predict
from monai_ept.evaluation.gallery import draw_gallery
from monai_ept.evaluation.metrics_files import metrics_table
from monai_ept.evaluation.predictions_csv import write_predictions

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
