# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from monai_ept.benchmark.report import CellResult, build_report, read_folder
from monai_ept.benchmark.report.choose import choose
from monai_ept.benchmark.report.results import with_own_labels
from monai_ept.benchmark.report.table import Column, build_table
from monai_ept.metrics import lower_is_better
from monai_ept.reporting.statistics import holm
from tests.benchmark.report_folder import TABLE, made_up, write_cell, write_sweep

BASE = {"name": "small", "sources": ["synthetic_derm"], "shots": [5], "samplings": 4, "methods": ["linear", "bias"]}


def table_of(folder, **more):
    return build_report(read_folder(folder), figures=False, **more).table


def values(report_cells, label, source, shots, metric="balanced_accuracy"):
    """Scores in order of sampling, straight from the files' content."""
    found = [c for c in report_cells if (c.label, c.source, c.shots) == (label, source, shots)]
    return [cell.metric(metric) for cell in sorted(found, key=lambda cell: int(cell.sampling))]


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table") / "sweep"
    write_sweep(folder, TABLE)
    return build_report(read_folder(folder), figures=False)


def test_a_single_column_is_scipys_paired_t_test(full):
    table = full.table
    column = Column("embedded", "chest", "5")
    ours, base = (np.asarray(values(table.cells, label, "chest", "5")) for label in ("EPT-100", "linear"))
    score = table.scores["EPT-100", column]
    expected = stats.ttest_rel(ours, base)
    low, high = stats.t.interval(0.95, 4, ours.mean(), stats.sem(ours))
    assert score.score[:3] == pytest.approx((ours.mean(), low, high))
    assert (score.difference.mean, score.difference.p) == pytest.approx(((ours - base).mean(), expected.pvalue))
    assert (score.difference.low, score.difference.high) == pytest.approx(tuple(expected.confidence_interval(0.95)))
    assert score.difference.number == 5 and len(score.cells) == 5


def test_means_over_data_are_stratified_and_shots_are_averaged_within_a_sampling(full):
    table = full.table
    gains = {
        source: np.mean(
            [
                np.subtract(*(values(table.cells, label, source, shots) for label in ("LoRA", "linear")))
                for shots in ("1", "5", "10")
            ],
            axis=0,
        )
        for source in ("chest", "synthetic_derm")
    }
    expected = stats.ttest_ind(gains["chest"], -gains["synthetic_derm"], equal_var=False)
    found = table.scores["LoRA", Column("embedded", None, None)].difference
    assert found.mean == pytest.approx((gains["chest"].mean() + gains["synthetic_derm"].mean()) / 2)
    assert found.p == pytest.approx(expected.pvalue) and found.number == 10
    titles = [column.title for column in table.columns]
    assert titles[0] == "chest, 1-shot" and titles[-4:] == [
        "all data, 1-shot", "all data, 5-shot", "all data, 10-shot", "mean over all",
    ]  # fmt: skip


def test_each_family_is_corrected_by_itself_and_claims_follow_from_it(full):
    table = full.table
    for means in (False, True):
        family = [score for (_, column), score in table.scores.items() if column.is_mean == means]
        tested = [score for score in family if score.label != "linear"]
        assert len(tested) == table.families[means] == 9 * (4 if means else 6)
        assert [score.p_adjusted for score in tested] == pytest.approx(holm([s.difference.p for s in tested]))
        for score in tested:
            sign = 1 if score.difference.mean > 0 else -1
            assert score.verdict == (sign if score.p_adjusted < 0.05 else 0)
    assert {score.verdict for score in table.scores.values()} == {-1, 0, 1}
    # What is claimed in words is what is coloured.
    text = " ".join(full.reading)
    for label in table.labels:
        clear = [score for score in table.row(label) if score.verdict and not score.column.is_mean]
        assert (f"{label} is ahead of" in text or f"{label} is behind" in text) == bool(clear)


def test_methods_stand_in_order_and_the_best_of_each_column_is_marked(full):
    table = full.table
    assert table.labels[0] == "linear" and table.labels[-4:] == ["full", "damp c=4.6", "damp c=5.5", "damp c=6.4"]
    for column in table.columns:
        scores = [table.scores[label, column] for label in table.labels]
        assert [score.label for score in scores if score.best] == [max(scores, key=lambda s: s.score.mean).label]


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
    assert {cell.grid for cell in score.cells} == {"lr=0.01"} and score.score.mean == pytest.approx(0.515)


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
    kept, (choice,) = choose(read_folder(tmp_path / "s").cells, lambda source: "balanced_accuracy", lower_is_better)
    assert choice.chosen == "" and "nothing can be chosen" in choice.remark
    assert {cell.label for cell in kept} == {"linear"}


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


def test_a_metric_that_is_not_defined_is_left_out_and_said(tmp_path):
    write_sweep(
        tmp_path / "s", BASE, lambda cell: math.nan if (cell.name, cell.sampling) == ("bias", 2) else made_up(cell)
    )
    table = table_of(tmp_path / "s")
    score = table.scores["bias", Column("embedded", "synthetic_derm", "5")]
    assert score.score.number == 3 and score.difference.number == 3 and not score.best
    assert any("1 finished cell without balanced_accuracy left out" in note for note in table.notes)
    assert table_of(tmp_path / "s", metric="auc").notes == []


def test_failed_and_missing_cells_leave_a_report_of_the_rest(tmp_path):
    def score(cell):
        return None if (cell.name, cell.sampling) == ("bias", 0) else made_up(cell)

    write_sweep(tmp_path / "s", BASE, score, missing=lambda cell: (cell.name, cell.sampling) == ("linear", 3))
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    assert [len(cells) for cells in (report.sweep.finished, report.sweep.failed, report.sweep.missing)] == [6, 1, 1]
    assert report.reading[0].startswith("6 of 8 cells are finished, 1 failed and 1 is missing")
    # Pairs are what both have: samplings 1 and 2.
    assert report.table.scores["bias", report.table.columns[0]].difference.number == 2


def test_one_sampling_has_no_interval_and_no_claim(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "samplings": 1})
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    score = report.table.scores["bias", report.table.columns[0]]
    assert all(map(math.isnan, (score.score.low, score.difference.p, score.p_adjusted))) and score.verdict == 0
    assert "No test is possible with 1 seed" in " ".join(report.reading)


def test_seeds_are_averaged_within_their_sampling(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "samplings": 3, "seeds": 4})
    table = table_of(tmp_path / "s")
    score = table.scores["bias", table.columns[0]]
    cells = [cell for cell in table.cells if cell.label == "bias"]
    means = [np.mean([c.metric("balanced_accuracy") for c in cells if c.sampling == str(n)]) for n in range(3)]
    assert (score.score.number, len(score.cells), table.unit) == (3, 12, "sampling")
    assert score.score.mean == pytest.approx(np.mean(means))
    assert score.score.half == pytest.approx(stats.t.ppf(0.975, 2) * stats.sem(means))

    write_sweep(tmp_path / "t", {**BASE, "samplings": 1, "seeds": 4})
    table = table_of(tmp_path / "t")
    assert (table.unit, table.scores["bias", table.columns[0]].score.number) == ("seed", 4)


def test_other_training_images_are_not_compared(tmp_path):
    cells = write_sweep(tmp_path / "s", BASE)
    other = next(cell for cell in cells if cell.name == "bias" and cell.sampling == 1)
    change(tmp_path / "s", other, split_hash="another")
    table = table_of(tmp_path / "s")
    score = table.scores["bias", table.columns[0]]
    assert (score.score.number, score.difference.number) == (4, 3)
    assert any("trained on other images" in note for note in table.notes)


def test_weights_that_changed_on_the_way_are_noted(tmp_path):
    cells = write_sweep(tmp_path / "s", {**BASE, "seeds": 2})
    for cell in cells:
        change(tmp_path / "s", cell, fingerprint=f"{cell.name} of random weights {cell.seed}")
    assert not table_of(tmp_path / "s").notes
    later = next(cell for cell in cells if cell.sampling == 1 and cell.name == "bias")
    change(tmp_path / "s", later, fingerprint="new")
    (note,) = table_of(tmp_path / "s").notes
    assert "different weights (fingerprints bias of random weights 0 and new of bias)" in note


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
    assert {cell.label for cell in sweep.cells} == {
        f"{method} (recipe.epochs={epochs})" for method in ("linear", "bias") for epochs in (3, 20)
    }


def test_a_run_that_failed_early_does_not_change_its_methods_name():
    about = {"source": "derm", "backbone": "vit", "method": "lora", "shots": 5, "settings": {"lr": "0.1", "rank": "4"}}
    finished = [CellResult({**about, "id": str(n), "sampling": n}, {"status": "finished"}) for n in range(2)]
    failed = CellResult({**about, "id": "2", "sampling": 2, "settings": {}}, {"status": "failed"})
    assert [cell.label for cell in with_own_labels([*finished, failed])] == ["lora"] * 3
    other = CellResult({**about, "id": "3", "settings": {"lr": "0.1", "rank": "8"}}, {"status": "finished"})
    labels = [cell.label for cell in with_own_labels([*finished, failed, other])]
    assert labels[0] == labels[1] == "lora (settings.rank=4)" and labels[3] == "lora (settings.rank=8)"


def test_methods_that_score_the_same_are_named(tmp_path):
    content = {**BASE, "methods": ["linear", "ept", {"method": "ept", "label": "frozen", "frozen": True}]}
    write_sweep(tmp_path / "s", content, lambda cell: 0.4 + cell.sampling / 100 + 0.05 * (cell.name == "ept"))
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    assert "ept and frozen score the same in all 4 cells that both have." in report.reading
    # The same difference four times is no test of anything.
    assert math.isnan(report.table.scores["ept", report.table.columns[0]].difference.p)


def test_less_is_better_where_it_is(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "samplings": 6, "methods": ["linear", "ept", "full"]})
    table = table_of(tmp_path / "s", metric="ece")
    scores = {label: table.scores[label, table.columns[0]] for label in table.labels}
    assert scores["ept"].difference.mean < 0 and scores["ept"].verdict == 1 and scores["ept"].best
    assert scores["full"].difference.mean > 0 and scores["full"].verdict == -1


def test_metrics_and_reference_are_found_or_named(full, tmp_path):
    sweep = full.sweep
    report = build_report(sweep, metric=["chest=auc", "accuracy"], figures=False)
    assert report.table.metric_of == {"synthetic_derm": "accuracy", "chest": "auc"}
    several = [replace(c, result={**c.result, "metrics": {"map": 0.1, "exact_match": 0.0}}) for c in sweep.cells]
    assert set(build_report(replace(sweep, cells=several), figures=False).table.metric_of.values()) == {"map"}
    assert build_report(sweep, reference="LoRA", figures=False).table.reference == "LoRA"
    assert build_report(sweep, reference="lora", figures=False).table.reference == "LoRA"
    for arguments, message in (
        ({"metric": "acuracy"}, "metric 'acuracy' is not known: did you mean 'accuracy'?"),
        ({"metric": "ches=auc"}, "metric is given for 'ches', which the sweep has not: did you mean 'chest'?"),
        ({"reference": "LoR"}, "reference 'LoR' has no finished cell: did you mean 'LoRA'?"),
    ):
        with pytest.raises(ValueError, match=message.replace("?", r"\?")):
            build_report(sweep, figures=False, **arguments)
    without = build_report(replace(sweep, settings={"reference": "ln"}), figures=False)
    assert without.table.reference == "" and "nothing is compared by a test" in " ".join(without.reading)


def test_nothing_finished_is_one_sentence(tmp_path):
    write_sweep(tmp_path / "s", BASE, lambda cell: None)
    with pytest.raises(ValueError, match="no finished cell of 8, 8 failed .*out of memory"):
        build_report(read_folder(tmp_path / "s"))
    with pytest.raises(FileNotFoundError, match="is not the folder of a sweep"):
        read_folder(tmp_path)


def test_a_table_of_nothing_is_empty():
    table = build_table([], {}, "linear", lower_is_better)
    assert not table.scores and not table.columns and table.reference == ""


def change(folder, cell, **content):
    """Put something else into a cell's result."""
    import json

    path = folder / "cells" / cell.id / "result.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **content}))
