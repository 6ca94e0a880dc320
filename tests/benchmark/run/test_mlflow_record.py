# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import socket
import threading

import pytest

from monai_ept.benchmark.plan.expand import sweep_cells
from monai_ept.benchmark.plan.sweep_file import sweep_from
from monai_ept.benchmark.run.mlflow_record import Recorder
from monai_ept.benchmark.run.sweep_folder import SweepFolder
from tests.benchmark.run.scenes import SWEEP


@pytest.fixture
def silent():
    """A server that takes every question and answers none; its address, and the questions."""
    asked = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def listen():
            while True:
                try:
                    asked.append(server.accept()[0])
                except OSError:
                    return

        threading.Thread(target=listen, daemon=True).start()
        yield f"http://127.0.0.1:{server.getsockname()[1]}", asked
        server.shutdown(socket.SHUT_RDWR)
    for connection in asked:
        connection.close()


def test_a_server_that_never_answers_is_asked_once_for_all_cells(silent, tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    address, asked = silent
    folder = SweepFolder(tmp_path)
    sweep = sweep_from(SWEEP)
    cells = sweep_cells(sweep)[:6]
    folder.begin(sweep)
    recorder = Recorder(folder, "tiny", address)
    times = {"started": "2026-01-02T03:03:05+00:00", "seconds": {"total": 1.0}}
    for cell in cells:
        folder.describe(cell)
        folder.write(cell, {"status": "finished", "metrics": {"auc": 0.5}, "val_metrics": {}, **times}, None)
        recorder.put(cell)
    recorder.close()
    assert len(asked) == 1
    assert len(list(tmp_path.glob("cells/*/tracking/*/journal.jsonl"))) == len(cells)  # for monai-ept sync
    assert "does not answer" in caplog.text or "is slow" in caplog.text
