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

"""The bias terms alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from monai_ept.methods.base import Method, register_method, thaw
from monai_ept.networks.vit import ViTFace

__all__ = ["Bias"]


@register_method
@dataclass(frozen=True)
class Bias(Method):
    """Train every bias of the backbone, those of its norms and its patch embedding included."""

    name: ClassVar[str] = "bias"
    reference: ClassVar[str] = "Ben Zaken et al. 2021, arXiv 2106.10199 (BitFit)"

    def apply(self, vit: ViTFace) -> None:
        # `bias` of layers, and `q_bias` and the like of modules that keep theirs apart.
        found = [(name, param) for name, param in vit.parameters() if name.endswith("bias")]
        thaw(found, self.name, "bias terms", vit)
