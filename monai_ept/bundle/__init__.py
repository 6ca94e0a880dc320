# SPDX-License-Identifier: Apache-2.0

"""What the bundles in ``bundles/`` share, so that each configuration says only what is its own."""

from __future__ import annotations

from monai_ept.bundle.images_to_predict import CollectErrors, ReadOrReport, embedded_images, find_images
from monai_ept.bundle.options import flag
from monai_ept.bundle.processes import MeanLoss, join_processes, leave_processes, local_device
from monai_ept.bundle.results import begin_work, finish_evaluation, finish_predictions, save_model
from monai_ept.bundle.training import begin_training, defined_above, finish_training, run_name, start
from monai_ept.bundle.where import find_root
from monai_ept.engines import class_weights, describe_run, optimizer_settings
from monai_ept.runs.build_network import make_network
from monai_ept.runs.data_loading import choose_classes, load_data
from monai_ept.runs.finished_run import Training, find_training

__all__ = [
    "CollectErrors",
    "MeanLoss",
    "ReadOrReport",
    "Training",
    "begin_training",
    "begin_work",
    "choose_classes",
    "class_weights",
    "defined_above",
    "describe_run",
    "embedded_images",
    "find_images",
    "find_root",
    "find_training",
    "finish_evaluation",
    "finish_predictions",
    "finish_training",
    "flag",
    "join_processes",
    "leave_processes",
    "load_data",
    "local_device",
    "make_network",
    "optimizer_settings",
    "run_name",
    "save_model",
    "start",
]
