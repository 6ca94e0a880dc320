# SPDX-License-Identifier: Apache-2.0

"""
Adapt a pretrained vision transformer to a medical task from a handful of labelled images.

The two names to start with are ``EPTWrapper``, Embedded Prompt Tuning around a timm or MONAI ViT, and ``TunedViT``,
the same with any method that ``list_methods()`` names. Each name is imported when it is first asked for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from monai_ept._lazy import lazy_exports
from monai_ept._moved import find_moved_modules

if TYPE_CHECKING:
    from monai_ept.delta import DeltaError
    from monai_ept.engines.adaptation import adapt
    from monai_ept.engines.fit import FitResult, fit
    from monai_ept.methods import Method, list_methods, register_method
    from monai_ept.model import EPTWrapper, ParameterCount, TunedViT

__version__ = "0.1.0"

__all__ = [
    "DeltaError",
    "EPTWrapper",
    "FitResult",
    "Method",
    "ParameterCount",
    "TunedViT",
    "adapt",
    "fit",
    "list_methods",
    "register_method",
]

__getattr__ = lazy_exports(__name__)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


find_moved_modules()
