# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from monai_ept.benchmark.report import build_report, read_folder, save_report
from monai_ept.benchmark.report.results import frame_of
from monai_ept.benchmark.report.scores import Column, score_cells
from monai_ept.reporting.statistics import holm
from tests.benchmark.report.report_folder import BASE, TABLE, change, made_up, write_sweep


def table_of(folder, **more):
    return build_report(read_folder(folder), figures=False, **more).table


def values(report_cells, label, source, shots, metric="balanced_accuracy"):
    """Scores in order of sampling, straight from the files' content."""
    found = report_cells[(report_cells[["label", "source", "shots"]] == [label, source, shots]).all(axis=1)]
    return found.sort_values("sampling", key=lambda column: column.astype(int))[f"test/{metric}"].tolist()


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
    assert score.score.interval == pytest.approx((ours.mean(), low, high))
    assert (score.difference.mean, score.difference.p) == pytest.approx(((ours - base).mean(), expected.pvalue))
    assert score.difference.interval[1:] == pytest.approx(tuple(expected.confidence_interval(0.95)))
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


@pytest.mark.parametrize("samplings", [1, 2, 4])
def test_fewer_than_five_samplings_have_values_and_neither_interval_nor_test_nor_claim(samplings, tmp_path):
    """Two samplings that happen to gain the same would be ± .000 and p = .01."""
    gain = {"linear": 0.0, "bias": 0.1, "full": 0.1001}
    methods = ["linear", "bias", {"method": "full", "label": "full"}]
    write_sweep(
        tmp_path / "s",
        {**BASE, "shots": [1, 5], "samplings": samplings, "methods": methods},
        lambda cell: 0.4 + cell.sampling / 50 + gain[cell.name] + cell.sampling * gain[cell.name] / 1000,
    )
    report = build_report(read_folder(tmp_path / "s"), figures=False)
    table = report.table
    for score in table.scores.values():  # of means over shots too
        assert not score.score.interval.known and not score.difference.interval.known
        assert math.isnan(score.difference.p) and math.isnan(score.p_adjusted)
        assert score.verdict == 0 and not score.best
    assert table.scores["bias", table.columns[0]].few == pytest.approx(
        [0.5 + n / 50 + n * 0.0001 for n in range(samplings)] if samplings > 1 else ()
    )
    assert table.scores["full", table.columns[0]].difference.mean == pytest.approx(0.1001, abs=0.001)
    unit = "1 seed" if samplings == 1 else f"{samplings} samplings"
    assert report.reading == [
        f"No test is possible with {unit}: it takes at least 5 to know how much results vary. Whether methods differ "
        "cannot be told from these numbers."
    ]
    paths = save_report(report, tmp_path / "report")
    text = paths["markdown"].read_text().partition("## What it costs")[0]
    assert "±" not in text and "p 1" not in text and "**" not in text
    assert ("of .500 · .520" in text) == (samplings > 1)


def test_a_method_with_fewer_samplings_than_the_others_has_its_values(tmp_path):
    methods = ["linear", "bias", {"method": "full", "label": "full", "samplings": 4}]
    write_sweep(tmp_path / "s", {**BASE, "samplings": 5, "methods": methods})
    scores = table_of(tmp_path / "s").scores
    few, enough = (next(found for (label, _), found in scores.items() if label == name) for name in ("full", "bias"))
    assert len(few.few) == 4 and math.isnan(few.p_adjusted) and not few.score.interval.known
    assert not enough.few and enough.p_adjusted == enough.difference.p  # the only test there is


def test_seeds_are_averaged_within_their_sampling(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "samplings": 5, "seeds": 4})
    table = table_of(tmp_path / "s")
    score = table.scores["bias", table.columns[0]]
    means = table.cells[table.cells["label"] == "bias"].groupby("sampling")["test/balanced_accuracy"].mean()
    assert (score.score.number, len(score.cells), table.unit) == (5, 20, "sampling")
    assert score.score.mean == pytest.approx(np.mean(means))
    assert score.score.interval.half == pytest.approx(stats.t.ppf(0.975, 4) * stats.sem(means))

    write_sweep(tmp_path / "t", {**BASE, "samplings": 1, "seeds": 4})  # repetitions, and too few for an interval
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


def test_less_is_better_where_it_is(tmp_path):
    write_sweep(tmp_path / "s", {**BASE, "samplings": 6, "methods": ["linear", "ept", "full"]})
    table = table_of(tmp_path / "s", metric="ece")
    scores = {label: table.scores[label, table.columns[0]] for label in table.labels}
    assert scores["ept"].difference.mean < 0 and scores["ept"].verdict == 1 and scores["ept"].best
    assert scores["full"].difference.mean > 0 and scores["full"].verdict == -1


def test_a_table_of_nothing_is_empty():
    table = score_cells(frame_of([]), {}, "linear")
    assert not table.scores and not table.columns and table.reference == ""
