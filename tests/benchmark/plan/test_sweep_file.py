# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import expand, read_sweep, sweep_from
from monai_ept.engines import RECIPES
from tests.benchmark.plan.scenes import make


def test_defaults_are_written_out():
    sweep = make()
    assert sweep.samplings == (0, 1) and sweep.seeds == (0,) and sweep.recipe == RECIPES["default"].to_dict()
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
        recipe={"name": "train", "epochs": 3},
        methods=[
            {"method": "damp", "c": [4.6, 5.5]},
            {"method": "lora", "grid": {"lr": [1e-3, 1e-2]}, "recipe": {"optimizer": "adamw"}},
            {"method": ["ept", {"name": "lora", "rank": 2}], "label": "both", "group": "pairs", "factors": {"x": 1}},
        ],
    )
    assert "recipes" not in sweep.to_yaml()
    several = make(
        recipes=["train", {"name": "solve", "label": "solved", "views": "turned"}],
        methods=[
            "linear",
            {"method": "ept", "recipe": {"amp": "off"}, "samplings": 1},
            {"method": "ln", "recipe": "paper"},
        ],
    )
    for one in (sweep, several):
        again = sweep_from(yaml.safe_load(one.to_yaml()))
        assert again == one
        assert [cell.to_json() for cell in sweep_cells(again)] == [cell.to_json() for cell in sweep_cells(one)]


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
        ({"recipes": []}, "recipes is empty"),
        ({"recipes": [3]}, "recipes must be names or mappings of settings, got 3"),
        ({"recipes": ["paper", {"name": "paper", "epochs": 3}]}, "recipes has 'paper' twice"),
        ({"recipes": ["paper", {"name": "paper", "label": "x"}]}, "twice: leave one out"),
        ({"recipes": ["papers"]}, "did you mean 'paper'"),
        ({"recipes": ["paper", "solve"], "methods": [{"method": "ept", "recipe": {"epochs": 0}}]}, "epochs must be"),
        ({"methods": [{"method": "ept", "samplings": 3}]}, "samplings of method 'ept' has 2, which the sweep has not"),
        ({"methods": [{"method": "ept", "shots": [2]}]}, "shots of method 'ept' has 2, which the sweep has not"),
        ({"recipe": {"name": "train", "lr": "fast"}}, "lr must be a number"),
        ({"recipe": "papers"}, "recipe 'papers' is not known: did you mean 'paper'"),
        ({"recipe": {"select": "val"}, "val": "shots"}, "a sweep takes the last epoch"),
        ({"methods": [{"method": "ept", "recipe": {"name": "train", "epochs": 0}}]}, "epochs must be a whole number"),
        ({"sources": ["isic"]}, "did you mean 'isic2018'"),
        ({"sources": [{"name": "isic2018", "by": "patient"}]}, "by 'patient' is not known"),
        ({"backbones": [{"name": "embedded", "weights": 1}]}, "has no 'weights'"),
        ({"backbones": [{"pretrained": True}]}, "has no name"),
        ({"shots": []}, "shots is empty"),
        ({"shots": [0]}, "at least 1"),
        ({"samplings": [1, 1]}, "samplings names 1 twice"),
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
    assert read_sweep(path, ["recipe.lr=6e-3"]).recipe == {**RECIPES["paper"].to_dict(), "lr": 6e-3}
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


def test_a_sweep_that_the_first_release_began_goes_on_with_its_recipe(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text("sources: [synthetic_derm]\nmethods: [linear]\nrecipe: {optimizer: adamw}\n")
    assert read_sweep(path, begun_in=tmp_path / "new").recipe["lr"] is None
    begun = tmp_path / "begun"
    begun.mkdir()
    (begun / "sweep.yaml").write_text("name: mine\nrecipe: {epochs: 20, optimizer: adamw, lr: 0.0006}\n")
    with pytest.warns(UserWarning, match="write 'name: paper' into the recipe"):
        sweep = read_sweep(path, begun_in=begun)
    assert sweep.recipe == {**RECIPES["paper"].to_dict(), "optimizer": "adamw", "lr": 6e-4}
    (begun / "sweep.yaml").write_text(sweep.to_yaml())
    assert read_sweep(path, begun_in=begun).recipe["name"] == "default"


SWEEPS = sorted((Path(__file__).parents[3] / "sweeps").glob("*.yaml"))


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
