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
