# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import http.server
import json
import multiprocessing
import os
import re
import resource
import shutil
import signal
import socket
import threading
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from monai_ept.__main__ import main
from monai_ept.tracking import attach_run, open_run, register_model, resume_run, sync
from monai_ept.tracking.journal import Journal
from monai_ept.tracking.run_file import read_about
from monai_ept.tracking.uploader import find_journals
from tests.tracking.scenes import NOWHERE, runs_of, steps_of, wait_until


def train(folder: str, uri: str, experiment: str, number: int = 50, status: str = "FINISHED"):
    run = open_run(folder, folder, experiment, tracking_uri=uri, params={"shots": 5}, tags={"sweep": "a"})
    for step in range(1, number + 1):
        run.log_metrics({"train/loss": 1 / step}, step)
    run.close(status)
    return run


def test_a_server_that_is_down_loses_nothing(server, caplog, capsys, monkeypatch):
    Path("result.csv").write_text("a,b\n")
    run = open_run("run", "down", "sync-down", tracking_uri=NOWHERE, params={"shots": 5})
    for step in range(1, 1001):
        run.log_metrics({"train/loss": 1 / step}, step)
    run.log_artifact("result.csv", "predictions")
    assert not run.close("FAILED")
    Path("result.csv").unlink()
    warned = [record.message for record in caplog.records]
    assert len(warned) == 2
    assert f"MLflow at {NOWHERE} does not answer (connection refused): try again later; nothing is lost" in warned[0]
    assert "upload them with 'monai-ept sync run'" in warned[1]
    assert run.run_id is None and "run_id" not in read_about("run")
    with attach_run("run") as evaluation:
        evaluation.log_metrics({"test/auc": 0.5})

    monkeypatch.setenv("MLFLOW_TRACKING_URI", NOWHERE)
    assert main(["sync"]) == 2
    out, err = capsys.readouterr()
    assert out.count(f"{NOWHERE} does not answer") == 2 and "2 of 2 could not be uploaded and stay here" in err
    assert "try again later" in err
    assert main(["sync", "run", "--tracking-uri", server.uri]) == 0
    assert capsys.readouterr().out.count("uploaded") == 2
    (found,) = runs_of(server.uri, "sync-down")
    assert (found.info.status, found.data.params, found.data.metrics["test/auc"]) == ("FAILED", {"shots": "5"}, 0.5)
    assert steps_of(server.uri, found.info.run_id) == list(range(1, 1001))
    assert [item.path for item in MlflowClient(server.uri).list_artifacts(found.info.run_id)] == ["predictions"]
    opened, *_, closed = [record.content["time"] for record in run.journal.read() if "time" in record.content]
    assert (found.info.start_time, found.info.end_time) == (opened, closed)  # as it was, not as it was uploaded
    assert read_about("run")["run_id"] == found.info.run_id

    assert main(["sync", "--tracking-uri", server.uri]) == 0
    assert "Nothing to upload" in capsys.readouterr().out
    with attach_run("run") as evaluation:  # finds the run where it is now
        evaluation.log_metrics({"test/auc": 0.6})
    assert MlflowClient(server.uri).get_run(found.info.run_id).data.metrics["test/auc"] == 0.6


def test_a_server_that_never_answers_is_hardly_asked_again(monkeypatch, caplog):
    """Each question costs a time-out: a thousand steps and the end of the run wait for two at most."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with socket.socket() as deaf:
        deaf.bind(("127.0.0.1", 0))
        deaf.listen()
        uri = f"http://me:secret@127.0.0.1:{deaf.getsockname()[1]}"
        run = open_run("run", "deaf", "sync", tracking_uri=uri)
        for step in range(1, 1001):
            run.log_metrics({"train/loss": 1 / step}, step)
        assert not run.close()
        deaf.settimeout(0)
        asked = 0
        with pytest.raises(BlockingIOError):
            while asked < 100:
                deaf.accept()[0].close()
                asked += 1
        assert 1 <= asked <= 2
    written = "".join(path.read_text() for path in Path("run").rglob("*.json*"))
    assert "secret" not in written + caplog.text and "me@" not in written


def test_a_server_that_dies_in_the_middle_of_a_run(server, caplog):
    uri = server.uri
    run = open_run("run", "dying", "dying", tracking_uri=uri)
    run.log_metrics({"train/loss": 1.0}, 1)
    wait_until(lambda: run.run_id)
    server.kill()
    for step in range(2, 151):
        run.log_metrics({"train/loss": 1 / step}, step)
        time.sleep(0.01)  # long enough for an upload to fail
    assert not run.close()
    assert len([record for record in caplog.records if "does not answer" in record.message]) == 1
    server.start()
    assert [result.outcome for result in sync(["run"], tracking_uri=server.uri)] == ["uploaded"]
    found = MlflowClient(uri).get_run(run.run_id)
    assert found.info.status == "FINISHED" and steps_of(uri, run.run_id) == list(range(1, 151))
    assert sync() == []


def test_a_running_journal_is_left_alone_and_a_killed_one_closed(server, tmp_path):
    uri = server.uri
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe()

    def hang() -> None:
        run = open_run("run", "hanging", "killed", tracking_uri=NOWHERE)
        run.log_metrics({"train/loss": 1}, 1)
        with open(run.journal.folder / "journal.jsonl", "ab") as file:
            file.write(b'{"kind": "me')  # half a line
        theirs.send("ready")
        signal.pause()

    process = context.Process(target=hang)
    process.start()
    assert ours.recv() == "ready"
    assert [(result.outcome, result.run_name) for result in sync(["run"])] == [("running", "hanging")]
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert [result.outcome for result in sync([tmp_path], tracking_uri=uri)] == ["uploaded"]
    (found,) = runs_of(uri, "killed")
    assert found.info.status == "KILLED" and steps_of(uri, found.info.run_id) == [1]
    assert sync([tmp_path], tracking_uri=uri) == []


def test_a_store_that_forgot_a_run_gets_everything_again(database, empty_database, tmp_path, server):
    run = train("run", database, "again")
    before = run.run_id
    assert before and sync() == []
    other = f"sqlite:///{tmp_path}/other.db"
    shutil.copy(empty_database, tmp_path / "other.db")
    (journal,) = find_journals(Path("run"))
    journal.set_sent(other, before, journal.size - 10)  # as if its database had been replaced
    assert [result.outcome for result in sync(tracking_uri=other)] == ["uploaded"]
    (found,) = runs_of(other, "again")
    assert found.info.run_id != before and steps_of(other, found.info.run_id) == list(range(1, 51))
    # And one that never had it, just as well.
    assert [result.outcome for result in sync(tracking_uri=server.uri)] == ["uploaded"]
    assert [steps_of(server.uri, run.info.run_id) for run in runs_of(server.uri, "again")] == [list(range(1, 51))]


def test_a_strangers_folder_decides_nothing(database, here, monkeypatch, caplog):
    """It names a server and a database; neither is asked or made, and the token stays here."""
    asked = []

    class Evil(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.headers.get("Authorization"))
            self.send_error(404)

        do_POST = do_GET

        def log_message(self, *_: object) -> None: ...

    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    with http.server.HTTPServer(("127.0.0.1", 0), Evil) as evil:
        threading.Thread(target=evil.serve_forever, args=(0.01,), daemon=True).start()
        there = f"http://127.0.0.1:{evil.server_port}"
        about = {"id": "b1", "run_name": "theirs", "experiment": "x"}
        for folder, uri in (("server", there), ("file", f"sqlite:///{here}/evil/mlflow.db")):
            Journal.create(folder, {**about, "tracking_uri": uri}).close()
            Path(folder, "run.json").write_text(json.dumps({**about, "tracking_uri": uri}))
            assert [result.outcome for result in sync([folder])] == ["failed"]
            with attach_run(folder) as evaluation:
                evaluation.log_metrics({"test/auc": 0.5})
            assert evaluation.run_id is None and f"nothing is sent to MLflow for {folder}" in caplog.text
            (resumed,) = [resume_run(folder)]
            assert not resumed.close()
        with pytest.raises(ValueError, match=f"not registered for server: its folder names MLflow at {there}"):
            register_model_of("server")
        assert asked == [] and not (here / "evil").exists()
        assert [result.outcome for result in sync(["server"], tracking_uri=there)] == ["failed"] * 3
        assert asked[0] == "Bearer secret"  # the user has named it
        evil.shutdown()
    # What was kept meanwhile goes where the user says.
    assert [result.outcome for result in sync(["server"], tracking_uri=database)] == ["uploaded"] * 3
    (found,) = runs_of(database, "x")
    assert found.data.metrics == {"test/auc": 0.5}


def register_model_of(folder: str) -> None:
    about = json.loads(Path(folder, "run.json").read_text())
    Path(folder, "run.json").write_text(json.dumps({**about, "run_id": "1"}))
    register_model(None, "derm", folder, example=None)


def test_the_store_of_the_environment_and_a_deleted_database_need_no_option(empty_database, here, monkeypatch):
    """What a user has set where he trained is enough where he syncs; and what is gone is sent again."""
    store = f"sqlite:///{here}/elsewhere.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store)
    shutil.copy(empty_database, here / "elsewhere.db")
    assert open_run("run", "a", "gone").close()
    assert sync() == []
    (here / "elsewhere.db").unlink()
    assert [result.outcome for result in sync()] == ["uploaded"]
    assert len(runs_of(store, "gone")) == 1


def test_a_full_disk_is_said_as_such(database, here, caplog):
    """The records are whole; the store has no room for them until somebody makes it."""
    journal = Journal.create("run", {"id": "c1", "run_name": "a", "experiment": "full", "tracking_uri": database})
    journal.append("params", params={f"p{number}": "x" * 6000 for number in range(200)})
    journal.close()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, ((here / "mlflow.db").stat().st_size, hard))
    try:
        (result,) = sync()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert result.outcome == "failed"
    assert re.search(r"mlflow\.db cannot be used \(.*\): the disk is full, make room", result.why), result.why
    assert [result.outcome for result in sync()] == ["uploaded"]


def test_a_folder_that_is_not_there_is_said():
    with pytest.raises(FileNotFoundError, match="folder nowhere does not exist"):
        sync(["nowhere"])
