# SPDX-License-Identifier: Apache-2.0
"""Pretraining without images of anything: the embedded backbone learns from pictures that formulas make."""

from __future__ import annotations

from tools.pretrain.command import run_pretraining
from tools.pretrain.pictures import Picture, make_picture
from tools.pretrain.recipe import PairsRecipe, Recipe

__all__ = ["PairsRecipe", "Picture", "Recipe", "make_picture", "run_pretraining"]
