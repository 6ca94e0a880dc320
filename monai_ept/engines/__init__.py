# SPDX-License-Identifier: Apache-2.0

"""Training: a recipe, MONAI's engines, and what is plugged into them."""

from __future__ import annotations

from monai_ept._moved import moved_names
from monai_ept.engines.adaptation import Adapted, Unlabelled, adapt
from monai_ept.engines.adaptation_settings import Adaptation, adaptation_of
from monai_ept.engines.fit import fit
from monai_ept.engines.loss import class_weights, make_loss, task_of
from monai_ept.engines.optimizer import cosine_schedule, make_optimizer
from monai_ept.engines.recipe import RECIPES, Recipe, recipe_of
from monai_ept.engines.run_description import describe_run
from monai_ept.engines.trainer import build_trainer
from monai_ept.engines.training import Training
from monai_ept.evaluation.evaluation_files import write_report
from monai_ept.evaluation.evaluator import (
    Evaluation,
    build_evaluator,
    evaluate,
    evaluate_records,
    evaluate_table,
    predict,
)
from monai_ept.evaluation.gallery import draw_gallery
from monai_ept.evaluation.predictions_csv import write_predictions
from monai_ept.networks.precision import amp_settings, at_precision
from monai_ept.reporting.metrics_table import metrics_table
from monai_ept.runs.fit_result import FitResult
from monai_ept.runs.network_inputs import network_transforms

__all__ = [
    "RECIPES",
    "Adaptation",
    "Adapted",
    "Evaluation",
    "FitResult",
    "Recipe",
    "Training",
    "Unlabelled",
    "adapt",
    "adaptation_of",
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
    "predict",
    "recipe_of",
    "task_of",
    "write_predictions",
    "write_report",
]

__getattr__ = moved_names(__name__)
