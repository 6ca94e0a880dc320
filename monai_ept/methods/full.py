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

"""Everything trains."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.vit import ViTFace

__all__ = ["Full"]


@register_method
@dataclass(frozen=True)
class Full(Method):
    """Train the whole backbone."""

    name: ClassVar[str] = "full"
    adamw_lr: ClassVar[float] = 1e-4

    def apply(self, vit: ViTFace) -> None:
        thaw(vit.parameters(), self.name, "parameters", vit)
