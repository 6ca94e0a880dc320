# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import multiprocessing
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import time
from contextlib import closing
from multiprocessing.connection import Connection
from pathlib import Path

import mlflow
import pytest
from alembic import command
from alembic.config import Config
from mlflow import MlflowClient
from mlflow.store.tracking.dbmodels.initial_models import Base
from sqlalchemy import create_engine

from monai_ept.tracking import open_run, sync
from monai_ept.tracking.local_database import DatabaseError, check_database, make_ready
from monai_ept.tracking.process_lock import ProcessLock

FORK = multiprocessing.get_context("fork")


def migrate(path: Path, revision: str) -> None:
    """A database as MLflow's own migrations leave it at a revision: of an earlier release, or half made."""
    engine = create_engine(f"sqlite:///{path}")
    Base.metadata.create_all(engine)
    config = Config()
    config.set_main_option("script_location", str(Path(mlflow.__file__).parent / "store" / "db_migrations"))
    with engine.begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)
    engine.dispose()


def run_sql(path: Path, *statements: str) -> list:
    with closing(sqlite3.connect(path)) as connection, connection:
        return [row for statement in statements for row in connection.execute(statement)]


def opens(path: Path) -> MlflowClient:
    """MLflow itself opens it, which checks its revision, and takes a run."""
    client = MlflowClient(f"sqlite:///{path}")
    client.create_run(client.create_experiment(f"check {time.time_ns()}", str(path.parent)))
    return client


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_one_is_complete_and_leaves_only_its_lock(tmp_path):
    path = tmp_path / "deep" / "runs #1.db"
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / ".runs #1.db.old.partial").mkdir()  # of a killed process
    (tmp_path / "deep" / "runs #1.db-journal").write_bytes(b"of one that was deleted")
    make_ready(path)
    opens(path)
    assert names(tmp_path / "deep") == [".runs #1.db.lock", "runs #1.db"]
    before = path.stat().st_mtime_ns
    make_ready(path)
    assert path.stat().st_mtime_ns == before


def test_one_of_which_mlflow_was_killed_in_the_making_is_made_anew(tmp_path):
    """A real one: a kill between adding a column and writing down that it is there. MLflow never opens it again."""
    path = tmp_path / "mlflow.db"
    migrate(path, "bd07f7e963c5")
    run_sql(path, "ALTER TABLE runs ADD COLUMN deleted_time BIGINT")
    with pytest.raises(Exception, match="duplicate column name: deleted_time"):
        MlflowClient(f"sqlite:///{path}").search_experiments()
    inode = path.stat().st_ino
    make_ready(path)
    opens(path)
    assert path.stat().st_ino == inode  # a program that has it open goes on with the same file
    assert names(tmp_path) == [".mlflow.db.lock", "mlflow.db"]


@pytest.mark.slow
def test_one_of_an_earlier_release_is_upgraded_with_all_of_its_runs(tmp_path):
    path = tmp_path / "mlflow.db"
    migrate(path, "bd07f7e963c5")
    run_sql(
        path,
        "INSERT INTO experiments (experiment_id, name, lifecycle_stage) VALUES (0, 'a', 'active')",
        "INSERT INTO runs (run_uuid, name, user_id, status, start_time, artifact_uri, experiment_id, lifecycle_stage,"
        " source_type) VALUES ('ab', 'old', 'me', 'FINISHED', 1, '', 0, 'active', 'LOCAL')",
        "INSERT INTO metrics (run_uuid, key, value, timestamp, step, is_nan) VALUES ('ab', 'auc', 0.5, 1, 0, 0)",
    )
    make_ready(path)
    client = opens(path)
    assert client.get_run("ab").info.status == "FINISHED"
    assert [metric.value for metric in client.get_metric_history("ab", "auc")] == [0.5]


def test_one_that_holds_runs_and_cannot_be_upgraded_is_left_as_it_is(tmp_path):
    path = tmp_path / "mlflow.db"
    migrate(path, "bd07f7e963c5")
    run_sql(path, "ALTER TABLE runs ADD COLUMN deleted_time BIGINT", "INSERT INTO experiment_tags VALUES ('a', 'b', 0)")
    before = path.read_bytes()
    with pytest.raises(
        DatabaseError, match=r"holds is left as it is .*duplicate column.*'mlflow db upgrade sqlite:///"
    ):
        make_ready(path)
    assert path.read_bytes() == before and names(tmp_path) == [".mlflow.db.lock", "mlflow.db"]


@pytest.mark.slow
def test_one_that_mlflow_is_just_making_is_waited_for(tmp_path):
    path = tmp_path / "mlflow.db"
    maker = FORK.Process(target=lambda: MlflowClient(f"sqlite:///{path}").search_experiments())
    maker.start()
    while not path.exists():
        time.sleep(0.01)
    make_ready(path)
    maker.join()
    assert maker.exitcode == 0
    opens(path)


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_nobodys_lock_and_no_other_journal_is_in_the_way(mode, tmp_path):
    """The lock of a dead process is free; an unfinished database with a write-ahead log is one too."""
    path = tmp_path / "mlflow.db"
    run_sql(path, f"PRAGMA journal_mode={mode}", "CREATE TABLE experiments (experiment_id INTEGER)")
    holder = FORK.Process(target=lambda: (ProcessLock(tmp_path / ".mlflow.db.lock").acquire(), os._exit(0)))
    holder.start()
    holder.join()
    make_ready(path)
    opens(path)


def test_what_is_no_database_of_mlflow_is_refused_and_untouched(tmp_path):
    # MLflow itself tries ten times for almost two minutes.
    (tmp_path / "folder").mkdir()
    (tmp_path / "text.db").write_bytes(b"something else " * 500)
    (tmp_path / "loop.db").symlink_to(tmp_path / "loop.db")
    run_sql(tmp_path / "other.db", "CREATE TABLE songs (title TEXT)", "INSERT INTO songs VALUES ('a')")
    before = {path.name: path.read_bytes() for path in (tmp_path / "text.db", tmp_path / "other.db")}
    for check in (check_database, make_ready):
        with pytest.raises(
            DatabaseError, match=r"folder cannot be opened \(it is not a file\): give tracking_uri another"
        ):
            check(tmp_path / "folder")
        with pytest.raises(
            DatabaseError, match=r"text\.db cannot be opened \(file is not a database\): give .* another"
        ):
            check(tmp_path / "text.db")
        with pytest.raises(DatabaseError, match=r"mlflow\.db cannot be made \(.*text\.db is no folder"):
            check(tmp_path / "text.db" / "mlflow.db")
        with pytest.raises(DatabaseError, match=r"other\.db is another program's, with the tables songs"):
            check(tmp_path / "other.db")
        with pytest.raises(DatabaseError, match=r"loop\.db cannot be opened"):
            check(tmp_path / "loop.db")
    assert {name: (tmp_path / name).read_bytes() for name in before} == before
    check_database(tmp_path / "new" / "mlflow.db")
    assert not (tmp_path / "new").exists()


@pytest.mark.skipif(os.name == "nt" or os.geteuid() != 0, reason="only root mounts a small disk")
@pytest.mark.parametrize("kilobytes", [64, pytest.param(600, marks=pytest.mark.slow)])
def test_a_disk_that_is_full_leaves_nothing_half_made(kilobytes, tmp_path):
    """A real small disk: full before the first table, and in the middle of them."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={kilobytes}k", "tmpfs", disk]).returncode:
        pytest.skip("mounting is not allowed here")
    try:
        with pytest.raises(
            DatabaseError, match=r"cannot be made \(.*(full|disk I/O).*\): the disk is full, make room or"
        ):
            make_ready(disk / "mlflow.db")
        assert names(disk) == [".mlflow.db.lock"]
        subprocess.run(["mount", "-o", "remount,size=8m", disk], check=True)
        make_ready(disk / "mlflow.db")
        opens(disk / "mlflow.db")
    finally:
        subprocess.run(["umount", "-l", disk], check=True)


def first_start(theirs: Connection) -> None:
    with open_run("run", "first", "kills", params={"seed": 1}) as run:
        theirs.send("begun")
        for step in range(1, 21):
            run.log_metrics({"train/loss": 1 / step}, step)


def killed_first_start(after: float) -> bool:
    """Kill a process some time after it has begun its first run, and say whether there is a store."""
    ours, theirs = FORK.Pipe()
    process = FORK.Process(target=first_start, args=(theirs,))
    process.start()
    assert ours.recv() == "begun"
    process.join(after)
    process.kill()
    process.join()
    return Path("mlflow.db").exists()


def check_that_every_run_is_there(runs: int) -> None:
    sync(["."])
    client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
    found = client.search_runs([client.get_experiment_by_name("kills").experiment_id])
    assert len(found) == runs
    assert all(run.data.params == {"seed": "1"} and run.info.status in ("KILLED", "FINISHED") for run in found)


def test_a_first_start_that_is_killed_leaves_a_store_that_opens_with_its_run():
    """Two kills while the tables are made aside, each of another run."""
    assert not killed_first_start(0.1) and not killed_first_start(0.5)
    check_that_every_run_is_there(2)
    assert killed_first_start(1)  # one that finds the store
    check_that_every_run_is_there(3)


@pytest.mark.slow
def test_thirty_random_kills_of_a_first_start_lose_no_run(here, monkeypatch):
    """Each folder sees two kills, so that what the first has left is what the second begins with."""
    moments = random.Random(14)
    states = set()
    (here / "whole").mkdir()
    monkeypatch.chdir(here / "whole")
    began = time.monotonic()
    killed_first_start(600)  # it ends by itself
    longest = time.monotonic() - began
    for number in range(30):
        (here / str(number)).mkdir()
        monkeypatch.chdir(here / str(number))
        for _ in range(2):
            states.add(killed_first_start(moments.uniform(0, longest)))
        check_that_every_run_is_there(2)
        shutil.rmtree(here / str(number))
    assert states == {True, False}  # before it was there, and after


@pytest.mark.slow
def test_thirty_kills_of_mlflows_own_making_are_repaired(here):
    """What an earlier release or ``mlflow ui`` leaves: MLflow makes its tables in place, and is killed at it."""
    moments = random.Random(15)
    for number in range(30):
        path = here / f"{number}.db"
        maker = FORK.Process(target=lambda path=path: MlflowClient(f"sqlite:///{path}").search_experiments())
        maker.start()
        while not path.exists():
            time.sleep(0.01)
        time.sleep(moments.uniform(0, 4))
        os.kill(maker.pid, signal.SIGKILL)
        maker.join()
        make_ready(path)
        opens(path)
