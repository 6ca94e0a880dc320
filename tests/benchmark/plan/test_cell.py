# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses

from monai_ept.benchmark.plan.cell import Cell
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.engines import RECIPES
from tests.benchmark.plan.scenes import make


def test_ids_are_what_they_have_always_been():
    # A change here makes everybody's finished cells be run again.
    cells = sweep_cells(
        make(
            shots=[5],
            samplings=[3],
            val="shots",
            recipe="paper",
            sources=[{"name": "isic2018", "dataset_dir": "${DATA}/isic2018", "by": "image"}],
            backbones=[{"name": "vit_tiny_patch16_224", "pretrained": "${DATA}/vit.safetensors", "img_size": 224}],
            methods=[
                "linear",
                {"method": "ept", "prompt_length": 10, "frozen": True},
                {"method": "lora", "rank": 8, "grid": {"lr": [3e-3]}, "recipe": {"optimizer": "adamw"}},
            ],
        )
    )
    assert [cell.id for cell in cells] == IDS


IDS = [
    "isic2018-linear-5shot-3-0-9467688dfa",
    "isic2018-ept-5shot-3-0-3388db0216",
    "isic2018-lora-5shot-3-0-931a341f69",
]


def test_an_id_names_what_decides_the_result_and_nothing_else():
    cell = sweep_cells(make())[1]
    for change in (
        {"label": "x"},
        {"group": "x"},
        {"factors": {"x": 1}},
        {"grid": {"lr": 1}},
        {"recipe": {**cell.recipe, "num_resamples": 0}},
        {"source": "x"},
    ):
        assert dataclasses.replace(cell, **change).id == cell.id, change
    different = [
        {"shots": 2},
        {"sampling": 9},
        {"seed": 9},
        {"frozen": True},
        {"adapted": {"file": "a", "hash": "x", "check": True}},
        {"val": "shots"},
        {"pretrained": "weights"},
        {"img_size": 64},
        {"method_settings": {"prompt_length": 11}},
        {"recipe": {**cell.recipe, "lr": 6e-3}},
        {"split": {**cell.split, "by": "image"}},
        {"source_settings": {"name": "synthetic_derm", "seed": 1}},
    ]
    assert len({dataclasses.replace(cell, **change).id for change in different} | {cell.id}) == len(different) + 1


def test_the_papers_recipe_is_named_by_nothing():
    cell = sweep_cells(make(recipe="paper"))[0]
    assert (
        cell.identity["recipe"]
        == {}
        == dataclasses.replace(cell, recipe={**cell.recipe, "lr": 6e-4}).identity["recipe"]
    )
    usual = {"optimizer": "adamw", "lr": None, "amp": "auto", "tuned_start": True}
    assert sweep_cells(make(recipe="train"))[0].identity["recipe"] == usual
    solved = {"solve": True, "epochs": 0, "readout": 4, "views": "upright", "augment": False}
    assert sweep_cells(make())[0].identity["recipe"] == {**usual, **solved}


def test_a_cell_of_the_first_release_is_trained_as_it_was():
    first = {"epochs": 5, "optimizer": "sgd", "lr": 6e-4, "amp": "off", "augment": True}
    cell = dataclasses.replace(sweep_cells(make())[0], recipe=first)
    assert cell.training_recipe == RECIPES["paper"].changed(epochs=5, lr=6e-4)


def test_a_cell_survives_json():
    cell = sweep_cells(make())[1]
    assert Cell.from_json({**cell.to_json(), "something": "new"}) == cell
