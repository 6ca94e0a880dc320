# SPDX-License-Identifier: Apache-2.0

"""Upload what is still only on this disk."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from monai_ept.tracking.journal import FOLDER, Journal, write_json
from monai_ept.tracking.mlflow_client import open_client, patience, reason_of, tracking_store, without_password
from monai_ept.tracking.tracked_run import RUN_FILE, own_store, read_about
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
        tracking_uri: another store than the one that each run was meant for.

    Returns:
        one entry for each journal that was not complete in its store.

    Raises:
        FileNotFoundError: when a folder does not exist.
    """
    uri = tracking_store(tracking_uri) if tracking_uri else None
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
    """Folders below ``root``, and itself, that hold journals; hidden ones are not searched."""
    if not root.is_dir():
        raise FileNotFoundError(f"folder {root} does not exist: pass the folder that a run was written to.")
    for current, below, _ in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith("."))
        if FOLDER in below and any((Path(current) / FOLDER).glob("*/journal.jsonl")):
            below.remove(FOLDER)
            yield Path(current)


def _sync_one(
    journal: Journal, later: list[Journal], uri: str | None, clients: dict[str, Any], down: dict[str, str]
) -> Synced | None:
    opening = journal.opening
    name = opening.get("run_name", "?")
    if not opening:
        return Synced(journal.folder, name, "failed", "its first line is damaged")
    store = uri or own_store(opening, None)
    if not journal.reopen():
        return Synced(journal.folder, name, "running")
    try:
        _close_if_killed(journal, later)
        uploader = Uploader(
            journal, store, lambda: _client(store, clients), lambda run_id: _known(journal, run_id, store)
        )
        if uploader.done:
            return None
        if store in down:
            return Synced(journal.folder, name, "failed", down[store])
        uploader.upload()
        return Synced(journal.folder, name, "uploaded")
    except TrackingError as error:
        return Synced(journal.folder, name, "failed", str(error))
    except Exception as error:  # whatever MLflow raises when a store does not answer
        down[store] = f"{without_password(store)} does not answer ({reason_of(error, store)})"
        return Synced(journal.folder, name, "failed", down[store])
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
    ended = (journal.folder / "journal.jsonl").stat().st_mtime
    journal.append("status", status="KILLED", time=int(ended * 1000))


def _known(journal: Journal, run_id: str, store: str) -> None:
    """Let an evaluation find the run where it now is."""
    about = read_about(journal.run_folder)
    if about is not None and about["id"] == journal.opening["id"]:
        about.update(run_id=run_id, tracking_uri=without_password(store))
        write_json(journal.run_folder / RUN_FILE, about)
