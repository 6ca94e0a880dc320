# SPDX-License-Identifier: Apache-2.0

"""Federations in which kilobytes travel: clients for MONAI and NVFlare, and what their server does."""

from __future__ import annotations

from monai_ept.federated.average import federated_average
from monai_ept.federated.client import DeltaAlgo
from monai_ept.federated.exchange import put_trained, trained_tensors
from monai_ept.federated.feature_sums import solve_from_sums

__all__ = ["DeltaAlgo", "federated_average", "put_trained", "solve_from_sums", "trained_tensors"]
