# SPDX-License-Identifier: Apache-2.0

"""What ``gpu_check`` measures on a card, and how little of it a rehearsal needs."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import timm
import torch

from tools.measure.step_cost import SIZES, Size


class Plan(NamedTuple):
    """Where is measured, and how much."""

    device: torch.device
    rows: list[tuple[Size, int]]
    """Networks and sizes of a batch, those of a network one after another."""
    attention: list[tuple[int, int, int]]
    """Images, heads and tokens of a layer."""
    peaks: list[tuple[Size, int]]
    compiled: Size
    compiled_batches: tuple[int, ...]
    compiler: str
    backbone: str
    loop_batches: tuple[int, ...]
    rounds: int
    steps: int


VIT_B, VIT_B_384 = SIZES["vit_b_224"], SIZES["vit_b_384"]
VOLUME, LARGE_VOLUME = SIZES["monai_3d_1728"], SIZES["monai_3d_4096"]
ON_A_CARD = Plan(
    device=torch.device("cuda"),
    rows=[(VIT_B, 4), (VIT_B, 64), (VIT_B, 256), (VIT_B_384, 32), (VOLUME, 1), (LARGE_VOLUME, 1)],
    attention=[(4, 12, 197), (64, 12, 197), (256, 12, 197), (32, 12, 577), (1, 6, 1728), (1, 6, 4096)],
    peaks=[(VIT_B_384, 32), (LARGE_VOLUME, 1)],
    compiled=Size(
        partial(timm.create_model, "vit_base_patch16_224", depth=4), 224, 2, 64, "ViT-B/16 with four layers, 224 px"
    ),
    compiled_batches=(64, 4, 256),  # compiling takes long: hence the four layers
    compiler="inductor",
    backbone="vit_base_patch16_224",
    loop_batches=(4, 32),
    rounds=25,
    steps=20,
)
TINY = Size(lambda: "test_vit", 64, 2, 2, "timm's test_vit, 64 px")
REHEARSAL = Plan(
    device=torch.device("cpu"),
    rows=[(TINY, 2), (TINY, 3)],
    attention=[(2, 2, 17)],
    peaks=[(TINY, 2)],
    compiled=TINY,
    compiled_batches=(3, 2),
    compiler="aot_eager",
    backbone="test_vit",
    loop_batches=(2,),
    rounds=2,
    steps=2,
)
