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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

from monai_ept.tracking.address import database_path, missing_database, without_password
from monai_ept.tracking.journal import FOLDER, RECORDS, Journal
from monai_ept.tracking.mlflow_client import open_client
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["ID_TAG", "TrackingError", "Uploader", "find_journals"]

ID_TAG = "monai_ept.id"
"""Tag with the id that a run has before any server knows it."""

Batch = tuple[list[Any], list[Any], list[Any]]
"""Metrics, parameters and tags."""
LIMITS = (900, 90, 90)
"""MLflow's, of one batch."""
MAX_TEXT = 6000

_one_at_a_time = threading.Lock()
"""For local databases: MLflow uses two connections for one batch, and many threads that each hold one wait forever."""

logger = logging.getLogger(__name__)


class TrackingError(ValueError):
    """Records that cannot be uploaded, and why; trying again does not help."""


def find_journals(run_folder: Path, identity: str | None = None) -> list[Journal]:
    """Journals of a run's folder in the order they were written, those of one run when its id is given."""
    found = [Journal(path.parent) for path in sorted((run_folder / FOLDER).glob(f"*/{RECORDS}")) if path.is_file()]
    return [journal for journal in found if identity is None or journal.opening.get("id") == identity]


class Uploader:
    """Uploads one journal.

    Args:
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
        self.experiment_id = ""
        self.stopped = False  # nobody waits any more: what is left is for later
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
        complete = sent.get("uri") == self._name and sent["offset"] >= self.journal.size
        return complete and not missing_database(self.uri)

    def upload(self) -> None:
        """Upload what has been written since the last time.

        Raises:
            TrackingError: when MLflow will not have it, also not later.
            Exception: whatever MLflow raises when the store cannot be reached; try again later.
        """
        with _one_at_a_time if database_path(self.uri) is not None else nullcontext():
            self._upload()

    def _upload(self) -> None:
        if not self.run_id:
            self._find_run()
        batch: Batch = ([], [], [])
        end = self._offset
        for content, after in self.journal.read(self._offset):
            if self.stopped:
                return
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
        if sent.get("uri") != self._name or not self._is_there(run_id, opening["id"]):
            offset = 0
            # Two processes of one run, such as an evaluation and a sync, must not both create it.
            with ProcessLock(self.journal.folder.parent / "create.lock"):
                run_id = self._by_identity(opening) or self._create(opening)
        self._offset, self.run_id = offset, run_id
        self._arrived(offset)
        if self._on_run:
            self._on_run(run_id)

    def _is_there(self, run_id: str, identity: str) -> bool:
        """Whether the store has that run, and it is the journal's: what a folder says could be anybody's run."""
        from mlflow.exceptions import MlflowException

        try:
            run = self._check_active(run_id)
        except MlflowException as error:
            if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
                return False
            raise
        return run.data.tags.get(ID_TAG) == identity

    def _check_active(self, run_id: str) -> Any:
        run = self._client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise TrackingError(
                f"run {run_id} was deleted in {self._name}: restore it there (mlflow runs restore --run-id {run_id}), "
                f"or delete {self.journal.folder} too."
            )
        self.experiment_id = str(run.info.experiment_id)
        return run

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
        return str(self._check_active(runs[0].info.run_id).info.run_id) if runs else ""

    def _create(self, opening: dict[str, Any]) -> str:
        self.experiment_id = self._experiment(opening["experiment"], create=True)
        tags = {ID_TAG: opening["id"]}
        if parent := opening.get("parent"):  # whichever of them comes first makes both
            of_both = {**opening, "id": parent["id"], "run_name": parent["run_name"], "parent": None}
            tags["mlflow.parentRunId"] = self._by_identity(of_both) or self._create(of_both)
        run = self._client.create_run(
            self.experiment_id,
            start_time=int(opening.get("time", time.time() * 1000)),
            run_name=opening.get("run_name"),
            tags=tags,
        )
        return str(run.info.run_id)

    def _send(self, batch: Batch, end: int) -> None:
        """Upload a batch and empty its lists."""
        while any(batch) and not self.stopped:
            self._log_batch(*(items[:limit] for items, limit in zip(batch, LIMITS, strict=True)))
            for items, limit in zip(batch, LIMITS, strict=True):
                del items[:limit]
        if end != self._offset and not self.stopped:
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
        """Do what a record says that is no number, parameter or tag: name the data, upload a file, set the status."""
        kind = content.get("kind")
        if kind is None:
            logger.warning("a line of journal %s is damaged and left out.", self.journal.folder)
        elif kind == "artifact":
            for path, folder in _files_of(self.journal.run_folder, content):
                if not self.stopped:
                    self._artifact(path, folder)
        elif kind == "dataset":
            self._dataset(content["dataset"])
        elif kind == "model":
            self._model(content)
        elif kind == "status":
            if content["status"] == "RUNNING":
                self._client.update_run(self.run_id, status="RUNNING")
            else:
                self._client.set_terminated(self.run_id, content["status"], end_time=int(content["time"]))

    def _dataset(self, about: dict[str, str]) -> None:
        from mlflow.entities import Dataset, DatasetInput, InputTag
        from mlflow.utils.mlflow_tags import MLFLOW_DATASET_CONTEXT

        tags = [InputTag(MLFLOW_DATASET_CONTEXT, "training")]
        with _left_out(f"data set {about['name']}"):
            self._client.log_inputs(self.run_id, [DatasetInput(Dataset(**about), tags)])

    def _model(self, content: dict[str, Any]) -> None:
        from mlflow.entities import LoggedModelOutput

        name = re.sub("[/:.%\"']", "-", content["name"])
        with _left_out(f"model {name}"):
            query = f"source_run_id = '{self.run_id}' AND name = '{name}'"
            (model,) = self._client.search_logged_models([self.experiment_id], query, max_results=1) or [
                self._client.create_logged_model(
                    self.experiment_id,
                    name,
                    self.run_id,
                    tags={"adapter": f"runs:/{self.run_id}/{content['path']}"},
                    params={key: value[:MAX_TEXT] for key, value in content["params"].items()},
                    model_type="adapter",
                )
            ]
            self._client.finalize_logged_model(model.model_id, "READY")
            outputs = self._client.get_run(self.run_id).outputs
            if model.model_id not in {output.model_id for output in outputs.model_outputs}:
                self._client.log_outputs(self.run_id, [LoggedModelOutput(model.model_id, step=0)])

    def _artifact(self, path: Path, folder: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_artifact(self.run_id, str(path), folder or None)
        except MlflowException as error:
            if error.error_code != "INVALID_PARAMETER_VALUE" and "Invalid artifact path" not in str(error):
                raise
            logger.warning("MLflow refuses artifact %s in %r, it is left out: %s", path, folder, error)
        self.last_arrival = time.monotonic()

    def _arrived(self, offset: int) -> None:
        self._offset = offset
        self.last_arrival = time.monotonic()
        with suppress(OSError):  # a full disk: what has arrived will arrive once more, and be there once
            self.journal.set_sent(self._name, self.run_id, offset)


@contextmanager
def _left_out(what: str) -> Iterator[None]:
    """A run goes without what MLflow refuses, or what its release does not know."""
    from mlflow.exceptions import MlflowException

    try:
        yield
    except MlflowException as error:
        if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST", "ENDPOINT_NOT_FOUND"):
            raise
        logger.warning("MLflow refuses %s, it is left out: %s", what, error)


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


def _files_of(run_folder: Path, content: dict[str, Any]) -> Iterator[tuple[Path, str]]:
    """
    The files of an artifact, and the folders that they go to.

    A journal may come from anybody and name anything: only files that lie in the run's folder are taken, wherever links
    lead.
    """
    root = run_folder.resolve()
    named = run_folder / content["path"]
    files = [named]
    if named.is_dir() and named.resolve().is_relative_to(root):
        # Links to folders are not followed: they may lead to anywhere, and in a circle.
        files = [Path(top) / name for top, _, inside in os.walk(named) for name in sorted(inside)]
    for path in files:
        if not path.resolve().is_relative_to(root):
            logger.warning("artifact %s lies outside the run's folder and is left out: copy it into %s.", path, root)
        elif not path.is_file():
            logger.warning("artifact %s is gone or no file, the run in MLflow stays without it.", path)
        else:
            below = path.parent.relative_to(named).as_posix() if path != named else "."
            yield path, "/".join(part for part in (content["folder"], below) if part not in ("", "."))


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    name = re.sub(r"[^/\w.\- ]", "_", str(name))
    parts = [part for part in name.split("/") if part.strip(". ")]
    return "/".join(parts)[:250] or "unnamed"


def _local_artifacts(uri: str) -> str | None:
    """Artifacts of a local database lie beside it; where those of a server lie, the server says."""
    path = database_path(uri)
    return None if path is None else (path.parent / "mlruns").as_uri()
