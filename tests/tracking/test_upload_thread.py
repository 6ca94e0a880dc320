# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import http.client
import http.server
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

import pytest
from mlflow import MlflowClient

from monai_ept.tracking import open_run, sync
from monai_ept.tracking.mlflow_client import SETTINGS
from tests.tracking.scenes import runs_of, steps_of, wait_until


@contextmanager
def deaf_server() -> Iterator[tuple[str, list[float]]]:
    """An address where everybody is let in and nobody is answered, and when somebody came."""
    came: list[float] = []
    held = []
    with socket.create_server(("127.0.0.1", 0)) as deaf:

        def listen() -> None:
            while True:
                try:
                    held.append(deaf.accept()[0])
                except OSError:
                    return
                came.append(time.monotonic())

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{deaf.getsockname()[1]}", came
        deaf.shutdown(socket.SHUT_RDWR)
    for connection in held:
        connection.close()


@contextmanager
def slow_server(uri: str, seconds: float) -> Iterator[str]:
    """A real server, whose every answer takes its time."""

    class Slow(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            time.sleep(seconds)
            parts = urlsplit(uri)
            there = http.client.HTTPConnection(parts.hostname, parts.port)
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            there.request(self.command, self.path, body, dict(self.headers))
            answer = there.getresponse()
            content = answer.read()
            self.send_response(answer.status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)
            there.close()

        do_POST = do_PUT = do_PATCH = do_GET

        def log_message(self, *_: object) -> None: ...

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Slow)
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


def train(uri: str, folder: str, seconds: float = 0) -> float:
    """A training of twenty steps and five files, and how long it takes."""
    began = time.monotonic()
    with open_run(folder, folder, "waits", tracking_uri=uri, params={"shots": 5}) as run:
        for step in range(1, 21):
            run.log_metrics({"train/loss": 1 / step}, step)
            time.sleep(seconds / 20)
        for number in range(5):
            file = run.folder / f"{number}.txt"
            file.write_text("x")
            run.log_artifact(file, "files")
    return time.monotonic() - began


def test_a_server_that_never_answers_is_waited_for_once_and_not_by_each_run(monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    with deaf_server() as (uri, came):
        first = train(uri, "first")
        others = [train(uri, f"run-{number}") for number in range(10)]
        assert len(came) <= 2
    assert first >= 1 and sum(others) < 10 * first
    assert caplog.text.count("upload them with 'monai-ept sync") == 11


def test_what_did_not_go_out_in_time_is_kept_and_said_and_sync_brings_the_rest(server, monkeypatch, caplog):
    """The end of a run waits as long as one question may take, also for a server that goes on answering."""
    real = server.uri
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    with slow_server(real, 0.6) as uri:
        train(uri, "run")
        assert "is slow: the end of the run has waited 1 seconds for it and waits no longer" in caplog.text
        assert "upload them with 'monai-ept sync run'" in caplog.text
        time.sleep(1)  # the question that was under way
        monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "60")
        assert [result.outcome for result in sync(["run"], tracking_uri=real)] == ["uploaded"]
    found = [run for run in runs_of(real, "waits") if run.info.run_name == "run"]
    assert len(found) == 1 and found[0].info.status == "FINISHED"
    assert steps_of(real, found[0].info.run_id) == list(range(1, 21))
    assert len(MlflowClient(real).list_artifacts(found[0].info.run_id, "files")) == 5


@pytest.mark.slow
@pytest.mark.parametrize("answers", [True, False])
def test_a_training_hardly_waits_for_a_slow_or_silent_server(answers, server, monkeypatch):
    """Beside the same training without tracking: the end waits ten seconds, and the steps wait for nothing."""
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    real = server.uri
    with slow_server(real, 4.0 if answers else 600.0) as uri:
        took = train(uri, f"run-{answers}", seconds=24)
    print(f"24 seconds of training took {took:.1f}")
    assert 24 <= took < 24 + 10 + 5


@pytest.mark.slow
def test_a_long_run_waits_longer_so_that_everything_arrives(server, monkeypatch):
    """A tenth of its time, where that is more than one question may take."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "1")
    real = server.uri
    with slow_server(real, 0.3) as uri:
        train(uri, "long", seconds=60)
    (found,) = (run for run in runs_of(real, "waits") if run.info.run_name == "long")
    wait_until(lambda: MlflowClient(real).get_run(found.info.run_id).info.status == "FINISHED", 1)
