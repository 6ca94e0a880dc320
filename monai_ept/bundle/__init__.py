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

"""What the bundles in ``bundles/`` share, so that each configuration says only what is its own."""

from __future__ import annotations

from monai_ept.bundle.data import choose_classes, load_data
from monai_ept.bundle.images import CollectErrors, ReadOrReport, embedded_images, find_images
from monai_ept.bundle.network import make_network
from monai_ept.bundle.options import flag
from monai_ept.bundle.processes import MeanLoss, join_processes, leave_processes, local_device
from monai_ept.bundle.results import begin_work, finish_evaluation, finish_predictions, save_model
from monai_ept.bundle.trained import Training, find_training
from monai_ept.bundle.training import begin_training, defined_above, finish_training, run_name, start
from monai_ept.bundle.where import find_root
from monai_ept.engines import class_weights, describe_run, optimizer_settings

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
