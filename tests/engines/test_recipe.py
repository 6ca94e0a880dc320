# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
import json

import pytest

from monai_ept import TunedViT
from monai_ept.engines import RECIPES, Recipe, recipe_of
from tests.backbones import timm_vit
from tests.engines.scenes import small_net


@pytest.mark.parametrize(
    ("method", "lr"),
    [("ept", 3e-3), ("mlp", 1e-3), ("partial", 1e-3), ("vpt", 1e-3), ("full", 1e-4), (["ln", "full"], 1e-4)],
)
def test_the_learning_rate_suits_the_most_delicate_method(method, lr):
    net = TunedViT(timm_vit(), 3, method=method)
    assert recipe_of("default").prepare(net).lr == lr
    paper = recipe_of("paper").prepare(net)
    assert (paper.optimizer, paper.lr, paper.weight_decay) == ("sgd", 6e-4, 1e-4)


def test_a_mapping_changes_the_recipe_that_it_names():
    assert recipe_of({}) == Recipe() == RECIPES["default"]
    assert recipe_of({"name": "paper", "epochs": 5}) == dataclasses.replace(RECIPES["paper"], epochs=5)
    assert recipe_of({"lr": None, "epochs": None}) == Recipe(), "None leaves the recipe's own"
    assert recipe_of({"optimizer": "sgd"}).prepare(small_net()).lr == 6e-4
    assert recipe_of({"amp": False}).amp == "off", "YAML reads a plain off as false"


@pytest.mark.parametrize("recipe", [Recipe(), RECIPES["paper"], Recipe(lr=0.1, max_norm=1.0, select="val")])
def test_written_down_and_read_again(recipe):
    assert Recipe.from_dict(json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize(
    "setting",
    [
        {"epochs": -1},
        {"batch_size": 0},
        {"optimizer": "adam"},
        {"lr": "3e-3"},
        {"momentum": 2},
        {"weight_decay": -1},
        {"schedule": "linear"},
        {"warmup_steps": -1},
        {"max_norm": -1},
        {"class_weighting": "yes"},
        {"amp": "fp16"},
        {"select": "best"},
        {"val_interval": 0},
        {"num_resamples": -1},
        {"epoch": 5},
    ],
)
def test_a_wrong_setting_is_named(setting):
    with pytest.raises(ValueError, match=next(iter(setting))):
        recipe_of(setting)


def test_no_such_recipe():
    with pytest.raises(ValueError, match="recipe 'papers' is not known: did you mean 'paper'"):
        recipe_of("papers")
    with pytest.raises(ValueError, match="a recipe is a name or a mapping of settings"):
        recipe_of(5)


def test_prompts_begin_where_the_recipe_wants_them():
    paper, moved, chosen = small_net(), small_net(), small_net(start=2.0)
    assert recipe_of("paper").prepare(paper) and paper.methods[0].start is None
    recipe_of("default").prepare(moved)
    assert moved.methods[0].start == 0 and moved.methods[0].lr_scale == 30
    recipe_of("default").prepare(chosen)
    assert chosen.methods[0].start == 2.0 and chosen.methods[0].lr_scale == 1
