# SPDX-License-Identifier: Apache-2.0

"""
The address of MLflow: what is none is said before any work, and who may name one.

A user names an address: as an argument, in MLFLOW_TRACKING_URI, or by working in a folder that has its ``mlflow.db``.
A run's folder names one too, in its ``run.json`` and its journals, but a folder may come from anybody: results and
tokens only go where the user has said.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, urlsplit

from monai_ept.checks import did_you_mean

__all__ = [
    "DEFAULT_STORE",
    "ForeignAddressError",
    "database_path",
    "missing_database",
    "own_store",
    "shown",
    "tracking_store",
    "without_password",
]

DEFAULT_STORE = "sqlite:///mlflow.db"
"""MLflow's own default, which a bare ``mlflow ui`` in the same folder shows."""

_SERVERS = ("http", "https")
_DATABASES = ("postgresql", "mysql", "mssql")
_HOSTED = ("databricks", "databricks-uc", "uc")

_named: dict[str, str] = {}
"""Addresses that were arguments in this process, with their passwords, by what is written down of them."""


class ForeignAddressError(ValueError):
    """A run's folder names an address that the user has not named."""


def tracking_store(uri: str | None = None) -> str:
    """
    The store that a run goes to.

    Never pass what a folder says: an address that is given here is one that the user has named, and is trusted with
    results and passwords from then on.

    Args:
        uri: a server or database; MLFLOW_TRACKING_URI by default, and without it a database in the working directory.

    Returns:
        the store; that of a local database with its full path, so that it is found again from another folder.

    Raises:
        ValueError: when it is no address of MLflow, or a plain folder, which MLflow refuses.

    Example::

        >>> tracking_store("http://localhost:5000")
        'http://localhost:5000'
    """
    if uri is not None and not isinstance(uri, (str, os.PathLike)):
        raise ValueError(f"tracking_uri must be an address such as http://localhost:5000, got {uri!r}.")
    what = "tracking_uri" if uri else "MLFLOW_TRACKING_URI"
    text = str(uri or os.environ.get("MLFLOW_TRACKING_URI") or DEFAULT_STORE).strip()
    what = f"{what} {shown(text)!r}"
    if re.search(r"[\s\x00-\x1f\x7f]", text) and not text.startswith("sqlite:"):
        raise ValueError(f"{what} has a space or a line's end in it: write it as one word, http://HOST:PORT.")
    store = _checked(text, what)
    if uri:
        _named[without_password(store)] = store
    return store


def _checked(text: str, what: str) -> str:
    if re.fullmatch(r"[\w.-]+:\d+(/.*)?", text):
        raise ValueError(f"{what} does not say how to talk to it: write http://{text}.")
    try:
        parts = urlsplit(text)
        port = None if parts.scheme.startswith("sqlite") else parts.port
    except ValueError as error:
        # What Python says could have a password in it.
        reason = "its port is no number up to 65535" if "ort" in str(error) else "it cannot be read"
        raise ValueError(f"{what} is no address, {reason}: write it as http://HOST:PORT.") from error
    scheme = parts.scheme.partition("+")[0]
    if scheme == "sqlite":
        return _database(text, what)
    if scheme in _SERVERS:
        return _server(text, parts, port, what)
    if scheme in _DATABASES:
        _check_driver(text, what)
        return text
    if scheme in _HOSTED or text in _HOSTED:
        return text
    if scheme in ("", "file") or re.match(r"[a-zA-Z]:[\\/]", text):
        return _folder(text, what)
    from importlib.metadata import entry_points

    if scheme not in {plugin.name for plugin in entry_points(group="mlflow.tracking_store")}:
        known = [*_SERVERS, "sqlite", *_DATABASES, *_HOSTED]
        raise ValueError(f"{what} begins with {scheme}:, which MLflow does not know: {did_you_mean(scheme, known)}")
    return text


def _folder(text: str, what: str) -> str:
    if os.environ.get("MLFLOW_ALLOW_FILE_STORE", "").lower() in ("true", "1"):
        return text
    raise ValueError(
        f"{what} is a folder, which MLflow no longer takes as a store: name a server (http://…) or a database "
        f"(sqlite:///PATH/mlflow.db), or leave it out for {DEFAULT_STORE}."
    )


def _server(text: str, parts: SplitResult, port: int | None, what: str) -> str:
    if not parts.hostname or port == 0:
        raise ValueError(f"{what} names no {'port' if parts.hostname else 'host'}: write it as http://HOST:PORT.")
    if parts.fragment or parts.query:
        base = without_password(text).partition("#")[0].partition("?")[0].rstrip("/")
        raise ValueError(f"{what} is a page of MLflow and not its address: write {base}.")
    return text


def _database(text: str, what: str) -> str:
    _, _, rest = text.partition(":")
    path, _, query = rest.removeprefix("///").partition("?")
    if not rest.startswith("///") or not path or path == ":memory:" or path.startswith("file:"):
        raise ValueError(
            f"{what} names no file, so that runs would vanish with the process: write sqlite:///PATH/mlflow.db."
        )
    if path.endswith("/") or Path(path).is_dir():
        raise ValueError(f"{what} is a folder: name a file in it, sqlite:///{path.rstrip('/')}/mlflow.db.")
    return f"sqlite:///{Path(path).absolute().as_posix()}{'?' if query else ''}{query}"


def _check_driver(text: str, what: str) -> None:
    """Let MLflow make of the address what it needs; that asks no server yet."""
    from mlflow.store.db.utils import create_sqlalchemy_engine

    try:
        create_sqlalchemy_engine(text).dispose()
    except ImportError as error:
        raise ValueError(f"{what} needs the package {error.name!r}: install it first.") from error
    except Exception as error:  # SQLAlchemy's errors have no family of their own among Python's
        raise ValueError(f"{what} is no address ({shown(str(error))}): write it as postgresql://HOST/NAME.") from error


def database_path(uri: str) -> Path | None:
    """The file of a local database; None for any other store."""
    return Path(uri.removeprefix("sqlite:///").partition("?")[0]) if uri.startswith("sqlite:///") else None


def missing_database(uri: str) -> bool:
    """Whether a store is a local database that is not there yet; to read from it would make an empty one."""
    path = database_path(uri)
    return path is not None and not path.is_file()


def without_password(uri: str) -> str:
    """A store's address as it may be written down: no user and no password in it."""
    uri = re.sub(r"(?<=://)[^/\s]*@", "", uri)
    return re.sub(r"(?<=[?&])(user|username|password|passwd|pwd|token)=[^&\s]*&?", "", uri).rstrip("?&")


def shown(text: str) -> str:
    """Any text for a user's eyes, without the user and password of an address in it, however badly that is written."""
    return without_password(re.sub(r"(?<=://)[^\s'\"]*@", "", text))


def own_store(about: Mapping[str, Any], uri: str | None = None) -> str:
    """
    The store of a run that exists, if the user has named it.

    Args:
        about: what the run's folder says of it: its ``tracking_uri``, without a password.
        uri: the address that the user names for it; what the folder says is then not looked at.

    Raises:
        ForeignAddressError: when the folder names another store than the one configured here.
        ValueError: when the address that is named is none.

    Returns:
        the store, with the password that the user has named it with.
    """
    if uri:
        return tracking_store(uri)
    configured = tracking_store()
    stores = {**_named, without_password(configured): configured}
    if about["tracking_uri"] in stores:
        return stores[about["tracking_uri"]]
    theirs = shown(about["tracking_uri"])
    raise ForeignAddressError(
        f"its folder names MLflow at {theirs}, and configured here is {without_password(configured)}: "
        f"name the address yourself (--tracking-uri or tracking_uri, or MLFLOW_TRACKING_URI) if results may go there"
    )
