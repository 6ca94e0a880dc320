# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from monai_ept.tracking import open_run
from monai_ept.tracking.search_runs import search_runs
from tests.tracking.scenes import NOWHERE


def test_runs_are_found_by_experiment_and_by_query(database):
    for name in ("first", "second"):
        with open_run(name, name, f"of {name}", tags={"sweep": name}):
            pass

    def names(**question):
        return sorted(run.info.run_name for run in search_runs(**question))

    assert names() == names(tracking_uri=database, experiments=["of first", "of second"]) == ["first", "second"]
    assert names(experiments=["of first"]) == names(query="tags.sweep = 'first'") == ["first"]
    assert names(query="tags.sweep = 'third'") == []
    with pytest.raises(
        ValueError, match=r"no experiment 'third' at sqlite:.*; there is Default, of first, of second\."
    ):
        search_runs(experiments=["of first", "third"])


def test_runs_of_many_pages_are_all_found(database, here):
    """MLflow hands out a thousand at a time; so many are copies of one in its table."""
    with open_run("run", "copied", "pages"):
        pass
    with closing(sqlite3.connect(here / "mlflow.db")) as connection, connection:
        columns = [row[1] for row in connection.execute("PRAGMA table_info(runs)")]
        others = ", ".join(column for column in columns if column != "run_uuid")
        for number in range(1, 2100):
            connection.execute(
                f"INSERT INTO runs (run_uuid, {others}) SELECT ?, {others} FROM runs LIMIT 1", [f"{number:032x}"]
            )
    found = search_runs(experiments=["pages"])
    assert len(found) == len({run.info.run_id for run in found}) == 2100


def test_a_store_that_is_not_there_is_said_and_not_made(here):
    with pytest.raises(
        ValueError, match="there is no sqlite:.*: look where the trainings ran, or pass its tracking_uri"
    ):
        search_runs()
    assert not Path("mlflow.db").exists()
    with pytest.raises(ConnectionError, match=f"MLflow at {NOWHERE} does not answer"):
        search_runs(NOWHERE)
