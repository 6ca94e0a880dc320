# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from pathlib import Path

import pytest

from monai_ept.tracking.address import (
    ForeignAddressError,
    database_path,
    missing_database,
    own_store,
    shown,
    tracking_store,
    without_password,
)


def test_the_store_is_the_argument_then_the_environment_then_a_database_here(monkeypatch):
    assert tracking_store() == f"sqlite:///{Path.cwd()}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://somewhere:5000")
    assert tracking_store() == "http://somewhere:5000"
    assert tracking_store("sqlite:////elsewhere/runs.db") == "sqlite:////elsewhere/runs.db"
    assert tracking_store("sqlite+pysqlite:///runs.db?timeout=5") == f"sqlite:///{Path.cwd()}/runs.db?timeout=5"
    assert tracking_store(" https://me:secret@[::1]:5000/mlflow\n") == "https://me:secret@[::1]:5000/mlflow"
    assert tracking_store("databricks") == "databricks"


@pytest.mark.parametrize("uri", ["./mlruns", "file:///tmp/mlruns"])
def test_a_folder_is_refused_before_any_training(uri, monkeypatch):
    monkeypatch.delenv("MLFLOW_ALLOW_FILE_STORE", raising=False)
    with pytest.raises(ValueError, match=r"is a folder, which MLflow no longer takes.*sqlite:///"):
        tracking_store(uri)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    assert tracking_store(uri) == uri


def test_passwords_are_never_written_down_nor_shown():
    assert without_password("https://me:p@ss@host:5000/x?y=1") == "https://host:5000/x?y=1"
    assert without_password("postgresql://u:secret@db/mlflow") == "postgresql://db/mlflow"
    assert without_password("postgresql://db/mlflow?user=u&password=secret&ssl=1") == "postgresql://db/mlflow?ssl=1"
    assert without_password("sqlite:////a/b@c.db") == "sqlite:////a/b@c.db"
    assert without_password("http://host/a@b") == "http://host/a@b"
    # One whose password needed quoting is no address, and is shown in an error all the same.
    assert shown("asked http://me:pa/ss@host:5000 in vain") == "asked http://host:5000 in vain"


def test_the_file_of_a_database(tmp_path):
    assert database_path(tracking_store()) == Path.cwd() / "mlflow.db"
    assert database_path("sqlite:////a/b c/d#1.db?timeout=1") == Path("/a/b c/d#1.db")
    assert database_path("http://host") is None
    store = f"sqlite:///{tmp_path}/a.db?timeout=1"
    assert missing_database(store) and not missing_database("http://host")
    (tmp_path / "a.db").touch()
    assert not missing_database(store)


def test_a_folder_sends_results_only_where_the_user_sends_them(monkeypatch):
    theirs = {"tracking_uri": "http://theirs:5000"}
    with pytest.raises(
        ForeignAddressError, match=r"names MLflow at http://theirs:5000, and configured here is sqlite:"
    ):
        own_store(theirs)
    assert own_store(theirs, "http://ours:5000") == "http://ours:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://me:secret@theirs:5000")
    assert own_store(theirs) == "http://me:secret@theirs:5000"
    assert own_store({"tracking_uri": "http://ours:5000"}) == "http://ours:5000"  # named by the user a moment ago
    here = tracking_store(f"sqlite:///{Path.cwd()}/mlflow.db")
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert own_store({"tracking_uri": here}) == here
