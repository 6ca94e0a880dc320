# SPDX-License-Identifier: Apache-2.0

"""Upload what is still only on this disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from monai_ept.files import WriteError
from monai_ept.tracking.address import ForeignAddressError, own_store, tracking_store, without_password
from monai_ept.tracking.journal import FOLDER, RECORDS, Journal
from monai_ept.tracking.mlflow_client import open_client, patience, trouble_of
from monai_ept.tracking.run_file import name_store
from monai_ept.tracking.uploader import TrackingError, Uploader, find_journals

__all__ = ["Synced", "run_folders", "sync"]


class Synced(NamedTuple):
    """What became of a journal: ``uploaded``, ``running`` (it uploads itself), or ``failed`` and why."""

    journal: Path
    run_name: str
    outcome: str
    why: str = ""


def sync(folders: Sequence[str | os.PathLike] = (".",), *, tracking_uri: str | None = None) -> list[Synced]:
    """Upload the records of runs whose store was away. What has arrived is not uploaded again, also when interrupted.

    A run whose process is gone without closing it becomes KILLED.

    Args:
        folders: folders of runs, or folders to search for them.
        tracking_uri: the store for all of them. Without it each goes where it was meant to go, if that is the store
            configured here (MLFLOW_TRACKING_URI, or the database in the working directory): a folder that came from
            somebody else does not decide where files and tokens are sent.

    Returns:
        one entry for each journal that was not complete in its store.

    Raises:
        FileNotFoundError: when a folder does not exist.
        ValueError: when a folder holds no run, or the address is none.
    """
    configured = tracking_store(tracking_uri)
    uri = configured if tracking_uri else None
    results: list[Synced | None] = []
    clients: dict[str, Any] = {}
    down: dict[str, str] = {}
    with patience():
        for folder in folders:
            for run_folder in run_folders(Path(folder)):
                journals = find_journals(run_folder)
                for number, journal in enumerate(journals):
                    results.append(_sync_one(journal, journals[number + 1 :], uri, clients, down))
    return [result for result in results if result is not None]


def run_folders(root: Path) -> Iterator[Path]:
    """
    Folders below ``root``, and itself, that hold journals; hidden ones are not searched.

    Raises:
        ValueError: when there is none.
        FileNotFoundError: when there is no such folder.
    """
    if not root.is_dir():
        wrong = "is a file" if root.exists() else "does not exist"
        raise FileNotFoundError(f"folder {root} {wrong}: pass the folder that a run was written to.")
    found = False
    for current, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if FOLDER in below and find_journals(Path(current)):
            below.remove(FOLDER)
            found = True
            yield Path(current)
    if not found:
        raise ValueError(f"folder {root} holds no run that was recorded: pass the folder that a run was written to.")


def _sync_one(
    journal: Journal, later: list[Journal], uri: str | None, clients: dict[str, Any], down: dict[str, str]
) -> Synced | None:
    name = "?"

    def came(outcome: str, why: str = "") -> Synced:
        return Synced(journal.folder, name, outcome, why)

    try:
        opening = journal.opening
        if not opening:
            return came("failed", "its first line is damaged and names no run: delete the folder if it is of no use")
        name = opening["run_name"]
        if uri is None and Uploader(journal, opening["tracking_uri"]).done:
            return None
        if not journal.reopen():
            return came("running")
    except OSError as error:
        return came(
            "failed", f"it cannot be read and written ({error.strerror or error}): change its rights or make room"
        )
    store = ""
    try:
        store = own_store(opening, uri)
        _close_if_killed(journal, later)
        uploader = Uploader(
            journal, store, lambda: _client(store, clients), lambda run_id: _known(journal, run_id, store)
        )
        if uploader.done:
            return None
        if store in down:
            return came("failed", down[store])
        uploader.upload()
        return came("uploaded")
    except (ForeignAddressError, TrackingError, WriteError) as error:
        return came("failed", str(error).rstrip("."))
    except Exception as error:  # whatever MLflow raises when a store does not answer
        why = down[store] = str(trouble_of(error, store))
        return came("failed", why)
    finally:
        journal.close()


def _client(store: str, clients: dict[str, Any]) -> Any:
    if store not in clients:
        clients[store] = open_client(store)
    return clients[store]


def _close_if_killed(journal: Journal, later: list[Journal]) -> None:
    """A training that did not close its run, and that no later one went on with, was killed."""
    opening = journal.opening
    if opening.get("role") != "training":
        return
    statuses = [content["status"] for content, _ in journal.read() if content.get("kind") == "status"]
    if any(status != "RUNNING" for status in statuses):
        return
    if any((other.opening.get("id"), other.opening.get("role")) == (opening["id"], "training") for other in later):
        return
    ended = (journal.folder / RECORDS).stat().st_mtime
    journal.append("status", status="KILLED", time=int(ended * 1000))


def _known(journal: Journal, run_id: str, store: str) -> None:
    """Let an evaluation find the run where it now is."""
    with suppress(ValueError):  # a damaged run.json: the journal knows enough
        name_store(
            journal.run_folder,
            {"id": journal.opening["id"], "run_id": run_id, "tracking_uri": without_password(store)},
        )
