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

"""The embedded default data: pictures made by code, without a download, with the same bytes on every machine."""

from __future__ import annotations

from monai_ept.data.sources.synthetic.chest import CHEST_CLASSES, chest_findings, render_chest
from monai_ept.data.sources.synthetic.derm import DERM_CLASSES, render_derm
from monai_ept.data.sources.synthetic.sets import synthetic_chest, synthetic_derm, synthetic_volume
from monai_ept.data.sources.synthetic.volume import VOLUME_CLASSES, render_volume

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
