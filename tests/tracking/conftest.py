# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

import pytest


class Server:
    """A real ``mlflow server`` with a database and an artifact store, in a process group of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen | None = None
        self.port = free_port()
        self.start()

    def start(self) -> None:
        """Start without waiting, so that tests that need no server run meanwhile."""
        command = [
            *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(self.port)),
            *("--workers", "1", "--backend-store-uri", f"sqlite:///{self.folder / 'server.db'}"),
            *("--artifacts-destination", str(self.folder / "artifacts")),
        ]
        environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        environment.pop("MLFLOW_TRACKING_URI", None)
        with open(self.folder / "server.log", "ab") as log:
            self.process = subprocess.Popen(
                command, cwd=self.folder, env=environment, stdout=log, stderr=log, start_new_session=True
            )

    @property
    def uri(self) -> str:
        """Its address, as soon as it answers."""
        end = time.monotonic() + 300
        while True:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5):
                    return f"http://127.0.0.1:{self.port}"
            except (urllib.error.URLError, OSError):
                if time.monotonic() > end or self.process is None or self.process.poll() is not None:
                    pytest.fail((self.folder / "server.log").read_text()[-3000:])
                time.sleep(0.1)

    def kill(self) -> None:
        """As a power cut does it."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


def free_port() -> int:
    """A port that stays free while the server is away: none of those that systems give to outgoing connections."""
    while True:
        port = random.SystemRandom().randrange(20_000, 30_000)
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


@pytest.fixture(scope="session", autouse=True)
def server(tmp_path_factory):
    server = Server(tmp_path_factory.mktemp("mlflow"))
    yield server
    server.kill()


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """Every test in a folder of its own; the end of a run waits for a real server also on a busy machine."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "120")
    return tmp_path


@pytest.fixture
def database(empty_database, here):
    """An empty database where a run goes that is told nothing else."""
    shutil.copy(empty_database, here / "mlflow.db")
    return f"sqlite:///{here / 'mlflow.db'}"
