# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import yaml

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.report import compare
from monai_ept.benchmark.run.run_sweep import run_sweep
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from monai_ept.tracking.process_lock import ProcessLock
from tests.benchmark.run.scenes import SWEEP
from tests.fresh_process import start_module


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return tmp_path_factory.mktemp("sweep")


@pytest.fixture(scope="module")
def done(place):
    """A sweep whose process was killed in the middle, and which then was run to its end."""
    (place / "tiny.yaml").write_text(yaml.safe_dump(SWEEP))
    out = place / "out"
    command = ["benchmark", "run", "tiny.yaml", "--out", out, "--workers", "1", "--no-track", "--threads", "1"]
    killed = start_module(["tests.benchmark.run.killed", *command], place, place / "log")
    killed.join()
    assert killed.exitcode == -signal.SIGKILL, (place / "log").read_text()
    workers = json.loads((place / "workers.json").read_text())
    before = {path: path.stat().st_mtime_ns for path in out.glob("cells/*/predictions.npz")}
    store = f"sqlite:///{place}/mlflow.db"
    sweep = sweep_from(SWEEP)
    summary = run_sweep(sweep, out, workers=1, threads=1, tracking_uri=store, progress=True)
    return sweep, out, store, summary, before, workers


def test_a_killed_sweep_goes_on_without_repeating_what_is_done(done):
    sweep, out, _, summary, before, _ = done
    cells = sweep_cells(sweep)
    assert summary.total == len(cells) == 10 and summary.finished == 8 and summary.failed == 2
    assert len(before) == 1 and summary.run == 8  # of the first two one has failed and has no predictions
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert not list(out.rglob("*.partial"))
    again = run_sweep(sweep, out, workers=1, track=False, progress=False)
    assert again.run == 0 and (again.finished, again.failed) == (8, 2)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="this system does not show processes as files")
def test_workers_end_with_the_process_that_started_them(done):
    workers = done[5]
    assert workers
    deadline = time.monotonic() + 120  # a busy machine may let them wait
    while any(map(lives, workers)) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not any(map(lives, workers))


def lives(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


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
        assert [one.dataset.digest for one in run.inputs.dataset_inputs] == [result.get("split_hash")] * (
            result["status"] == "finished"
        )
    (parent,) = {run.data.tags["mlflow.parentRunId"] for run in runs.values()}
    sweep_run = client.get_run(parent)
    assert (sweep_run.info.run_name, sweep_run.info.status) == ("tiny", "FINISHED")
    assert len(client.search_runs(ids)) == len(cells) + 1
    assert [item.path for item in client.list_artifacts(parent)] == ["sweep.yaml"]
    table = compare(tags={"sweep": "tiny"}, tracking_uri=store, metric="accuracy")
    assert {(row.method, row.runs) for row in table.frame.itertuples()} == {
        ("linear", 2),
        ("ept", 2),
        ("damp (c=1.0)", 2),
        ("damp (c=4.6)", 2),
    }
    assert all(row.paired == 2 for row in table.frame.itertuples() if row.method != "linear")


def test_failed_cells_are_tried_again_when_asked_for(done):
    sweep, out, *_ = done
    failed = [cell for cell in sweep_cells(sweep) if cell.label == "too fast"]
    folder = SweepFolder(out)
    written = (folder.cell(failed[0]) / "result.json").stat().st_mtime_ns
    summary = run_sweep(sweep, out, workers=1, threads=1, track=False, progress=False, retry_failed=True)
    assert summary.run == 2 and summary.failed == 2
    assert (folder.cell(failed[0]) / "result.json").stat().st_mtime_ns > written


def test_a_folder_belongs_to_one_sweep_and_one_process(done, tmp_path):
    sweep, out = done[0], done[1]
    with pytest.raises(ValueError, match="holds sweep 'tiny', not 'other'"):
        run_sweep(sweep_from({**SWEEP, "name": "other"}), out, track=False, progress=False)
    with ProcessLock(out / ".lock"), pytest.raises(ValueError, match="another process is running the sweep"):
        run_sweep(sweep, out, track=False, progress=False)


def test_a_result_that_cannot_be_read_is_done_again(place, done, tmp_path, caplog):
    sweep, out = done[0], tmp_path / "out"
    shutil.copytree(done[1], out, ignore=shutil.ignore_patterns("tracking", "images"))
    broken, other = (SweepFolder(out).cell(cell) / "result.json" for cell in sweep_cells(sweep)[2:4])
    broken.write_text('{"status": "fini')
    before = other.read_bytes()
    summary = run_sweep(sweep, out, workers=1, threads=1, track=False, progress=False, cache=done[1] / "images")
    assert summary.run == 1 and f"{broken} cannot be read" in caplog.text and other.read_bytes() == before
    assert json.loads(broken.read_text())["status"] == "finished"
