# SPDX-License-Identifier: Apache-2.0

"""
MLflow's database on this disk: it is there with all of its tables, or not at all.

MLflow takes seconds to make its tables, one by one, and a database in whose making it was killed may stay broken for
ever. So a new one is made aside and put into place when it is complete. One that was left unfinished, by an earlier
release or by MLflow itself, is made anew if it holds nothing, and upgraded aside if it holds runs: what is there is
only replaced by what is complete, in one step that SQLite undoes when it is interrupted.
"""

from __future__ import annotations

import contextlib
import functools
import glob
import os
import re
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["DatabaseError", "check_database", "database_trouble", "make_ready"]

PATIENCE = 120.0
"""Seconds to wait for another process that makes the database."""
STILL = 2.0
"""Seconds without a change after which nobody is at work on an unfinished database any more."""


_ADVICE = (
    ("is locked", "another program is at work on it, try again later"),
    (
        "full|No space left|[Qq]uota|disk I/O|File too large",
        "the disk is full, make room or give tracking_uri another place",
    ),
    ("malformed", "it is damaged, put it aside or bring back a copy of it"),
    ("not a database|not a file", "give tracking_uri another file"),
)


class DatabaseError(OSError):
    """A local database that cannot be used, and what to do."""


class _Content(NamedTuple):
    tables: set[str]
    revision: str


def check_database(path: Path) -> None:
    """
    Refuse a database that waiting does not make usable, before anything is done for it; nothing is written.

    Args:
        path: the database; it need not be there.

    Raises:
        DatabaseError: when it is no database or that of another program, or cannot be made there.
    """
    _checked(path)


def make_ready(path: Path) -> None:
    """
    Make a local database, or finish one that was left unfinished, unless it is complete.

    Raises:
        DatabaseError: when it cannot be made or used; what is in it is untouched.
    """
    path, found = _checked(path)
    if _is_complete(found):
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with _alone(path):
            end = time.monotonic() + PATIENCE
            while not _is_complete(found := _look(path)):
                if time.monotonic() > end:
                    raise _busy(path)
                before = _state(path)
                # An unfinished one may have a maker who is alive: MLflow's own pages, started a moment ago.
                time.sleep(STILL if before else 0)
                if _state(path) != before:
                    continue
                with _made_aside(path, bool(before) and _holds_something(path, found.tables)) as made:
                    if _state(path) == before:
                        _put_into_place(made, path)
    except DatabaseError:
        raise
    except (OSError, sqlite3.Error) as error:
        raise database_trouble(path, "be made", error) from error


def _checked(path: Path) -> tuple[Path, _Content]:
    """Where a database really is, and what it holds."""
    try:
        path = path.resolve()
        folder = next(parent for parent in path.parents if parent.exists())
    except (OSError, RuntimeError) as error:  # a link to itself
        raise database_trouble(path, "be opened", error) from error
    if not folder.is_dir() or (not path.exists() and not os.access(folder, os.W_OK)):
        raise database_trouble(path, "be made", f"{folder} is no folder that can be written to")
    return path, _look(path)


def _is_complete(found: _Content) -> bool:
    return found.revision == _newest_revision() and not any(name.startswith("_alembic_tmp_") for name in found.tables)


@functools.cache
def _newest_revision() -> str:
    """What the installed MLflow calls a complete database; it tells nobody in a public way."""
    from mlflow.store.db.utils import _get_latest_schema_revision

    return str(_get_latest_schema_revision())


def _look(path: Path) -> _Content:
    """What a database holds; nothing if there is none."""
    if not path.exists():
        return _Content(set(), "")
    if not path.is_file():
        raise database_trouble(path, "be opened", "it is not a file")
    try:
        # To read is to undo first what a killed process left half done; that never makes a file that is not there.
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=rw", uri=True, timeout=10)) as connection:
            tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            tables = {name for name in tables if not name.startswith("sqlite_")}
            if tables and not tables & {"experiments", "_alembic_tmp_experiments", "alembic_version"}:
                others = ", ".join(sorted(tables)[:3])
                raise DatabaseError(
                    f"database {path} is another program's, with the tables {others}: give tracking_uri another file."
                )
            revision = ""
            if "alembic_version" in tables:
                (revision,) = next(iter(connection.execute("SELECT version_num FROM alembic_version")), ("",))
            return _Content(tables, revision)
    except sqlite3.Error as error:
        raise database_trouble(path, "be opened", error) from error


def _holds_something(path: Path, tables: set[str]) -> bool:
    """Whether a user has recorded anything; MLflow itself makes a first experiment and a first workspace."""
    own = {"alembic_version": "FALSE", "experiments": "experiment_id != 0", "workspaces": "name != 'default'"}
    with closing(sqlite3.connect(path, timeout=10)) as connection:
        return any(
            connection.execute(
                f'SELECT EXISTS (SELECT 1 FROM "{table}" WHERE {own.get(table.removeprefix("_alembic_tmp_"), "TRUE")})'
            ).fetchone()[0]
            for table in tables
        )


@contextlib.contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold the lock beside a database, so that of two trainings that begin at once only one makes it."""
    lock = ProcessLock(path.with_name(f".{path.name}.lock"))
    end = time.monotonic() + PATIENCE
    while not lock.acquire():
        if time.monotonic() > end:
            raise _busy(path)
        time.sleep(0.05)
    try:
        yield
    finally:
        lock.release()


@contextlib.contextmanager
def _made_aside(path: Path, keep: bool) -> Iterator[Path]:
    """A complete database in a folder beside: a new one, or with all that is in one which holds something."""
    from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

    for leftover in path.parent.glob(f".{glob.escape(path.name)}.*.partial"):
        shutil.rmtree(leftover, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", suffix=".partial", dir=path.parent) as folder:
        made = Path(folder) / path.name
        try:
            if keep:
                _copy(path, made)
            store = SqlAlchemyStore(f"sqlite:///{made.as_posix()}", str(path.parent / "mlruns"))
            store.engine.dispose()
        except Exception as error:  # whatever SQLAlchemy, Alembic and MLflow raise
            if keep:
                raise _unfinished(path, error) from error
            raise database_trouble(path, "be made", error) from error
        yield made


def _state(path: Path) -> list[tuple[int, int]]:
    """What changes while anybody writes to a database; empty when there is none."""
    files = [path, path.with_name(f"{path.name}-journal"), path.with_name(f"{path.name}-wal")]
    return [(file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]


def _put_into_place(made: Path, path: Path) -> None:
    if path.exists():
        # Not renamed over it: a program that has it open would go on with a file that nobody finds any more.
        _copy(made, path)
        return
    for ending in ("-journal", "-wal", "-shm"):  # of one that was deleted; SQLite would take them for those of this one
        path.with_name(path.name + ending).unlink(missing_ok=True)
    try:
        os.link(made, path)  # never over what another program has made meanwhile
    except FileExistsError:
        return
    except OSError:  # a disk without hard links
        os.replace(made, path)


def _copy(source: Path, target: Path) -> None:
    """All of a database over another in one transaction."""
    try:
        with closing(sqlite3.connect(source)) as there, closing(sqlite3.connect(target, timeout=10)) as here:
            there.backup(here)
    except sqlite3.Error as error:
        raise database_trouble(target, "be written", error) from error


def database_trouble(path: Path, what: str, reason: object) -> DatabaseError:
    """
    The one sentence for what SQLite, MLflow or the system says of a database.

    Args:
        what: that cannot be done: "be opened", "be made" or "be written".

    Returns:
        the error to raise.
    """
    text = reason.strerror if isinstance(reason, OSError) and reason.strerror else str(reason).strip()
    text = re.sub(r"^\(sqlite3\.\w+\) ", "", text.splitlines()[0] if text else type(reason).__name__)[:200]
    advice = next((say for words, say in _ADVICE if re.search(words, text)), "give tracking_uri a place to write to")
    return DatabaseError(f"database {path} cannot {what} ({text}): {advice}.")


def _busy(path: Path) -> DatabaseError:
    return DatabaseError(f"database {path} is being made by another process, which does not end: try again later.")


def _unfinished(path: Path, error: Exception) -> DatabaseError:
    return DatabaseError(
        f"database {path} is unfinished or of another release of MLflow; what it holds is left as it is "
        f"({str(error).splitlines()[0][:120]}): keep a copy and run 'mlflow db upgrade sqlite:///{path}', or give "
        "tracking_uri another file."
    )
