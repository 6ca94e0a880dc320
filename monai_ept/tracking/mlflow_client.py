# SPDX-License-Identifier: Apache-2.0

"""Where runs go, and a client that does not make anybody wait."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from monai_ept.tracking.process_lock import ProcessLock

__all__ = [
    "DEFAULT_STORE",
    "answers",
    "database_folder",
    "import_mlflow",
    "missing_database",
    "open_client",
    "patience",
    "reason_of",
    "tracking_store",
    "without_password",
]

DEFAULT_STORE = "sqlite:///mlflow.db"
"""MLflow's own default, which a bare ``mlflow ui`` in the same folder shows."""

SETTINGS = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
}
"""A server that is down is noticed in seconds instead of MLflow's minutes, since the journal keeps the records and we
try again ourselves; nothing is printed into a progress bar or reported to MLflow's makers. What the user has set in
the environment stays."""

_guard = threading.Lock()
_users = 0
_ours: list[str] = []


@contextmanager
def patience() -> Iterator[None]:
    """Hold ``SETTINGS`` in the environment, where the user has not set them, until the last holder leaves."""
    global _users
    with _guard:
        _users += 1
        if _users == 1:
            _ours[:] = [name for name in SETTINGS if name not in os.environ]
            os.environ.update({name: SETTINGS[name] for name in _ours})
    try:
        yield
    finally:
        with _guard:
            _users -= 1
            if not _users:
                for name in _ours:
                    os.environ.pop(name, None)


def tracking_store(uri: str | None = None) -> str:
    """The store that a run goes to.

    Args:
        uri: a server or database; MLFLOW_TRACKING_URI by default, and without it a database in the working directory.

    Returns:
        the store; that of a local database with its full path, so that it is found again from another folder.

    Raises:
        ValueError: for a plain folder, which MLflow refuses.

    Example::

        >>> tracking_store("http://localhost:5000")
        'http://localhost:5000'
    """
    uri = str(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE)
    scheme = urlsplit(uri).scheme
    if scheme == "sqlite" and uri.startswith("sqlite:///") and not uri.startswith("sqlite:////"):
        return f"sqlite:///{Path(uri.removeprefix('sqlite:///')).absolute().as_posix()}"
    is_folder = scheme == "file" or (not scheme and uri != "databricks")
    if is_folder and os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() not in ("true", "1"):
        raise ValueError(
            f"tracking_uri {uri!r} is a folder, which MLflow no longer takes as a store: name a server "
            f"(http://…) or a database (sqlite:///PATH/mlflow.db), or leave it out for {DEFAULT_STORE}."
        )
    return uri


def without_password(uri: str) -> str:
    """A store's address as it may be written down: no user and no password in it."""
    parts = urlsplit(uri)
    if "@" not in parts.netloc:
        return uri
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def import_mlflow(uri: str) -> None:
    """Import MLflow and what it needs for a store.

    A training does so before it starts worker processes: one that is forked while another thread is in the middle of
    an import may wait for that import forever.
    """
    import logging
    from importlib import import_module

    import_module("mlflow.tracking")
    if "sql" in urlsplit(uri).scheme:
        import_module("mlflow.store.tracking.sqlalchemy_store")
    # Creating the tables of a new database is reported step by step, in the middle of a progress bar.
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.ERROR)


def open_client(uri: str) -> Any:
    """An ``MlflowClient`` of a store.

    Raises:
        OSError: when a local database cannot be opened.
    """
    import_mlflow(uri)
    from mlflow import MlflowClient

    if database_folder(uri) is None:
        return MlflowClient(tracking_uri=uri, registry_uri=uri)
    path = Path(urlsplit(uri).path.removeprefix("/"))
    _check_database(path)
    # Of two trainings that begin at once, MLflow lets both create the tables, and one of them fails.
    with ProcessLock(path.with_name(f".{path.name}.lock")):
        return MlflowClient(tracking_uri=uri, registry_uri=uri)


def database_folder(uri: str) -> Path | None:
    """The folder of a local database; None for any other store."""
    if not uri.startswith("sqlite:///"):
        return None
    return Path(urlsplit(uri).path.removeprefix("/")).absolute().parent


def missing_database(uri: str) -> bool:
    """Whether a store is a local database that is not there yet; to read from it would make an empty one."""
    return database_folder(uri) is not None and not Path(uri.removeprefix("sqlite:///")).is_file()


@contextmanager
def answers(uri: str, kind: type[Exception], what: str) -> Iterator[None]:
    """Be patient with a store, and turn whatever it raises into one sentence of that kind."""
    with patience():
        try:
            yield
        except Exception as error:
            raise kind(f"{what}: {reason_of(error, uri)}") from error


def reason_of(error: BaseException, uri: str) -> str:
    """The first line of an error of a store, without the password in its address."""
    return (str(error) or type(error).__name__).splitlines()[0].replace(uri, without_password(uri))


def _check_database(path: Path) -> None:
    """Open a local database once; MLflow would try ten times, for almost two minutes."""
    import sqlite3
    from contextlib import closing

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with closing(sqlite3.connect(path, timeout=10)) as connection:
            connection.execute("PRAGMA schema_version")
    except (OSError, sqlite3.Error) as error:
        raise OSError(f"database {path} cannot be opened ({error}): give tracking_uri a place to write to.") from error
