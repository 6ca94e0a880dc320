# SPDX-License-Identifier: Apache-2.0

"""From a journal to MLflow: the same few lines while a training runs, when it ends, and in ``monai-ept sync``.

Whatever is uploaded twice is there once: a run is looked for by its id before it is created, and MLflow takes a metric
of the same time, step and value, a parameter of the same value and an artifact of the same name only once. So an
upload may be interrupted anywhere and begun again at the last place that is known to have arrived.
"""

from __future__ import annotations

import logging
import os
import re
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from monai_ept.tracking.journal import FOLDER, Journal
from monai_ept.tracking.mlflow_client import database_folder, open_client, reason_of, without_password
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["ID_TAG", "TrackingError", "UploadThread", "Uploader", "find_journals"]

ID_TAG = "monai_ept.id"
"""Tag with the id that a run has before any server knows it."""

Batch = tuple[list[Any], list[Any], list[Any]]
"""Metrics, parameters and tags."""
LIMITS = (900, 90, 90)
"""MLflow's, of one batch."""
MAX_TEXT = 6000

PAUSE = 1.0
"""Seconds between two uploads: what comes meanwhile goes in one request."""
PAUSE_DOWN = 30.0
"""Seconds until a store that could not be reached is tried again."""
GIVE_UP = 120.0
"""Seconds without any progress after which the end of a run no longer waits."""

_one_at_a_time = threading.Lock()
"""For local databases: MLflow uses two connections for one batch, and many threads that each hold one wait forever."""

logger = logging.getLogger(__name__)


class TrackingError(RuntimeError):
    """Records that cannot be uploaded, and why; trying again does not help."""


def find_journals(run_folder: Path, identity: str | None = None) -> list[Journal]:
    """Journals of a run's folder in the order they were written, those of one run when its id is given."""
    found = [Journal(path.parent) for path in sorted((run_folder / FOLDER).glob("*/journal.jsonl"))]
    return [journal for journal in found if identity is None or journal.opening.get("id") == identity]


class Uploader:
    """Uploads one journal.

    Args:
        journal: the journal.
        uri: the store, with user and password where it needs them.
        client: opens a client of the store, or hands on one that several journals share.
        on_run: called with the run's id as soon as it is known.
    """

    def __init__(
        self,
        journal: Journal,
        uri: str,
        client: Callable[[], Any] | None = None,
        on_run: Callable[[str], None] | None = None,
    ) -> None:
        self.journal = journal
        self.uri = uri
        self.run_id = ""
        self.last_arrival = time.monotonic()
        self._name = without_password(uri)
        self._open = client or (lambda: open_client(uri))
        self._client: Any = None
        self._on_run = on_run
        self._offset = 0

    @property
    def done(self) -> bool:
        """Whether all that is written has arrived."""
        if self.run_id:
            return self._offset >= self.journal.size
        sent = self.journal.sent
        return sent.get("uri") == self._name and sent["offset"] >= self.journal.size

    def upload(self) -> None:
        """Upload what has been written since the last time.

        Raises:
            TrackingError: when MLflow will not have it, also not later.
            Exception: whatever MLflow raises when the store cannot be reached; try again later.
        """
        with _one_at_a_time if database_folder(self.uri) is not None else nullcontext():
            self._upload()

    def _upload(self) -> None:
        if not self.run_id:
            self._find_run()
        batch: Batch = ([], [], [])
        end = self._offset
        for content, after in self.journal.read(self._offset):
            more = _entities(content)
            if more is None:
                self._send(batch, end)
                self.act(content)
                self._arrived(after)
            else:
                for old, new in zip(batch, more, strict=True):
                    old.extend(new)
                if any(len(items) >= limit for items, limit in zip(batch, LIMITS, strict=True)):
                    self._send(batch, after)
            end = after
        self._send(batch, end)

    def _find_run(self) -> None:
        """The run that the journal belongs to: known from the last time, found by its id, or new."""
        if self._client is None:
            self._client = self._open()
        opening = self.journal.opening
        if not opening:
            raise TrackingError(f"journal {self.journal.folder} is damaged: its first line does not name a run.")
        sent = self.journal.sent
        run_id, offset = sent.get("run_id", ""), sent.get("offset", 0)
        if sent.get("uri") != self._name or not self._is_there(run_id):
            offset = 0
            # Two processes of one run, such as an evaluation and a sync, must not both create it.
            with ProcessLock(self.journal.folder.parent / "create.lock"):
                run_id = self._by_identity(opening) or self._create(opening)
        self._offset, self.run_id = offset, run_id
        self.journal.set_sent(self._name, run_id, offset)
        if self._on_run:
            self._on_run(run_id)

    def _is_there(self, run_id: str) -> bool:
        from mlflow.exceptions import MlflowException

        try:
            return self._check_active(run_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                return False
            raise

    def _check_active(self, run_id: str) -> bool:
        if self._client.get_run(run_id).info.lifecycle_stage == "deleted":
            raise TrackingError(
                f"run {run_id} was deleted in {self._name}: restore it there (mlflow runs restore --run-id {run_id}), "
                f"or delete {self.journal.folder} too."
            )
        return True

    def _experiment(self, name: str, create: bool) -> str:
        from mlflow.exceptions import MlflowException

        experiment = self._client.get_experiment_by_name(name)
        if experiment is None and create:
            try:
                # The tag opens MLflow's page with its view of trainings instead of that of chats.
                tags = {"mlflow.experimentKind": "custom_model_development"}
                return str(self._client.create_experiment(name, _local_artifacts(self.uri), tags))
            except MlflowException as error:
                if error.error_code != "RESOURCE_ALREADY_EXISTS":
                    raise
                experiment = self._client.get_experiment_by_name(name)  # another training was faster
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise TrackingError(
                f"experiment {name!r} was deleted in {self._name}: restore it there "
                f"(mlflow experiments restore --experiment-id {experiment.experiment_id}), or use another name."
            )
        return str(experiment.experiment_id) if experiment is not None else ""

    def _by_identity(self, opening: dict[str, Any]) -> str:
        experiment = self._experiment(opening["experiment"], create=False)
        if not experiment:
            return ""
        from mlflow.entities import ViewType

        query = f"tags.`{ID_TAG}` = '{opening['id']}'"
        runs = self._client.search_runs([experiment], query, run_view_type=ViewType.ALL, max_results=1)
        found = str(runs[0].info.run_id) if runs else ""
        return found if found and self._check_active(found) else ""

    def _create(self, opening: dict[str, Any]) -> str:
        run = self._client.create_run(
            self._experiment(opening["experiment"], create=True),
            start_time=int(opening.get("time", time.time() * 1000)),
            run_name=opening.get("run_name"),
            tags={ID_TAG: opening["id"]},
        )
        return str(run.info.run_id)

    def _send(self, batch: Batch, end: int) -> None:
        """Upload a batch and empty its lists."""
        while any(batch):
            self._log_batch(*(items[:limit] for items, limit in zip(batch, LIMITS, strict=True)))
            for items, limit in zip(batch, LIMITS, strict=True):
                del items[:limit]
        if end != self._offset:
            self._arrived(end)

    def _log_batch(self, *batch: list[Any]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self.run_id, *batch)
        except MlflowException as error:
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise
            self._check_active(self.run_id)
            items = [(kind, item) for kind, those in enumerate(batch) for item in those]
            if len(items) > 1:
                for kind, item in items:  # one that is wrong must not take the others with it
                    self._log_batch(*([item] if kind == other else [] for other in range(len(batch))))
            else:
                ((_, item),) = items
                logger.warning("MLflow refuses %s = %r, it is left out: %s", item.key, item.value, error)

    def act(self, content: dict[str, Any]) -> None:
        """Do what a record says that is no number, parameter or tag: upload an artifact, or set the status."""
        kind = content.get("kind")
        if kind == "artifact":
            path = self.journal.run_folder / content["path"]
            if path.is_dir():
                self._client.log_artifacts(self.run_id, str(path), content["folder"] or None)
            elif path.is_file():
                self._client.log_artifact(self.run_id, str(path), content["folder"] or None)
            else:
                logger.warning("artifact %s is gone, the run in MLflow stays without it.", path)
        elif kind == "status":
            if content["status"] == "RUNNING":
                self._client.update_run(self.run_id, status="RUNNING")
            else:
                self._client.set_terminated(self.run_id, content["status"], end_time=int(content["time"]))

    def _arrived(self, offset: int) -> None:
        self._offset = offset
        self.last_arrival = time.monotonic()
        self.journal.set_sent(self._name, self.run_id, offset)


class UploadThread(threading.Thread):
    """Uploads a run's journals beside a training, those that earlier processes left first, until told to finish."""

    def __init__(self, earlier: list[Journal], journal: Journal, uri: str, on_run: Callable[[str], None]) -> None:
        super().__init__(name="monai_ept tracking", daemon=True)
        self.pid = os.getpid()
        self.done = False
        self.experiment_id = ""
        self.last_word: dict[str, Any] | None = None
        self._earlier = earlier
        self._uri = uri
        self._client: Any = None
        self._uploader = Uploader(journal, uri, self._shared_client, on_run)
        self._closing = threading.Event()
        self._warned = False

    def finish(self) -> None:
        """Upload the rest, and wait for it; but not for a store that does not answer."""
        self._closing.set()
        self._uploader.last_arrival = time.monotonic()
        while self.is_alive() and time.monotonic() - self._uploader.last_arrival < GIVE_UP:
            self.join(0.1)

    def run(self) -> None:
        pause = PAUSE
        tries = 1
        while True:
            closing = self._closing.is_set()
            try:
                self._upload()
            except TrackingError as error:
                logger.warning("%s", error)
                return
            except Exception as error:
                self._warn(error)
                tries -= 1
                if closing and tries <= 0:
                    return
                # A short pause if it was there until now, a long one if it stays away.
                pause = PAUSE if tries > 0 else PAUSE_DOWN
            else:
                pause, tries = PAUSE, 2
                if closing:
                    self.done = True
                    return
            if closing:
                time.sleep(pause)
            elif self._closing.wait(pause) and pause == PAUSE_DOWN:
                return  # it was not there a moment ago: nobody waits for a time-out again

    def _upload(self) -> None:
        while self._earlier:
            self._upload_earlier(self._earlier[0])
            self._earlier.pop(0)
        self._uploader.upload()
        if not self.experiment_id:
            self.experiment_id = self._shared_client().get_run(self._uploader.run_id).info.experiment_id
        if self.last_word is not None and self._closing.is_set():
            self._uploader.act(self.last_word)

    def _upload_earlier(self, journal: Journal) -> None:
        """What the process before left behind; one that is still at work uploads by itself."""
        if journal.reopen():
            try:
                uploader = Uploader(journal, self._uri, self._shared_client)
                if not uploader.done:
                    uploader.upload()
            finally:
                journal.close()

    def _shared_client(self) -> Any:
        if self._client is None:
            self._client = open_client(self._uri)
        return self._client

    def _warn(self, error: Exception) -> None:
        if not self._warned:
            self._warned = True
            name = without_password(self._uri)
            reason = reason_of(error, self._uri)[:160]
            logger.warning("MLflow at %s does not answer; nothing is lost, it is kept here. (%s)", name, reason)


def _entities(content: dict[str, Any]) -> Batch | None:
    """Metrics, parameters and tags of a record; None for one that is something else."""
    from mlflow.entities import Metric, Param, RunTag

    kind = content.get("kind")
    if kind == "metrics":
        when, step = int(content["time"]), int(content["step"])
        return [Metric(_key(key), float(value), when, step) for key, value in content["metrics"].items()], [], []
    if kind == "params":
        return [], [Param(_key(key), str(value)[:MAX_TEXT]) for key, value in content["params"].items()], []
    if kind == "tags":
        return [], [], [RunTag(_key(key), str(value)[:MAX_TEXT]) for key, value in content["tags"].items()]
    return ([], [], []) if kind == "open" else None


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    name = re.sub(r"[^/\w.\- ]", "_", str(name))
    parts = [part for part in name.split("/") if part.strip(". ")]
    return "/".join(parts)[:250] or "unnamed"


def _local_artifacts(uri: str) -> str | None:
    """Artifacts of a local database lie beside it; where those of a server lie, the server says."""
    folder = database_folder(uri)
    return None if folder is None else (folder / "mlruns").as_uri()
