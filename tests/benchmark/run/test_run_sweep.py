# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from monai_ept.__main__ import main
from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.cost_estimate import CostModel
from monai_ept.benchmark.run.local_pool import LocalPool
from monai_ept.benchmark.run.run_sweep import run_sweep
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from monai_ept.benchmark.run.sweep_progress import SweepProgress
from monai_ept.tracking import compare

SWEEP = {
    "name": "tiny",
    "sources": [{"name": "synthetic_derm", "num_per_class": 4, "num_test_per_class": 1, "img_size": 32}],
    "backbones": [{"name": "embedded", "img_size": 32}],
    "shots": [1],
    "samplings": 2,
    "recipe": {"epochs": 1, "lr": 0.01},
    "methods": [
        "linear",
        {"method": "lora", "label": "too fast", "recipe": {"lr": 1e30, "epochs": 3}},
        {"method": "damp", "c": [1.0, 4.6]},
        "ept",
    ],
}


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def done(place):
    """A sweep whose process was killed in the middle, and which then was run to its end."""
    (place / "tiny.yaml").write_text(yaml.safe_dump(SWEEP))
    out = place / "out"
    command = [sys.executable, "-m", "monai_ept", "benchmark", "run", "tiny.yaml", "--out", str(out), "--workers", "1"]
    with open(place / "log", "w") as log:
        process = subprocess.Popen([*command, "--no-track", "--threads", "1"], cwd=place, stderr=log, stdout=log)
    try:
        deadline = time.time() + 120
        while len(list(out.glob("cells/*/result.json"))) < 2:
            assert process.poll() is None and time.time() < deadline, (place / "log").read_text()
            time.sleep(0.05)
        workers = descendants(process.pid)
    finally:
        process.kill()
        process.wait()
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/predictions.npz")}
    store = f"sqlite:///{place}/mlflow.db"
    sweep = sweep_from(SWEEP)
    summary = run_sweep(sweep, out, workers=1, threads=1, tracking_uri=store, progress=True)
    return sweep, out, store, summary, before, workers


def test_a_killed_sweep_goes_on_without_repeating_what_is_done(done):
    sweep, out, _, summary, before, _ = done
    cells = sweep_cells(sweep)
    assert summary.total == len(cells) == 10 and summary.finished == 8 and summary.failed == 2
    results = len(before) + 1  # one of the first two has failed and has no predictions
    assert 2 <= results < 10 and summary.run <= 10 - results + 1
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert not list(out.rglob("*.partial"))
    again = run_sweep(sweep, out, workers=1, track=False, progress=False)
    assert again.run == 0 and (again.finished, again.failed) == (8, 2)


def test_workers_end_with_the_process_that_started_them(done):
    workers = done[5]
    assert workers
    for pid in workers:
        state = Path(f"/proc/{pid}/stat")
        assert not state.exists() or state.read_text().split()[2] == "Z"


def descendants(pid):
    found = subprocess.run(["ps", "-o", "pid=", "--ppid", str(pid)], capture_output=True, text=True).stdout.split()
    return [one for child in map(int, found) for one in (child, *descendants(child))]


def test_a_cell_has_its_files(done):
    sweep, out = done[0], done[1]
    for cell in sweep_cells(sweep):
        folder = SweepFolder(out).cell(cell)
        about, result = (json.loads((folder / name).read_text()) for name in ("cell.json", "result.json"))
        assert about["id"] == cell.id and about["recipe"]["epochs"] and about["methods"][0]["name"] == cell.method
        if cell.label == "too fast":
            assert result["status"] == "failed" and "NonFiniteError: the loss is" in result["error"]
            assert "\n" not in result["error"] and "Traceback" in result["details"]
            assert not (folder / "predictions.npz").exists()
            continue
        assert result["status"] == "finished" and result["error"] is None
        assert 0 <= result["metrics"]["balanced_accuracy"] <= 1 and result["val_metrics"] == {}
        assert result["num_train"] >= 7
        assert result["count"]["head"] > 0 and result["seconds"]["total"] > 0 and result["peak_memory_mb"] >= 0
        with np.load(folder / "predictions.npz") as predictions:
            assert predictions["probabilities"].shape == (7, 7) and predictions["probabilities"].dtype == np.float32
            np.testing.assert_allclose(predictions["probabilities"].sum(1), 1, atol=1e-5)
            accuracy = np.mean(predictions["probabilities"].argmax(1) == predictions["labels"])
            assert accuracy == pytest.approx(result["metrics"]["accuracy"])
            assert len(set(predictions["ids"])) == 7 and len(predictions["groups"]) == 7
    written = yaml.safe_load((out / "sweep.yaml").read_text())
    assert written["recipe"]["batch_size"] == 4 and sweep_from(written) == sweep


def test_every_cell_is_a_run_whenever_it_was_tracked(done):
    sweep, out, store, *_ = done
    import mlflow

    client = mlflow.MlflowClient(store)
    ids = [item.experiment_id for item in client.search_experiments()]
    runs = {run.data.tags["cell"]: run for run in client.search_runs(ids, "tags.sweep = 'tiny'")}
    cells = {cell.id: cell for cell in sweep_cells(sweep)}
    assert runs.keys() == cells.keys()
    for name, run in runs.items():
        result = SweepFolder(out).result(cells[name])
        assert result["run_id"] == run.info.run_id
        assert run.info.status == ("FAILED" if result["status"] == "failed" else "FINISHED")
        if run.info.status == "FINISHED":
            assert run.data.metrics["test/auc"] == pytest.approx(result["metrics"]["auc"])
            assert run.data.params["split_hash"] == result["split_hash"]
    table = compare(tags={"sweep": "tiny"}, tracking_uri=store, metric="accuracy")
    assert {(row.method, row.runs) for row in table.rows} == {
        ("linear", 2),
        ("ept", 2),
        ("damp (c=1.0)", 2),
        ("damp (c=4.6)", 2),
    }
    assert all(row.paired == 2 for row in table.rows if row.method != "linear")


def test_failed_cells_are_tried_again_when_asked_for(done):
    sweep, out, *_ = done
    failed = [cell for cell in sweep_cells(sweep) if cell.label == "too fast"]
    folder = SweepFolder(out)
    written = folder.result(failed[0])["finished"]
    time.sleep(1.1)
    summary = run_sweep(sweep, out, workers=1, threads=1, track=False, progress=False, retry_failed=True)
    assert summary.run == 2 and summary.failed == 2
    assert folder.result(failed[0])["finished"] > written


def test_a_worker_that_dies_costs_its_cell_and_no_other(tmp_path):
    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["linear", "ept"]}))
    outcomes = {}
    with LocalPool(1, threads=1, cache=tmp_path) as pool:
        killed = False
        for event in pool.run(cells, pause=0.02):
            if not killed and pool.running:
                os.kill(pool._workers[0].process.pid, signal.SIGKILL)
                killed = True
            if event is not None:
                outcomes[event[0].id] = event[1].result
    assert [outcomes[cell.id]["status"] for cell in cells] == ["failed", "finished"]
    assert "ended by SIGKILL" in outcomes[cells[0].id]["error"]


def test_a_folder_belongs_to_one_sweep_and_one_process(done, tmp_path):
    from monai_ept.tracking.process_lock import ProcessLock

    sweep, out = done[0], done[1]
    with pytest.raises(ValueError, match="holds sweep 'tiny', not 'other'"):
        run_sweep(sweep_from({**SWEEP, "name": "other"}), out, track=False, progress=False)
    with ProcessLock(out / ".lock"), pytest.raises(ValueError, match="another process is running the sweep"):
        run_sweep(sweep, out, track=False, progress=False)


def test_changed_defaults_are_noticed(tmp_path):
    (cell,) = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["ept"]}))
    folder = SweepFolder(tmp_path)
    folder.describe(cell)
    folder.describe(cell)
    path = folder.cell(cell) / "cell.json"
    about = json.loads(path.read_text())
    about["methods"][0]["prompt_length"] = 50
    about["methods"][0]["gone"] = 1  # a setting that there is no more says nothing
    path.write_text(json.dumps(about))
    with pytest.raises(ValueError, match="prompt_length=50, and that default is 100 now"):
        folder.describe(cell)


def test_numbers_that_are_none_become_null(tmp_path):
    (cell,) = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["ept"]}))
    folder = SweepFolder(tmp_path)
    folder.describe(cell)
    folder.write(cell, {"status": "finished", "metrics": {"auc": float("nan"), "map": np.float32(0.5)}}, None)
    assert folder.result(cell)["metrics"] == {"auc": None, "map": 0.5}


def test_a_dry_run_says_what_there_is_to_do(place, done, capsys):
    arguments = ["benchmark", "run", str(place / "tiny.yaml"), "--out", str(done[1]), "--dry-run", "--workers", "2"]
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert "sweep tiny: 10 cells" in text and "damp c=4.6     2 cells" in text and "10 cells are done" in text
    assert main([*arguments, "--set", "samplings=50", "methods.0=full"]) == 0
    text = capsys.readouterr().out
    assert "250 cells" in text and len(text.splitlines()) < 15
    assert main(["benchmark", "run", str(place / "none.yaml")]) == 2
    assert "does not exist" in capsys.readouterr().err


def test_the_estimate_learns_from_what_cells_have_taken():
    cells = sweep_cells(sweep_from({**SWEEP, "shots": [1, 2], "methods": ["linear", "ept", "full"]}))
    cost = CostModel(cells)
    assert cost.left(cells) == 0  # nothing is known
    cost.prepare()
    linear, ept, full = (cost.seconds(cell) for cell in cells[:3])
    assert linear < ept < full and cost.disk() > 0
    cost.measured(cells[1], 10 * ept)
    assert cost.seconds(cells[1]) == pytest.approx(10 * ept)
    assert cost.seconds(cells[2]) == pytest.approx(10 * full)  # nothing else is known of this machine
    cost.measured(cells[2], full)
    assert cost.seconds(cells[2]) == pytest.approx(full)


def test_progress_is_lines_in_a_file_and_one_line_on_a_terminal():
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    cells = sweep_cells(sweep_from({**SWEEP, "samplings": 1, "methods": ["linear", "ept", "full"]}))

    class Cost:
        slots = 1

        def left(self, cells):
            return 60.0 * len(cells)

    good = {"status": "finished", "error": None, "metrics": {"balanced_accuracy": 0.5}, "seconds": {"total": 3.0}}
    bad = {"status": "failed", "error": "ValueError: no.", "metrics": {}, "seconds": {"total": 1.0}}
    for stream in (io.StringIO(), Terminal()):
        view = SweepProgress(3, 0, Cost(), Cost(), stream)
        view.finished(cells[0], good, cells[2:], [(cells[1], time.time())])
        view.finished(cells[1], bad, [], [(cells[2], time.time())])
        view.close()
        text = stream.getvalue()
        assert "1/3 done, 2 left, about 0:02:00" in text
        assert "failed: " in text and "ValueError: no." in text and "1/3 done, 1 failed, 1 left" in text
        assert ("\r" in text) == stream.isatty()
        assert ("balanced_accuracy 0.500" in text) != stream.isatty()
