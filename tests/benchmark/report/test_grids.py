# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import pytest

from monai_ept.benchmark.report import build_report, read_folder
from monai_ept.benchmark.report.grids import choose
from monai_ept.benchmark.report.scores import Column
from tests.benchmark.report.report_folder import BASE, change, write_sweep


def test_grids_are_chosen_on_validation_images_whatever_the_test_says(tmp_path):
    content = {**BASE, "val": "shots", "methods": ["linear", {"method": "lora", "grid": {"lr": [0.0006, 0.01, 0.1]}}]}

    def score(cell):  # the largest rate is by far the best on test images
        return 0.9 if cell.grid.get("lr") == 0.1 else 0.5 + cell.sampling / 100

    cells = write_sweep(tmp_path / "s", content, score)
    for cell in cells:
        if cell.grid:
            val = {0.0006: 0.4, 0.01: 0.6, 0.1: 0.5}[cell.grid["lr"]]
            change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": val + cell.sampling / 50})
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    (choice,) = report.choices
    assert (choice.chosen, choice.repeats, choice.remark) == ("lr=0.01", 4, "")
    assert {value: found.mean for value, found in choice.scores.items()} == pytest.approx(
        {"lr=0.0006": 0.43, "lr=0.01": 0.63, "lr=0.1": 0.53}
    )
    score = report.table.scores["lora", Column("embedded", "synthetic_derm", "5")]
    assert set(score.cells["grid"]) == {"lr=0.01"} and score.score.mean == pytest.approx(0.515)


def test_the_smaller_of_values_that_are_equal_but_for_rounding_is_chosen(tmp_path):
    content = {**BASE, "val": "shots", "methods": ["linear", {"method": "lora", "grid": {"lr": [0.001, 0.01]}}]}
    right = {0.001: [0, 8, 0, 0], 0.01: [1, 7, 0, 0]}  # of 35: as many, and a mean that is larger by rounding
    scores = {lr: [number / 35 for number in numbers] for lr, numbers in right.items()}
    for cell in write_sweep(tmp_path / "s", content):
        if cell.grid:
            change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": scores[cell.grid["lr"]][cell.sampling]})
    (choice,) = build_report(read_folder(tmp_path / "s"), figures=False).choices
    assert (choice.chosen, choice.remark) == ("lr=0.001", "as good on validation: lr=0.01")


def test_a_choice_from_an_unfinished_grid_is_fair_and_called_provisional(tmp_path):
    content = {**BASE, "val": "shots", "methods": ["linear", {"method": "lora", "grid": {"lr": [0.001, 0.01]}}]}
    cells = write_sweep(tmp_path / "s", content, missing=lambda c: c.grid.get("lr") == 0.01 and c.sampling > 1)
    for cell in cells:
        if cell.grid and (tmp_path / "s" / "cells" / cell.id).exists():
            # Later samplings are easier: over all it has, the smaller rate would look better.
            val = {0.001: 0.4, 0.01: 0.5}[cell.grid["lr"]] + (0.3 if cell.sampling > 1 else 0.0)
            change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": val})
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    (choice,) = report.choices
    assert choice.chosen == "lr=0.01" and choice.repeats == 2
    assert choice.remark == "provisional: 2 of 4 repetitions have all values"
    assert "So is 1 choice from grids" in report.reading[0]

    for cell in cells:  # no validation score at all
        if cell.grid and (tmp_path / "s" / "cells" / cell.id).exists():
            change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": None})
    kept, (choice,) = choose(read_folder(tmp_path / "s").cells, {"synthetic_derm": "balanced_accuracy"})
    assert choice.chosen == "" and "nothing can be chosen" in choice.remark
    assert set(kept["label"]) == {"linear"}


def test_a_value_that_fails_is_no_candidate_and_is_named(tmp_path):
    content = {**BASE, "val": "shots", "methods": ["linear", {"method": "lora", "grid": {"lr": [0.001, 0.01, 9.0]}}]}

    def score(cell):
        rate = cell.grid.get("lr")
        return None if rate == 9.0 or (rate == 0.01 and cell.sampling == 3) else 0.5 + cell.sampling / 100

    for cell in write_sweep(tmp_path / "s", content, score):
        if cell.grid and score(cell) is not None:
            change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": 0.4 + 10 * cell.grid["lr"]})
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    (choice,) = report.choices
    assert (choice.chosen, choice.repeats) == ("lr=0.01", 3) and math.isnan(choice.scores["lr=9"].mean)
    assert choice.remark == "lr=0.01 failed 1 of 4 times; lr=9 failed 4 of 4 times"
    assert report.table.scores["lora", report.table.columns[0]].score.number == 3


def test_equal_values_of_a_grid_are_decided_by_order_and_named(tmp_path):
    content = {**BASE, "val": "shots", "methods": ["linear", {"method": "lora", "grid": {"lr": [0.01, 0.001]}}]}
    for cell in write_sweep(tmp_path / "s", content):
        change(tmp_path / "s", cell, val_metrics={"balanced_accuracy": 0.5})
    (choice,) = build_report(read_folder(tmp_path / "s"), figures=False).choices
    assert choice.chosen == "lr=0.001" and choice.remark == "as good on validation: lr=0.01"
