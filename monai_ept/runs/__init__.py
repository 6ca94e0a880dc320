# SPDX-License-Identifier: Apache-2.0

"""A finished training on disk: what came out of it, and how its network and its data are built again."""

from __future__ import annotations

from monai_ept.runs.bank_sources import write_bank
from monai_ept.runs.build_network import make_network
from monai_ept.runs.data_loading import load_data
from monai_ept.runs.fit_result import FitResult, find_training
from monai_ept.runs.network_inputs import network_transforms

__all__ = ["FitResult", "find_training", "load_data", "make_network", "network_transforms", "write_bank"]
