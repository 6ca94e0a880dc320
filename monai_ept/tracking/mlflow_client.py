# SPDX-License-Identifier: Apache-2.0

"""A client of MLflow that does not make anybody wait, and what its errors mean."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from monai_ept._moved import moved_names
from monai_ept.tracking.address import database_path, shown, without_password
from monai_ept.tracking.local_database import DatabaseError, database_trouble, make_ready

__all__ = ["Trouble", "answers", "as_default_store", "import_mlflow", "open_client", "patience", "trouble_of"]

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

_LATER = "try again later"
_TOKEN = "MLFLOW_TRACKING_TOKEN, or MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD,"
_DATABRICKS = "DATABRICKS_HOST and DATABRICKS_TOKEN, or run 'databricks configure'"
_SHORT = {
    "Connection refused": "connection refused",
    "[Nn]ame or service not known|NameResolution|getaddrinfo|name resolution": "there is no such host",
    "timed out|[Tt]imeout": "timed out",
    "[Cc]onnection reset|Connection aborted|RemoteDisconnected": "connection lost",
    "[Uu]nreachable": "unreachable",
    "too many 5": "it has an error of its own",
    "failed with exception": "no connection",
    "CERTIFICATE_VERIFY|SSLError|certificate": "its certificate is not trusted",
}

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


def import_mlflow(uri: str) -> None:
    """Import MLflow and what it needs for a store.

    A training does so before it starts worker processes: one that is forked while another thread is in the middle of
    an import may wait for that import forever.

    Raises:
        ImportError: when it is not there or broken.
    """
    import logging
    from importlib import import_module

    try:
        import_module("mlflow.tracking")
    except ImportError as error:
        said = str(error).partition("\n")[0]
        raise ImportError(
            f"a record in MLflow needs MLflow, which cannot be imported ({said}): "
            "pip install mlflow, or say track=False."
        ) from error
    if "sql" in urlsplit(uri).scheme:
        import_module("mlflow.store.tracking.sqlalchemy_store")
    # Creating the tables of a new database is reported step by step, in the middle of a progress bar, and an error of a
    # database by a traceback beside the exception.
    for name in ("mlflow.store.db.utils", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)


def open_client(uri: str) -> Any:
    """
    An ``MlflowClient`` of a store; a local database is made first, or finished.

    Raises:
        DatabaseError: when a local database cannot be used.
    """
    import_mlflow(uri)
    from mlflow import MlflowClient

    path = database_path(uri)
    if path is not None:
        make_ready(path)
    return MlflowClient(tracking_uri=uri, registry_uri=uri)


@contextmanager
def as_default_store(uri: str) -> Iterator[None]:
    """A store in a database looks the logged model up in MLflow's default store, whichever client asks it."""
    import mlflow

    before = mlflow.get_tracking_uri() if mlflow.is_tracking_uri_set() else None
    mlflow.set_tracking_uri(uri)
    try:
        yield
    finally:
        mlflow.set_tracking_uri(before)  # type: ignore[arg-type]  # None unsets it


class Trouble(NamedTuple):
    """What is wrong with a store, and what to do; two halves of one sentence."""

    what: str
    advice: str

    def __str__(self) -> str:
        return f"{self.what}: {self.advice}"


@contextmanager
def answers(uri: str, kind: type[Exception], what: str = "") -> Iterator[None]:
    """Be patient with a store, and turn what it raises into one sentence of that kind, after ``what``."""
    with patience():
        try:
            yield
        except Exception as error:
            raise kind(f"{what}{': ' if what else ''}{trouble_of(error, uri)}.") from error


def trouble_of(error: BaseException, uri: str) -> Trouble:
    """What an error of a store means. Only where waiting may help, trying again later is the advice."""
    where = without_password(uri)
    text = shown((str(error) or type(error).__name__).splitlines()[0])
    path = database_path(uri)
    if isinstance(error, DatabaseError):
        return Trouble(*text.rstrip(".").rpartition(": ")[::2])
    if path is not None and "sqlite3." in text:
        return trouble_of(database_trouble(path, "be used", text), uri)
    short = next((say for words, say in _SHORT.items() if re.search(words, text)), "")
    if short or isinstance(error, OSError):
        return Trouble(f"MLflow at {where} does not answer ({short or text[:160]})", _LATER)
    status = _status(error, text)
    if status in (401, 403):
        return Trouble(f"MLflow at {where} does not let you in ({status})", f"set {_TOKEN} to what it wants")
    if "valid JSON" in text or (status >= 300 and "!= 200" in text):
        return Trouble(f"{where} answers, but not as MLflow does ({text[:120]})", "check the address")
    if "credential" in text:
        return Trouble(f"MLflow at {where} does not let you in ({text[:100]})", f"set {_DATABRICKS}")
    return Trouble(f"MLflow at {where} does not take it ({text[:200]})", "see what it says, then sync again")


def _status(error: BaseException, text: str) -> int:
    """The status of an HTTP answer, in which MLflow puts 500 for what it does not know."""
    said = re.search(r"error code (\d{3})", text)
    if said:
        return int(said[1])
    ask = getattr(error, "get_http_status_code", None)
    return int(ask()) if ask else 0


__getattr__ = moved_names(__name__)
