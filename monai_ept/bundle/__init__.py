# SPDX-License-Identifier: Apache-2.0

"""What the configuration files of bundles call, so that each says only what is its own."""

from __future__ import annotations

from monai_ept._moved import moved_names
from monai_ept.bundle.images_to_adapt_to import unlabelled_images
from monai_ept.bundle.images_to_evaluate import labelled_images, other_predictions
from monai_ept.bundle.images_to_predict import CollectErrors, ReadOrReport, embedded_images, find_images
from monai_ept.bundle.options import find_root
from monai_ept.bundle.processes import join_processes, leave_processes, local_device
from monai_ept.bundle.release_0_1 import find_training, make_network, run_name
from monai_ept.bundle.results import begin_work, beside, finish_evaluation, finish_predictions, looked_for, save_model
from monai_ept.bundle.training import announce, conclude, make_trainer, start, validator
from monai_ept.bundle.untrained import trained_or_not
from monai_ept.checks import flag
from monai_ept.data.records import bare_records
from monai_ept.engines.setting_checks import check_settings, positive_class
from monai_ept.runs.data_loading import choose_classes, load_data, with_classes

__all__ = [
    "CollectErrors",
    "ReadOrReport",
    "announce",
    "bare_records",
    "begin_work",
    "beside",
    "check_settings",
    "choose_classes",
    "conclude",
    "embedded_images",
    "find_images",
    "find_root",
    "find_training",
    "finish_evaluation",
    "finish_predictions",
    "flag",
    "join_processes",
    "labelled_images",
    "leave_processes",
    "load_data",
    "local_device",
    "looked_for",
    "make_network",
    "make_trainer",
    "other_predictions",
    "positive_class",
    "run_name",
    "save_model",
    "start",
    "trained_or_not",
    "unlabelled_images",
    "validator",
    "with_classes",
]

__getattr__ = moved_names(__name__)
