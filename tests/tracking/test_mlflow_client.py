# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import os
from pathlib import Path

import pytest

from monai_ept.tracking.mlflow_client import (
    SETTINGS,
    database_folder,
    open_client,
    patience,
    tracking_store,
    without_password,
)


def test_the_store_is_the_argument_then_the_environment_then_a_database_here(monkeypatch):
    assert tracking_store() == f"sqlite:///{Path.cwd()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert tracking_store() == "http://somewhere:5000"
    assert tracking_store("sqlite:////elsewhere/runs.db") == "sqlite:////elsewhere/runs.db"
    assert tracking_store("postgresql://u:secret@db/mlflow") == "postgresql://u:secret@db/mlflow"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_refused_before_any_training(uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(ValueError, match=r"is a folder, which MLflow no longer takes.*sqlite:///"):
        tracking_store(uri)


def test_passwords_are_never_written_down():
    assert without_password("https://me:p@ss@host:5000/x?y=1") == "https://host:5000/x?y=1"
    assert without_password("postgresql://u:secret@db/mlflow") == "postgresql://db/mlflow"
    assert without_password("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"


def test_patience_is_given_back_and_the_users_own_stays(monkeypatch):
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "77")
    before = dict(os.environ)
    with patience():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "77"
        with patience():
            pass
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "0"
    assert dict(os.environ) == before


def test_the_folder_of_a_database():
    assert database_folder(tracking_store()) == Path.cwd()
    assert database_folder("sqlite:////a/b c/d.db").as_posix() == "/a/b c"
    assert database_folder("http://host") is None


def test_a_database_that_cannot_be_opened_is_said_at_once(tmp_path):
    # MLflow itself tries ten times for almost two minutes.
    (tmp_path / "folder.db").mkdir()
    with pytest.raises(OSError, match=r"folder\.db cannot be opened \(unable to open database file\)"):
        open_client(f"sqlite:///{tmp_path}/folder.db")
    with pytest.raises(OSError, match=r"a\.db/mlflow\.db cannot be opened .*give tracking_uri a place to write to"):
        (tmp_path / "a.db").touch()
        open_client(f"sqlite:///{tmp_path}/a.db/mlflow.db")
    (tmp_path / "a.db").write_bytes(b"something else " * 500)
    with pytest.raises(OSError, match=r"a\.db cannot be opened \(file is not a database\)"):
        open_client(f"sqlite:///{tmp_path}/a.db")
