# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from ignite.engine import Engine, Events
from mlflow import MlflowClient

from monai_ept.handlers import MLflowTracking
from monai_ept.handlers.mlflow_tracking import flat_metrics
from monai_ept.metrics import Interval
from monai_ept.tracking.tracked_run import _close_all

PARAMS = {"method": "ept", "source": "isic2018", "shots": 5, "seed": 3}


@pytest.fixture(autouse=True)
def client(empty_database, tmp_path, monkeypatch):
    """Every test in a folder of its own with an empty database, where runs go by default."""
    monkeypatch.chdir(tmp_path)
    shutil.copy(empty_database, tmp_path / "mlflow.db")
    return MlflowClient(f"sqlite:///{tmp_path / 'mlflow.db'}")


def trainer_of(step=lambda engine, batch: {"loss": torch.tensor(1.0 / engine.state.iteration)}) -> Engine:
    trainer = Engine(step)
    trainer.optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.5)
    return trainer


def runs(client: MlflowClient) -> list:
    return client.search_runs([item.experiment_id for item in client.search_experiments()])


def history(client: MlflowClient, run_id: str, key: str) -> list[tuple[int, float]]:
    return [(metric.step, metric.value) for metric in client.get_metric_history(run_id, key)]


def test_a_training_with_validation_is_one_finished_run(client):
    trainer, evaluator = trainer_of(), Engine(lambda engine, batch: None)

    def validate(engine: Engine) -> None:
        engine.optimizer.param_groups[0]["lr"] /= 2
        evaluator.run([0])

    def measure(engine: Engine) -> None:
        engine.state.metrics = {"auc": 0.5 + trainer.state.epoch / 10, "confusion": torch.eye(2), "who": "text"}

    trainer.add_event_handler(Events.EPOCH_COMPLETED, validate)
    evaluator.add_event_handler(Events.EPOCH_COMPLETED, measure)
    Path("predictions.csv").write_text("id\n")
    with MLflowTracking(None, "derm", params=PARAMS, tags={"sweep": "a"}, artifacts_dir="out") as tracking:
        tracking.attach_evaluator(evaluator, prefix="val")
        tracking.attach(trainer)
        trainer.run(range(4), max_epochs=3)
        assert not tracking.run.closed
        final = {"auc": Interval(0.8, 0.7, 0.9), "per_class": {"nevus": 0.5}, "absent": ["x"], "num_images": 9}
        assert tracking.finish(final, {"predictions": ["predictions.csv"], "": "out/run.json"})
    (run,) = runs(client)
    assert run.info.run_id == tracking.run_id == json.loads(Path("out/run.json").read_text())["run_id"]
    assert (run.info.status, run.info.run_name) == ("FINISHED", "ept-5shot-seed3-isic2018")
    assert run.data.params == {"method": "ept", "source": "isic2018", "shots": "5", "seed": "3"}
    assert run.data.tags["sweep"] == "a" and "**isic2018**" in run.data.tags["mlflow.note.content"]
    assert history(client, run.info.run_id, "train/loss") == [(n, pytest.approx(1 / n)) for n in range(1, 13)]
    assert history(client, run.info.run_id, "train/lr") == [(n, 0.5 ** (1 + (n - 1) // 4)) for n in range(1, 13)]
    assert history(client, run.info.run_id, "val/auc") == [(n, 0.5 + n / 10) for n in (1, 2, 3)]
    assert [step for step, _ in history(client, run.info.run_id, "cost/epoch_seconds")] == [1, 2, 3]
    assert 50 < run.data.metrics["cost/peak_memory_mb"] < 100_000
    test = {key: value for key, value in run.data.metrics.items() if key.startswith("test/")}
    assert test == {
        "test/auc": 0.8,
        "test/auc_low": 0.7,
        "test/auc_high": 0.9,
        "test/per_class/nevus": 0.5,
        "test/num_images": 9,
    }
    assert not any(key.endswith(("confusion", "who")) for key in run.data.metrics)
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["predictions", "run.json"]


@pytest.mark.parametrize(("error", "status"), [(ValueError("broken"), "FAILED"), (KeyboardInterrupt(), "KILLED")])
def test_an_exception_closes_the_run_and_goes_on(error, status, client):
    def step(engine, batch):
        if engine.state.iteration == 3:
            raise error
        return 0.5

    trainer = trainer_of(step)
    tracking = MLflowTracking(artifacts_dir="out")
    tracking.attach(trainer)
    with pytest.raises(type(error)), tracking:
        trainer.run(range(4))
    (run,) = runs(client)
    assert (run.info.status, run.info.run_name) == (status, "run")
    assert history(client, run.info.run_id, "train/loss") == [(1, 0.5), (2, 0.5)]
    with pytest.raises(ValueError), MLflowTracking(artifacts_dir="other") as tracking:
        tracking.attach(trainer_of())
        tracking.start()
        raise ValueError
    assert sorted(run.info.status for run in runs(client)) == sorted([status, "FAILED"])


def test_the_same_training_again_is_another_run_and_with_resume_the_same(client):
    identities = []
    for resume in (False, False, True):
        trainer = trainer_of()
        tracking = MLflowTracking("a", params=PARAMS, artifacts_dir="out", resume=resume)
        tracking.attach(trainer)
        trainer.run(range(2), max_epochs=3 if resume else 2)
        tracking.finish({"auc": 0.5})
        identities.append(tracking.run_id)
    assert len(set(identities)) == 2 and identities[1] == identities[2]
    assert [step for step, _ in history(client, identities[2], "train/loss")] == list(range(1, 7))
    fresh = MLflowTracking("b", artifacts_dir="never trained", resume=True)
    fresh.start()
    assert fresh.finish() and fresh.run_id not in identities


def test_an_evaluation_is_added_to_its_training(client):
    with MLflowTracking("a", artifacts_dir="out") as tracking:
        tracking.start()
    Path("confusion.png").write_bytes(b"picture")
    evaluation = MLflowTracking(attach_to="out")
    assert evaluation.finish({"auc": 0.6}, {"figures": ["confusion.png"]})
    (run,) = runs(client)
    assert evaluation.run_id == run.info.run_id
    assert (run.data.metrics["test/auc"], run.info.status) == (0.6, "FINISHED")
    assert [item.path for item in client.list_artifacts(run.info.run_id)] == ["figures"]
    assert MLflowTracking(attach_to="trained without tracking").finish({"auc": 0.6})
    assert len(runs(client)) == 1


@pytest.mark.parametrize("reason", ["disabled", "second process"])
def test_off_is_off(reason, monkeypatch, client):
    trainer = trainer_of()
    if reason == "second process":
        monkeypatch.setenv("RANK", "1")
    tracking = MLflowTracking("a", artifacts_dir="out", enabled=reason != "disabled")
    monkeypatch.setitem(sys.modules, "mlflow", None)  # importing it is an error now
    with tracking:
        tracking.attach(trainer)
        tracking.attach_evaluator(Engine(lambda engine, batch: None))
        trainer.run(range(3))
        assert tracking.finish({"auc": 0.5}) and tracking.run_id is None
    assert not Path("out").exists() and runs(client) == []


def test_a_store_that_mlflow_refuses_is_an_error_at_once(monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "./mlruns")
    with pytest.raises(ValueError, match="is a folder, which MLflow no longer takes"):
        MLflowTracking("a")
    MLflowTracking("a", enabled=False)


def test_flat_metrics_takes_what_is_a_number():
    metrics = {"a": torch.tensor([2.0]), "b": {"c": {"d": 1}}, "e": [1, 2], "f": None, "g": torch.ones(2), "h": True}
    assert dict(flat_metrics(metrics, "x")) == {"x/a": 2.0, "x/b/c/d": 1.0, "x/h": 1.0}


ENDS = """
import os, sys
from monai_ept.tracking import open_run
run = open_run("out", "left open", "ends")
if os.fork() == 0:
    sys.exit(0)  # the end of a worker process is not the end of the run
os.wait()
raise RuntimeError("after the training")
"""


def test_the_end_of_the_process_closes_what_is_open(client):
    ended = subprocess.run([sys.executable, "-c", ENDS], capture_output=True, text=True)
    assert ended.returncode == 1 and "after the training" in ended.stderr
    completed, stopped = (MLflowTracking(name, "ends", artifacts_dir=name) for name in ("completed", "stopped"))
    trainer = trainer_of()
    completed.attach(trainer)
    trainer.run(range(3))
    stopped.start()
    _close_all()  # what atexit calls
    assert sorted((run.info.run_name, run.info.status) for run in runs(client)) == [
        ("completed", "FINISHED"),
        ("left open", "FAILED"),
        ("stopped", "KILLED"),
    ]
