# SPDX-License-Identifier: Apache-2.0

"""A pretraining of seconds."""

from __future__ import annotations

from tools.pretrain import PairsRecipe, Recipe

NETWORK = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": 32, "amp": False}

SMALL = Recipe(pictures=580, steps=12, batch_size=16, whole=0.25, **NETWORK)

SMALL_PAIRS = PairsRecipe(steps=12, things=4, described=4, fields=6, climb=2, drop=0.25, **{**NETWORK, "img_size": 64})
