# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest
import yaml

from monai_ept.benchmark.report import build_report, read_folder, read_folders
from tests.benchmark.report.report_folder import BASE, made_up, write_cell, write_sweep


def test_what_the_sweep_file_no_longer_asks_for_is_left_out(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "recipe": {"epochs": 3}})
    for cell in write_sweep(tmp_path / "t", BASE, missing=lambda cell: True):
        write_cell(tmp_path / "s", cell, made_up(cell))
    (tmp_path / "s" / "sweep.yaml").write_text((tmp_path / "t" / "sweep.yaml").read_text())
    sweep = read_folder(tmp_path / "s")
    assert len(sweep.finished) == 8 and sweep.notes == ["8 cells left out that the sweep file no longer asks for."]

    # Without the file nothing says which counts: different settings are different methods.
    (tmp_path / "s" / "sweep.yaml").unlink()
    sweep = read_folder(tmp_path / "s")
    assert set(sweep.cells["label"]) == {
        f"{method} (recipe.epochs={epochs})" for method in ("linear", "bias") for epochs in (3, 20)
    }


def test_what_cannot_be_read_is_noted_and_another_folder_refused(tmp_path):
    first, second, *_ = write_sweep(tmp_path / "s", BASE)
    (tmp_path / "s" / "cells" / first.id / "result.json").write_text('{"status": "fini')
    (tmp_path / "s" / "cells" / second.id / "cell.json").write_text("")
    sweep = read_folder(tmp_path / "s")
    assert sweep.cells.set_index("id").loc[[first.id, second.id], "status"].tolist() == ["missing", "missing"]
    assert len(sweep.finished) == 6 and len(sweep.notes) == 2
    assert any(f"{first.id}/result.json cannot be read" in note for note in sweep.notes)
    with pytest.raises(FileNotFoundError, match="is not the folder of a sweep"):
        read_folder(tmp_path)


def test_a_sweep_of_the_first_release_is_read_with_its_plan(tmp_path):
    """Its file names no recipe, as there was only the paper's."""
    recipe = {"name": "paper", "lr": 6e-4}
    write_sweep(tmp_path / "s", {**BASE, "recipe": recipe}, missing=lambda cell: cell.sampling == 3)
    path = tmp_path / "s" / "sweep.yaml"
    content = yaml.safe_load(path.read_text())
    for one in (content["recipe"], *(method["recipe"] for method in content["methods"])):
        del one["name"], one["tuned_start"]
    path.write_text(yaml.safe_dump(content))
    sweep = read_folder(tmp_path / "s")
    assert (len(sweep.finished), len(sweep.missing), sweep.notes) == (6, 2, [])


def test_several_sweeps_are_read_as_one(tmp_path):
    """A cell that both have counts once, and a link leads to the folder that its cell is in."""
    write_sweep(tmp_path / "solved", BASE, missing=lambda cell: cell.name == "linear" and cell.sampling == 0)
    tuned = {**BASE, "name": "tuned", "samplings": 2, "methods": ["linear", {"method": "full", "label": "Full"}]}
    write_sweep(tmp_path / "more" / "tuned", {**tuned, "reference": "Full"})
    sweep = read_folders([tmp_path / "solved", tmp_path / "more" / "tuned"])
    assert sweep.name == "small + tuned" and sweep.settings["reference"] == "linear"
    assert sweep.finished.groupby("label").size().to_dict() == {"linear": 4, "bias": 4, "Full": 2}
    assert len(sweep.cells) == len(sweep.finished) and sweep.same_test == {"synthetic_derm": True}
    assert all((tmp_path / link / "result.json").is_file() for link in sweep.cells["link"])
    assert {link.split("/")[0] for link in sweep.cells["link"]} == {"solved", "more"}
    report = build_report(sweep)
    scores = {score.label: score for score in report.table.scores.values() if not score.column.is_mean}
    assert (scores["Full"].score.number, scores["Full"].difference.number) == (2, 2)  # beside the same samplings
    assert (scores["bias"].difference.number, report.table.reference) == (4, "linear")


def test_different_settings_under_one_label_stay_apart_over_sweeps(tmp_path):
    write_sweep(tmp_path / "a", BASE)
    write_sweep(tmp_path / "b", {**BASE, "name": "b", "methods": ["linear"], "recipe": {"epochs": 3}})
    labels = set(read_folders([tmp_path / "a", tmp_path / "b"]).cells["label"])
    assert labels == {"bias", "linear (recipe.epochs=20)", "linear (recipe.epochs=3)"}
