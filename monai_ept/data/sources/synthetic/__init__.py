# SPDX-License-Identifier: Apache-2.0

"""The embedded default data: pictures made by code, without a download, with the same bytes on every machine."""

from __future__ import annotations

from monai_ept.data.sources.synthetic.datasets import synthetic_chest, synthetic_derm, synthetic_volume
from monai_ept.synthetic.chest import CHEST_CLASSES, chest_findings, render_chest
from monai_ept.synthetic.derm import DERM_CLASSES, render_derm
from monai_ept.synthetic.volume import VOLUME_CLASSES, render_volume

__all__ = [
    "CHEST_CLASSES",
    "DERM_CLASSES",
    "VOLUME_CLASSES",
    "chest_findings",
    "render_chest",
    "render_derm",
    "render_volume",
    "synthetic_chest",
    "synthetic_derm",
    "synthetic_volume",
]
