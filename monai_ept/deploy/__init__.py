# SPDX-License-Identifier: Apache-2.0

"""From a finished training to where images are: bundles that need MONAI and not this package."""

from __future__ import annotations

from monai_ept.deploy.bank_folder import ShippedBank, ship_bank
from monai_ept.deploy.bundle_folder import Shipped, ship
from monai_ept.deploy.dicom_sr import write_dicom_sr
from monai_ept.deploy.preprocessing import plain_preprocessing

__all__ = ["Shipped", "ShippedBank", "plain_preprocessing", "ship", "ship_bank", "write_dicom_sr"]
