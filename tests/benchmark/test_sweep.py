# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from monai_ept.benchmark.plan.cell import PAPER, Cell
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import expand, read_sweep, sweep_from

SMALL = {
    "name": "small",
    "sources": ["synthetic_derm"],
    "shots": [1, 5],
    "samplings": 2,
    "methods": ["linear", {"method": "ept", "prompt_length": 10}],
}


def make(**changes):
    return sweep_from({**SMALL, **changes})


def test_defaults_are_written_out():
    sweep = make()
    assert sweep.samplings == (0, 1) and sweep.seeds == (0,) and sweep.recipe == PAPER
    assert sweep.backbones == ({"pretrained": False, "img_size": None, "name": "embedded"},)
    assert sweep.sources[0] == {
        "name": "synthetic_derm",
        "label": "synthetic_derm",
        "by": "group",
        "test_fraction": None,
        "sampling": "fresh",
    }


def test_what_is_written_down_is_the_same_sweep():
    sweep = make(
        val="shots",
        recipe={"epochs": 3},
        methods=[
            {"method": "damp", "c": [4.6, 5.5]},
            {"method": "lora", "grid": {"lr": [1e-3, 1e-2]}, "recipe": {"optimizer": "adamw"}},
            {"method": ["ept", {"name": "lora", "rank": 2}], "label": "both", "group": "pairs", "factors": {"x": 1}},
        ],
    )
    again = sweep_from(yaml.safe_load(sweep.to_yaml()))
    assert again == sweep
    assert [cell.id for cell in sweep_cells(again)] == [cell.id for cell in sweep_cells(sweep)]


def test_cells_are_all_combinations_sampling_after_sampling():
    cells = sweep_cells(make(seeds=2, backbones=["embedded", {"name": "vit_tiny_patch16_224"}]))
    assert len(cells) == 2 * 2 * 2 * 2 * 2 and len({cell.id for cell in cells}) == len(cells)
    order = [(cell.seed, cell.sampling) for cell in cells]
    assert order == sorted(order)
    assert cells[0].label == "linear" and cells[1].label == "ept prompt_length=10"


def test_ids_are_what_they_have_always_been():
    # A change here makes everybody's finished cells be run again.
    cells = sweep_cells(
        make(
            shots=[5],
            samplings=[3],
            val="shots",
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
        {"recipe": {**cell.recipe, "lr": 6e-4}},
        {"source": "x"},
    ):
        assert dataclasses.replace(cell, **change).id == cell.id, change
    different = [
        {"shots": 2},
        {"sampling": 9},
        {"seed": 9},
        {"frozen": True},
        {"val": "shots"},
        {"pretrained": "weights"},
        {"img_size": 64},
        {"method_settings": {"prompt_length": 11}},
        {"recipe": {**cell.recipe, "lr": 6e-3}},
        {"split": {**cell.split, "by": "image"}},
        {"source_settings": {"name": "synthetic_derm", "seed": 1}},
    ]
    assert len({dataclasses.replace(cell, **change).id for change in different} | {cell.id}) == len(different) + 1


def test_a_cell_survives_json():
    cell = sweep_cells(make())[1]
    assert Cell.from_json({**cell.to_json(), "something": "new"}) == cell


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


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": ["linear"]}, "'method' is no part of a sweep: did you mean 'methods'?"),
        ({"methods": []}, "needs 'methods'"),
        ({"methods": ["ept", "ept"]}, "'ept' and 'ept' of sweep 'small' are the same"),
        ({"methods": ["etp"]}, "'etp' is not registered"),
        ({"methods": [{"method": "ept", "prompt_lenght": 3}]}, "did you mean 'prompt_length'"),
        ({"methods": [{"method": "ept", "grid": {"lr": [1e-3]}}]}, "set val: shots"),
        ({"methods": [{"method": "ept", "grid": {"lr": 1e-3}}], "val": "shots"}, "lr must be a list of values"),
        ({"methods": [{"method": "ept", "frozen": "yes"}]}, "frozen must be true or false"),
        ({"methods": [{"method": ["ept", "lora"], "rank": 3}]}, "put them inside the list"),
        ({"methods": [{"label": "x"}]}, "must be a name, or a mapping with 'method'"),
        ({"recipe": {"epoch": 3}}, "did you mean 'epochs'"),
        ({"recipe": {"lr": "fast"}}, "lr must be a number"),
        ({"recipe": "papers"}, "recipe must be 'paper' or a mapping"),
        ({"sources": ["isic"]}, "did you mean 'isic2018'"),
        ({"sources": [{"name": "isic2018", "by": "patient"}]}, "by 'patient' is not known"),
        ({"backbones": [{"name": "embedded", "weights": 1}]}, "has no 'weights'"),
        ({"backbones": [{"pretrained": True}]}, "has no name"),
        ({"shots": []}, "shots is empty"),
        ({"shots": [0]}, "at least 1"),
        ({"samplings": [1, 1]}, "names a seed twice"),
        ({"val": "some"}, "'some' is not known"),
        ({"name": "a/b"}, "becomes a folder"),
    ],
)
def test_mistakes_are_one_sentence(changes, message):
    with pytest.raises(ValueError) as error:
        sweep_cells(make(**changes))
    assert message in str(error.value) and "\n" not in str(error.value)


def test_files_and_overrides(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("sources: [synthetic_derm]\nmethods: [linear, ept]\nrecipe: {lr: 1e-3}\n")
    sweep = read_sweep(path, ["recipe.epochs=2", "shots=[3]", "methods.1=lora", "sources.0={name: synthetic_derm}"])
    assert sweep.name == "mine" and sweep.recipe["lr"] == 1e-3 and sweep.recipe["epochs"] == 2
    assert sweep.shots == (3,) and [entry["method"] for entry in sweep.methods] == ["linear", "lora"]
    path.write_text("sources: [synthetic_derm]\nmethods: [linear]\nrecipe: paper\n")
    assert read_sweep(path, ["recipe.lr=6e-3"]).recipe == {**PAPER, "lr": 6e-3}
    with pytest.raises(ValueError, match="KEY=VALUE"):
        read_sweep(path, ["recipe.epochs"])
    with pytest.raises(ValueError, match="nothing at"):
        read_sweep(path, ["methods.7=ept"])
    with pytest.raises(FileNotFoundError, match="does not exist"):
        read_sweep(tmp_path / "other.yaml")
    path.write_text("a: [")
    with pytest.raises(ValueError, match="is no YAML"):
        read_sweep(path)


def test_variables_are_expanded_when_they_are_used(monkeypatch):
    monkeypatch.setenv("SOME_DATA", "/data")
    assert expand({"dir": "${SOME_DATA}/a", "n": 3, "l": ["$SOME_DATA"]}) == {"dir": "/data/a", "n": 3, "l": ["/data"]}
    monkeypatch.delenv("SOME_DATA")
    with pytest.raises(ValueError, match="environment variable SOME_DATA"):
        expand("${SOME_DATA}/a")


SWEEPS = sorted((Path(__file__).parents[2] / "sweeps").glob("*.yaml"))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.stem)
def test_the_sweeps_that_come_along(path):
    sweep = read_sweep(path)
    cells = sweep_cells(sweep)
    comment = path.read_text().split("\nname:")[0]
    assert sweep.name == path.stem and sweep.reference in {cell.label for cell in cells}
    assert f"Costs: {len(cells):,} cells" in comment
    assert all(line.startswith("#") and len(line) <= 120 for line in comment.splitlines())
    for label in {cell.label for cell in cells}:
        rows = [cell for cell in cells if cell.label == label]
        assert len({cell.name for cell in rows}) == 1  # a label is one row of a table
        assert len({(cell.frozen, str(cell.factors)) for cell in rows}) == 1
