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

"""
Adapt a pretrained vision transformer to a medical task from a handful of labelled images.

The two names to start with are ``EPTWrapper``, Embedded Prompt Tuning around a timm or MONAI ViT, and ``TunedViT``,
the same with any method that ``list_methods()`` names.
"""

from __future__ import annotations

__version__ = "0.1.0"

from .delta import DeltaError
from .engines import FitResult, fit
from .methods import (
    Adapter,
    Bias,
    Damp,
    Ept,
    Full,
    Linear,
    Ln,
    Lora,
    Method,
    Mlp,
    Partial,
    Proj,
    Vp,
    Vpt,
    list_methods,
    register_method,
)
from .model import EPTWrapper, ParameterCount, TunedViT

__all__ = [
    "Adapter",
    "Bias",
    "Damp",
    "DeltaError",
    "EPTWrapper",
    "Ept",
    "FitResult",
    "Full",
    "Linear",
    "Ln",
    "Lora",
    "Method",
    "Mlp",
    "ParameterCount",
    "Partial",
    "Proj",
    "TunedViT",
    "Vp",
    "Vpt",
    "fit",
    "list_methods",
    "register_method",
]
