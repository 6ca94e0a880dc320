# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path

import pytest
from mlflow import MlflowClient

from monai_ept.tracking import TrackingError, attach_run, open_run
from monai_ept.tracking.journal import Journal
from monai_ept.tracking.uploader import Uploader, find_journals
from tests.tracking.scenes import NOWHERE, runs_of, steps_of, wait_until


class Cable:
    """A real client whose connection is cut when the server has heard a certain call, and before it answers."""

    def __init__(self, client: MlflowClient, cut: int) -> None:
        self.client, self.left = client, cut

    def __getattr__(self, name):
        def call(*args, **kwargs):
            self.left -= 1
            answer = getattr(self.client, name)(*args, **kwargs)
            if self.left == 0:
                raise ConnectionResetError
            return answer

        return call


def test_an_upload_that_is_cut_anywhere_and_begun_again_arrives_once(server, monkeypatch):
    monkeypatch.setattr("monai_ept.tracking.uploader.LIMITS", (9, 9, 9))
    Path("figure.png").write_bytes(b"picture")
    client = MlflowClient(server.uri)
    for cut in range(1, 40):
        experiment = f"cut-{cut}"
        above = open_run(f"{experiment}-above", "above", experiment, tracking_uri=NOWHERE)
        run = open_run(experiment, "cut", experiment, tracking_uri=NOWHERE, params={"shots": 5}, parent=above)
        run.log_dataset(dict.fromkeys(("name", "source_type", "source", "schema", "profile"), "{}") | {"digest": "a1"})
        for step in range(1, 12):  # two batches
            run.log_metrics({"train/loss": 1 / step}, step)
        run.log_artifact("figure.png", "figures")
        run.log_model("ept/2", "model/delta.safetensors", {"method": "ept"})
        run.close()
        above.close()
        (journal,) = find_journals(Path(experiment))
        try:
            Uploader(journal, server.uri, lambda cut=cut: Cable(client, cut)).upload()
            break
        except ConnectionResetError:
            Uploader(journal, server.uri, lambda: client).upload()
        (above_journal,) = find_journals(Path(f"{experiment}-above"))
        Uploader(above_journal, server.uri, lambda: client).upload()
        found, parent = sorted(runs_of(server.uri, experiment), key=lambda run: run.info.run_name, reverse=True)
        assert found.data.tags["mlflow.parentRunId"] == parent.info.run_id
        assert (parent.info.run_name, parent.info.status) == ("above", "FINISHED")
        assert [one.dataset.digest for one in found.inputs.dataset_inputs] == ["a1"]
        (model,) = client.search_logged_models([found.info.experiment_id])
        assert [output.model_id for output in found.outputs.model_outputs] == [model.model_id]
        assert (model.name, model.status, model.params) == ("ept-2", "READY", {"method": "ept"})
        assert model.tags["adapter"] == f"runs:/{found.info.run_id}/model/delta.safetensors"
        assert Counter(steps_of(server.uri, found.info.run_id)) == Counter(range(1, 12))
        assert found.info.status == "FINISHED" and found.data.params == {"shots": "5"}
        assert [item.path for item in client.list_artifacts(found.info.run_id, "figures")] == ["figures/figure.png"]
    assert 12 < cut < 39


def test_only_files_of_the_runs_own_folder_go_out(database, here, caplog):
    """Whatever a journal names, and wherever links in the folder lead."""
    (here / "secret.txt").write_text("mine")
    inside = here / "run" / "files"
    inside.mkdir(parents=True)
    (inside / "result.csv").write_text("a")
    (inside / "deep").mkdir()
    (inside / "deep" / "plot.png").write_bytes(b"p")
    (inside / "deep" / "again.csv").symlink_to(inside / "result.csv")
    (inside / "key").symlink_to(here / "secret.txt")
    (inside / "home").symlink_to(here)
    os.mkfifo(inside / "pipe")
    journal = Journal.create("run", {"id": "a1", "run_name": "a", "experiment": "leaks", "tracking_uri": database})
    for path in (
        "../secret.txt",
        str(here / "secret.txt"),
        "files/key",
        "files/home/secret.txt",
        "files/../../secret.txt",
    ):
        journal.append("artifact", path=path, folder="taken")
    journal.append("artifact", path="files", folder="kept")
    journal.append("artifact", path="files/result.csv", folder="../../../elsewhere")
    journal.append("artifact", path="files/home", folder="taken")
    journal.append("tags", tags={"after": "all"})
    uploader = Uploader(journal, database)
    uploader.upload()
    client = MlflowClient(database)

    def listed(folder: str = "") -> list[str]:
        items = client.list_artifacts(uploader.run_id, folder)
        return sorted(name for item in items for name in (listed(item.path) if item.is_dir else [item.path]))

    assert listed() == ["kept/deep/again.csv", "kept/deep/plot.png", "kept/result.csv"]
    assert client.get_run(uploader.run_id).data.tags["after"] == "all"
    assert caplog.text.count("lies outside the run's folder and is left out") == 7
    assert not list(here.rglob("elsewhere"))
    kept = here / "run" / journal.keep(inside / "key")  # one's own link is followed when it is recorded
    assert kept.read_text() == "mine" and kept.name == "key" and kept.is_relative_to(journal.folder.absolute())
    journal.close()


def test_a_journal_writes_into_no_run_but_its_own(database):
    """Where it says that its run is another one, that one is not touched."""
    theirs = open_run("theirs", "theirs", "mix")
    assert theirs.close()
    journal = Journal.create("run", {"id": "a2", "run_name": "ours", "experiment": "mix", "tracking_uri": database})
    journal.append("tags", tags={"who": "us"})
    journal.set_sent(database, theirs.run_id, 0)
    uploader = Uploader(journal, database)
    uploader.upload()
    assert uploader.run_id != theirs.run_id
    assert "who" not in MlflowClient(database).get_run(theirs.run_id).data.tags
    journal.close()


def test_a_refused_record_takes_no_other_with_it(database, caplog):
    run = open_run("run", "a", "refused", params={"lr": 1})
    wait_until(lambda: run.run_id)
    client = MlflowClient(run.uri)
    client.log_param(run.run_id, "epochs", "somebody else's")
    run.log_params({"epochs": 3, "shots": 5})
    run.log_metrics({"a": 1.0})
    assert run.close()
    found = client.get_run(run.run_id)
    assert found.data.params == {"lr": "1", "epochs": "somebody else's", "shots": "5"}
    assert found.data.metrics == {"a": 1.0} and found.info.status == "FINISHED"
    assert "MLflow refuses epochs = '3', it is left out" in caplog.text


def test_a_run_or_experiment_that_was_deleted_is_an_error_that_says_how_to_get_it_back(database, caplog):
    run = open_run("run", "a", "deleted")
    assert run.close()
    client = MlflowClient(run.uri)
    client.delete_run(run.run_id)
    evaluation = attach_run("run")
    evaluation.log_metrics({"a": 1.0})
    assert not evaluation.close()
    assert f"mlflow runs restore --run-id {run.run_id}" in caplog.text
    client.restore_run(run.run_id)
    Uploader(find_journals(Path("run"))[-1], run.uri).upload()
    assert client.get_run(run.run_id).data.metrics == {"a": 1.0}
    client.delete_experiment(client.get_run(run.run_id).info.experiment_id)
    other = open_run("other", "a", "deleted")
    assert not other.close()
    with pytest.raises(TrackingError, match="experiment 'deleted' was deleted in sqlite.*mlflow experiments restore"):
        Uploader(other.journal, other.uri).upload()
