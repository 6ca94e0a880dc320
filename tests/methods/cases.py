# SPDX-License-Identifier: Apache-2.0

"""What the tests of all methods share: backbones, settings to try, and how many numbers each should train."""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import nn

from monai_ept import TunedViT, list_methods
from monai_ept.methods import Adapter, Ept, Lora, Vp, Vpt
from tests.backbones import monai_vit, timm_vit

BACKBONES = {
    "class token": lambda: timm_vit("vit_tiny_patch16_224", depth=3),
    "registers": lambda: timm_vit("vit_little_patch16_reg4_gap_256", depth=3),
    "monai 3-D": lambda: monai_vit(3, img_size=16, num_layers=3),
}

# Every method by its name alone, and the settings that take another path through it.
CASES: dict[str, object] = {
    **{name: name for name in list_methods()},
    "adapter wide": Adapter(reduction=1, scale=1.0),
    "lora everywhere": Lora(rank=2, alpha=4.0, targets=("proj", "k", "v", "q")),
    "vp layers": Vp(on="layers"),
    "vp frame": Vp(on="frame", size=3),
    "vpt shallow": Vpt(num_tokens=5, layers="shallow"),
    "ept and lora": ["ept", {"name": "lora", "rank": 2}],
    "ept per head": Ept(per="head"),
}

NUM_CLASSES = 3


class Shape(NamedTuple):
    """The sizes of a backbone, from which everything that a method trains can be counted by hand."""

    in_channels: int
    img_size: tuple[int, ...]
    patch_size: int
    hidden: int
    prefix: int
    positions: int
    layer_scale: int = 0
    width: int = 48
    depth: int = 3

    @property
    def patches(self) -> int:
        return math.prod(side // self.patch_size for side in self.img_size)

    @property
    def block(self) -> int:
        d, h = self.width, self.hidden
        return 2 * 2 * d + (3 * d * d + 3 * d) + (d * d + d) + (d * h + h) + (h * d + d) + 2 * d * self.layer_scale

    def trained(self, case: str) -> int:
        """Numbers that a case trains in or around the backbone."""
        d, h, depth = self.width, self.hidden, self.depth
        stem = self.in_channels * self.patch_size ** len(self.img_size) * d + d
        area = math.prod(self.img_size)
        inside = math.prod(side - 2 * 3 for side in self.img_size)
        ept = depth * (self.prefix + self.patches) * 100
        return {
            "adapter": depth * (2 * d * (d // 8) + d // 8 + d),
            "adapter wide": depth * (2 * d * d + 2 * d),
            "bias": d + depth * (2 * d + 3 * d + d + h + d) + d,
            "damp": 0,
            "ept": ept,
            "ept per head": depth * 3 * 100,
            "ept and lora": ept + depth * 2 * 2 * 2 * d,
            "full": stem + (self.prefix + self.positions) * d + depth * self.block + 2 * d,
            "linear": 0,
            "ln": (2 * depth + 1) * 2 * d,
            "lora": depth * 2 * 4 * 2 * d,
            "lora everywhere": depth * 4 * 2 * 2 * d,
            "mlp": 0,
            "partial": self.block + 2 * d,
            "proj": depth * (d * d + d),
            "vp": self.patches * d,
            "vp frame": self.in_channels * (area - inside),
            "vp layers": depth * self.patches * d,
            "vpt": depth * 50 * d,
            "vpt shallow": 5 * d,
        }[case]

    def head(self, case: str) -> int:
        last = self.width * NUM_CLASSES + NUM_CLASSES
        return 2 * (self.width**2 + self.width) + last if case == "mlp" else last


SHAPES = {
    "class token": Shape(3, (64, 64), 16, hidden=192, prefix=1, positions=17),
    "registers": Shape(3, (64, 64), 16, hidden=268, prefix=4, positions=16, layer_scale=1),
    "monai 3-D": Shape(1, (16, 16, 16), 8, hidden=96, prefix=1, positions=8),
}


def tuned(backbone: nn.Module, method: object, seed: int = 0, stir: float = 0.1) -> TunedViT:
    """A network whose trained numbers are anywhere, as after a training."""
    torch.manual_seed(seed)
    net = TunedViT(backbone, NUM_CLASSES, method=method).eval()
    with torch.no_grad():
        for param in net.parameters():
            if param.requires_grad:
                param.add_(torch.randn_like(param) * stir)
    return net


def trained_names(backbone: nn.Module, method: object) -> set[str]:
    """What a method trains beside the head, by the backbone's own names."""
    net = TunedViT(backbone, 2, method=method)
    named = ((name, param) for name, param in net.named_parameters() if "head" not in name)
    return {name.removeprefix("backbone.") for name, param in named if param.requires_grad}
