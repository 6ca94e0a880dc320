# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import math
import multiprocessing
import os
import resource
import signal
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from monai_ept.tracking import attach_run, open_run, resume_run
from monai_ept.tracking.uploader import ID_TAG
from tests.tracking.scenes import NOWHERE, wait_until


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((metric.step, metric.value) for metric in client.get_metric_history(run_id, key))


def test_everything_arrives_at_a_server(server, tmp_path):
    (tmp_path / "run" / "figures").mkdir(parents=True)
    (tmp_path / "run" / "figures" / "a.png").write_bytes(b"picture")
    (tmp_path / "outside.csv").write_text("id\n")
    params = {"method": {"name": "ept", "layers": [0, 1]}, "shots": 5, "long": "x" * 9000, "µ (odd)": None}
    with open_run("run", "ept", "all", tracking_uri=server.uri, params=params, tags={"sweep": "a"}) as run:
        for step in range(1, 2501):  # more than one batch
            run.log_metrics({"train/loss": 1 / step, "train/lr": 0.1}, step)
        run.log_metrics({"test/auc": 0.75, "nan": math.nan, "inf": math.inf, "//odd..name(1)/": 1})
        run.log_artifact("run/figures", "figures")
        run.log_artifact("outside.csv", "predictions")
    client = MlflowClient(server.uri)
    found = client.get_run(run.run_id)
    assert (found.info.status, found.info.run_name) == ("FINISHED", "ept")
    assert found.data.params == {
        "method.name": "ept",
        "method.layers": "[0, 1]",
        "shots": "5",
        "long": "x" * 6000,
        "µ _odd_": "null",
    }
    assert found.data.tags["sweep"] == "a" and found.data.tags["mlflow.user"]
    assert history(client, run.run_id, "train/loss") == [(step, 1 / step) for step in range(1, 2501)]
    assert found.data.metrics["test/auc"] == 0.75 and math.isnan(found.data.metrics["nan"])
    assert found.data.metrics["odd..name_1_"] == 1 and found.data.metrics["inf"] > 1e300
    assert [item.path for item in client.list_artifacts(run.run_id)] == ["figures", "predictions"]
    assert [item.path for item in client.list_artifacts(run.run_id, "figures")] == ["figures/a.png"]
    assert Path(client.download_artifacts(run.run_id, "figures/a.png")).read_bytes() == b"picture"
    about = json.loads(Path("run/run.json").read_text())
    assert (about["run_id"], about["tracking_uri"], about["experiment"]) == (run.run_id, server.uri, "all")
    assert run.url == f"{server.uri}/#/experiments/{found.info.experiment_id}/runs/{run.run_id}"


def test_an_evaluation_is_added_to_the_training_and_leaves_its_status(server, monkeypatch, tmp_path):
    run = open_run("run", "a", "attach", tracking_uri=server.uri)
    run.close("FAILED")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir("elsewhere")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)  # the run knows better where it is
    with attach_run("../run") as evaluation:
        evaluation.log_metrics({"test/auc": 0.5})
    found = MlflowClient(server.uri).get_run(run.run_id)
    assert evaluation.run_id == run.run_id and found.data.metrics == {"test/auc": 0.5}
    assert found.info.status == "FAILED"
    assert attach_run(".") is None


def test_a_resumed_run_goes_on_where_it_was(server):
    with pytest.raises(RuntimeError), open_run("run", "a", "resume", tracking_uri=server.uri, params={"lr": 1}) as run:
        for step in range(1, 6):
            run.log_metrics({"train/loss": step}, step)
        run.log_metrics({"test/auc": 0.1})
        raise RuntimeError
    client = MlflowClient(server.uri)
    assert client.get_run(run.run_id).info.status == "FAILED"
    again = resume_run("run", params={"lr": 2, "epochs": 3})
    for step in range(4, 8):  # the last checkpoint was older
        again.log_metrics({"train/loss": step}, step)
    again.log_metrics({"test/auc": 0.2})
    wait_until(lambda: client.get_run(run.run_id).info.status == "RUNNING")
    assert again.close()
    found = client.get_run(run.run_id)
    assert again.run_id == run.run_id and found.info.status == "FINISHED"
    assert found.data.params == {"lr": "1", "epochs": "3"} and found.data.tags["resumed.lr"] == "2"
    assert history(client, run.run_id, "train/loss") == [(step, step) for step in range(1, 8)]
    assert found.data.metrics["test/auc"] == 0.2


def train_in_a_process(folder: Path, number: int) -> None:
    with open_run(folder, "same name", "parallel", params={"seed": number}) as run:
        for step in range(1, 201):
            run.log_metrics({"train/loss": number * 1000 + step}, step)
            time.sleep(0.002)


def test_parallel_trainings_never_mix_also_when_the_database_is_new(tmp_path):
    """Same name, same experiment, even the same folder, a database that none of them finds."""
    context = multiprocessing.get_context("spawn" if os.name == "nt" else "fork")
    workers = [context.Process(target=train_in_a_process, args=(tmp_path / "run", number)) for number in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
        assert worker.exitcode == 0
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("parallel").experiment_id])
    assert sorted(run.data.params["seed"] for run in runs) == ["0", "1", "2"]
    for run in runs:
        number = int(run.data.params["seed"])
        expected = [(step, number * 1000.0 + step) for step in range(1, 201)]
        assert history(client, run.info.run_id, "train/loss") == expected
        assert run.info.status == "FINISHED" and Path(run.info.artifact_uri[7:]).is_relative_to(tmp_path / "mlruns")


def test_a_killed_training_is_resumed_as_the_same_run(server, tmp_path):
    context = multiprocessing.get_context("fork")
    uri = server.uri

    def train() -> None:
        run = open_run("run", "killed", "resume", tracking_uri=uri)
        for step in range(1, 51):
            run.log_metrics({"train/loss": step}, step)
        while not run.run_id:
            time.sleep(0.01)
        for step in range(51, 56):  # what has not been sent yet
            run.log_metrics({"train/loss": step}, step)
        os.kill(os.getpid(), signal.SIGKILL)

    process = context.Process(target=train)
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    with resume_run("run") as run:
        for step in range(41, 61):
            run.log_metrics({"train/loss": step}, step)
    client = MlflowClient(uri)
    assert history(client, run.run_id, "train/loss") == [(step, step) for step in range(1, 61)]
    runs = client.search_runs([client.get_run(run.run_id).info.experiment_id], f"tags.`{ID_TAG}` != ''")
    assert [found.info.status for found in runs if found.info.run_name == "killed"] == ["FINISHED"]


def test_a_full_disk_costs_records_but_neither_the_training_nor_the_status(server, caplog):
    run = open_run("run", "full", "full", tracking_uri=server.uri)
    wait_until(lambda: run.run_id)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (run.journal.size + 10, hard))
    try:
        for step in range(1, 6):
            run.log_metrics({"train/loss": step}, step)
        assert run.close("FAILED")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = MlflowClient(server.uri).get_run(run.run_id)
    assert found.info.status == "FAILED" and found.data.metrics == {}
    (warning,) = [record.message for record in caplog.records]
    assert "cannot be written" in warning and "File too large" in warning


def test_a_run_takes_nothing_after_its_end_and_no_artifact_that_is_not_there(database):
    run = open_run("run", "a", "closed")
    with pytest.raises(FileNotFoundError, match=r"artifact nothing\.png does not exist"):
        run.log_artifact("nothing.png")
    with pytest.raises(ValueError, match=r"status 'DONE' is not known"):
        run.close("DONE")
    assert run.close("KILLED") and run.close("FINISHED")
    with pytest.raises(ValueError, match="run 'a' is closed"):
        run.log_metrics({"a": 1})
    assert MlflowClient(run.uri).get_run(run.run_id).info.status == "KILLED"
