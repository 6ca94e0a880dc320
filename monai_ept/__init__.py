# SPDX-License-Identifier: Apache-2.0

"""
Adapt a pretrained vision transformer to a medical task from a handful of labelled images.

The two names to start with are ``EPTWrapper``, Embedded Prompt Tuning around a timm or MONAI ViT, and ``TunedViT``,
the same with any method that ``list_methods()`` names.
"""

from __future__ import annotations

__version__ = "0.1.0"

from monai_ept.delta import DeltaError
from monai_ept.engines import FitResult, fit
from monai_ept.methods import (
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
from monai_ept.model import EPTWrapper, ParameterCount, TunedViT

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
