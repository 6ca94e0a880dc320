# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from tests.benchmark.plan.scenes import make


def test_cells_are_all_combinations_sampling_after_sampling():
    cells = sweep_cells(make(seeds=2, backbones=["embedded", {"name": "vit_tiny_patch16_224"}]))
    assert len(cells) == 2 * 2 * 2 * 2 * 2 and len({cell.id for cell in cells}) == len(cells)
    order = [(cell.seed, cell.sampling) for cell in cells]
    assert order == sorted(order)
    assert cells[0].label == "linear" and cells[1].label == "ept prompt_length=10"


def test_a_list_under_a_setting_is_one_method_per_value():
    cells = sweep_cells(make(shots=[1], samplings=1, methods=[{"method": "damp", "c": [4.6, 5.5, 6.4]}]))
    assert [cell.label for cell in cells] == ["damp c=4.6", "damp c=5.5", "damp c=6.4"]
    assert [cell.factors for cell in cells] == [{"c": 4.6}, {"c": 5.5}, {"c": 6.4}]
    assert {cell.group for cell in cells} == {"damp"}


@pytest.mark.parametrize(
    ("layers", "number"), [([0, 1], 1), ([-1], 1), ([[-1], [-1, -2]], 2), (["deep", "shallow"], 2), ("deep", 1)]
)
def test_a_list_of_layers_is_one_value(layers, number):
    cells = sweep_cells(make(shots=[1], samplings=1, methods=[{"method": "ept", "prompt_layers": layers}]))
    assert len(cells) == number


def test_settings_of_a_backbone_are_part_of_what_a_cell_is():
    """A sweep may compare two architectures of one name; a backbone without settings is the cell that it always was."""
    small = {"name": "vit_tiny_patch16_224", "img_size": 32}
    backbones = [small, {**small, "backbone_settings": {"init_values": "1e-5"}}, {**small, "backbone_settings": None}]
    once = {"shots": [1], "samplings": 1, "methods": ["linear"]}
    with pytest.raises(ValueError, match="backbones names .* twice"):
        make(backbones=backbones, **once)
    plain, scaled = sweep_cells(make(backbones=backbones[:2], **once))
    assert "backbone_settings" not in plain.identity and plain.id != scaled.id
    assert scaled.backbone_arguments == {"img_size": 32, "backbone_settings": {"init_values": 1e-5}}
    assert "backbone_settings" not in make(backbones=backbones[:1], **once).to_yaml()
    with pytest.raises(ValueError, match="init_values must be a number"):
        make(backbones=[{**small, "backbone_settings": {"init_values": {}}}], **once)


def test_a_grid_is_a_cell_per_value_under_one_label():
    entry = {"method": "ept", "grid": {"lr": [1e-3, 1e-2], "prompt_length": [5, 10]}, "recipe": {"epochs": 2}}
    cells = sweep_cells(make(shots=[1], samplings=1, val="shots", methods=[entry]))
    assert len(cells) == 4 and {cell.label for cell in cells} == {"ept"}
    assert cells[3].grid == {"lr": 1e-2, "prompt_length": 10} and cells[3].recipe["lr"] == 1e-2
    assert cells[3].method_settings == {"prompt_length": 10} and cells[3].recipe["epochs"] == 2


def test_a_source_that_is_named_twice_is_told_apart_by_its_settings():
    sources = [{"name": "synthetic_derm", "label": "a", "seed": 1}, {"name": "synthetic_derm", "label": "b", "seed": 2}]
    cells = sweep_cells(make(shots=[1], samplings=1, sources=sources, methods=["linear"]))
    assert [cell.source for cell in cells] == ["a", "b"] and cells[0].id != cells[1].id


class TestRecipes:
    """Several recipes, each of which trains each method."""

    def labels(self, *methods, recipes=("train", "solve"), **changes):
        cells = sweep_cells(make(shots=[1], samplings=1, recipes=list(recipes), methods=list(methods), **changes))
        return {cell.label: cell for cell in cells}

    def test_each_method_is_trained_by_each(self):
        cells = self.labels("linear", {"method": "lora", "label": "LoRA"})
        assert list(cells) == ["linear, train", "linear, solve", "LoRA, train", "LoRA, solve"]
        assert [cell.training_recipe.name for cell in cells.values()] == ["train", "solve"] * 2
        assert cells["LoRA, solve"].factors == {"recipe": "solve"}

    def test_their_cells_are_those_of_a_method_with_such_a_recipe(self):
        recipe = {"name": "solve", "amp": "bfloat16"}
        cells = self.labels("linear", recipes=[recipe, "paper"])
        (alone,) = sweep_cells(make(shots=[1], samplings=1, methods=[{"method": "linear", "recipe": recipe}]))
        assert cells["linear, solve"].id == alone.id
        assert cells["linear, solve"].recipe == alone.recipe

    def test_one_without_a_name_changes_the_recipe_of_the_sweep(self):
        cells = self.labels("linear", recipes=[{"label": "usual"}, {"epochs": 3, "label": "short"}], recipe="paper")
        assert {label: cell.training_recipe.epochs for label, cell in cells.items()} == {
            "linear, usual": 20,
            "linear, short": 3,
        }
        assert {cell.training_recipe.optimizer for cell in cells.values()} == {"sgd"}

    def test_a_methods_own_changes_hold_in_each_and_its_own_recipe_alone(self):
        cells = self.labels(
            {"method": "ept", "recipe": {"amp": "off"}},
            {"method": "full", "recipe": "paper"},
            {"method": "ln", "label": "LayerNorm", "recipe": {"name": "paper", "epochs": 2}},
        )
        assert list(cells) == ["ept, train", "ept, solve", "full, paper", "LayerNorm"]
        assert {label: cell.recipe["amp"] for label, cell in cells.items()} == dict.fromkeys(cells, "off")
        assert [cell.recipe["epochs"] for cell in cells.values()] == [20, 0, 20, 2]

    def test_lists_and_grids_cross_with_them(self):
        cells = self.labels({"method": "damp", "c": [1.0, 4.6]})
        assert list(cells) == ["damp c=1, train", "damp c=1, solve", "damp c=4.6, train", "damp c=4.6, solve"]
        assert cells["damp c=1, solve"].factors == {"c": 1.0, "recipe": "solve"}
        grid = {"method": "lora", "grid": {"lr": [1e-3, 1e-2]}}
        cells = sweep_cells(make(shots=[1], samplings=1, recipes=["train", "paper"], val="shots", methods=[grid]))
        assert [cell.label for cell in cells] == ["lora, train"] * 2 + ["lora, paper"] * 2
        assert [cell.recipe["lr"] for cell in cells] == [1e-3, 1e-2] * 2


def test_a_method_may_have_fewer_samplings_and_shots_than_the_sweep():
    methods = [
        "linear",
        {"method": "full", "label": "Full", "samplings": 1},
        {"method": "full", "label": "Full", "samplings": [1], "shots": [5]},
    ]
    cells = sweep_cells(make(shots=[1, 5], samplings=3, methods=methods))
    assert sum(cell.label == "linear" for cell in cells) == 6
    full = [(cell.sampling, cell.shots) for cell in cells if cell.label == "Full"]
    assert full == [(0, 1), (0, 5), (1, 5)]
