# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.benchmark.report import build_report, read_folder, read_tracked, save_report
from monai_ept.benchmark.report.content import head_of

REAL = {
    "name": "real",
    "sources": [{"name": "synthetic_derm", "num_per_class": 4, "num_test_per_class": 1, "img_size": 32}],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 1,
    "val": "shots",
    "recipe": {"name": "train", "epochs": 1},
    "methods": [
        "linear",
        {"method": "lora", "label": "LoRA", "grid": {"lr": [0.0006, 0.01]}},
        {"method": "damp", "c": [4.6]},
        {"method": "ept", "label": "EPT"},
        {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}},
    ],
}
"""Cells of a second each."""


def test_real_cells_are_reported_from_their_folder_and_the_same_from_mlflow(tmp_path, monkeypatch):
    """Trained, written and recorded by what the runner does all that with, only without its processes."""
    from monai_ept.benchmark.plan.expand import sweep_cells
    from monai_ept.benchmark.plan.sweep_file import sweep_from
    from monai_ept.benchmark.run.mlflow_record import Recorder
    from monai_ept.benchmark.run.sweep_folder import SweepFolder
    from monai_ept.benchmark.run.train_cell import work_on
    from monai_ept.benchmark.run.worker_cache import Workbench

    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    sweep = sweep_from(REAL)
    folder, bench = SweepFolder(tmp_path / "s"), Workbench(tmp_path / "images", "cpu")
    folder.begin(sweep)
    recorder = Recorder(folder, sweep.name)
    for cell in sweep_cells(sweep):
        folder.describe(cell)
        outcome = work_on(cell, bench)
        folder.write(cell, outcome.result, outcome.predictions)
        recorder.put(cell)
    recorder.close()

    here, there = read_folder(tmp_path / "s"), read_tracked("real")
    assert (len(here.finished), len(here.failed), here.same_test) == (5, 1, {"synthetic_derm": True})
    assert set(here.cells["id"]) == set(there.cells["id"])
    assert "loss is" in here.failed["error"].item() == there.failed["error"].item()
    first, second = (build_report(one, figures=False) for one in (here, there))
    assert head_of(first) == head_of(second) and "recipe train: 1 epochs of AdamW" in head_of(first)[1]
    assert (
        set(first.table.labels) == {"linear", "LoRA", "damp c=4.6", "EPT"} and second.table.labels == first.table.labels
    )
    assert {found.chosen for found in first.choices} <= {"lr=0.0006", "lr=0.01"}
    assert [(one.chosen, one.scores) for one in second.choices] == [(one.chosen, one.scores) for one in first.choices]
    for key, found in first.table.scores.items():
        assert second.table.scores[key].score.interval == pytest.approx(found.score.interval, nan_ok=True)
        assert second.table.scores[key].difference.p == pytest.approx(found.difference.p, nan_ok=True)
    exact = ["backbone", "label", "trained_least", "trained_most", "head_least", "head_most", "cells"]
    assert first.costs[exact].to_numpy().tolist() == second.costs[exact].to_numpy().tolist()
    assert first.costs["train"].tolist() == pytest.approx(second.costs["train"].tolist())
    assert set(first.costs["head_most"]) == {7 * (bench.backbone(cell, 3).num_features + 1)}
    assert (first.costs["memory"] >= 0).all()
    factors = [dict(zip(one.cells["id"], one.cells["factors"], strict=True)) for one in (here, there)]
    assert factors[0] == factors[1] and any(factors[0].values())
    text = save_report(first, tmp_path / "out", cells=tmp_path / "s")["page"].read_text()
    assert all(value in text for name in ("fingerprint", "split_hash") for value in here.finished[name])
    with pytest.raises(ValueError, match="there is no run with the tag sweep=pge"):
        read_tracked("pge")
