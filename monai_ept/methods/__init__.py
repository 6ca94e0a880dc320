# SPDX-License-Identifier: Apache-2.0

"""Ways to adapt a frozen backbone, a file each; importing this registers them all."""

from __future__ import annotations

from monai_ept.methods.adapter import Adapter
from monai_ept.methods.base import Method, build_methods, list_methods, method_class, register_method, thaw
from monai_ept.methods.bias import Bias
from monai_ept.methods.damp import Damp
from monai_ept.methods.ept import Ept
from monai_ept.methods.full import Full
from monai_ept.methods.hf_peft import Peft
from monai_ept.methods.linear import Linear
from monai_ept.methods.ln import Ln
from monai_ept.methods.lora import Lora
from monai_ept.methods.mlp import Mlp
from monai_ept.methods.partial import Partial
from monai_ept.methods.proj import Proj
from monai_ept.methods.vp import Vp
from monai_ept.methods.vpt import Vpt

__all__ = [
    "Adapter",
    "Bias",
    "Damp",
    "Ept",
    "Full",
    "Linear",
    "Ln",
    "Lora",
    "Method",
    "Mlp",
    "Partial",
    "Peft",
    "Proj",
    "Vp",
    "Vpt",
    "build_methods",
    "list_methods",
    "method_class",
    "register_method",
    "thaw",
]
