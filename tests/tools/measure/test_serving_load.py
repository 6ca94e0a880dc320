# SPDX-License-Identifier: Apache-2.0

"""A real server under load: what docs/serving.md says of it, on a small network."""

from __future__ import annotations

import re

import pytest

from tools.measure.serving_load import main


@pytest.mark.slow
def test_no_answer_is_lost_or_mixed_up_and_a_killed_server_serves_the_same_again(capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "of the measurement")
    status = main(["--backbone", "test_vit", "--img-size", "64", "--requests", "80"])
    said, wrong = capsys.readouterr()
    assert status == 0, f"{said}\n{wrong}"
    assert "80 of 80 requests of 8 clients answered" in said and "8 broken ones; wrong or mixed up: 0" in said
    assert "killed and started again: 5 of 5 tasks answer as before" in said
    numbers = r"median \d+ ms, p95 \d+ ms"
    assert re.search(f"one request at a time: {numbers}; under load: {numbers}\n", said)
