# SPDX-License-Identifier: Apache-2.0

"""A pretraining of seconds."""

from __future__ import annotations

from tools.pretrain import Recipe

SMALL = Recipe(
    pictures=580, steps=12, batch_size=16, embed_dim=32, depth=2, num_heads=2, img_size=32, whole=0.25, amp=False
)
