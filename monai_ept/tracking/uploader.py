# SPDX-License-Identifier: Apache-2.0

"""From a journal to MLflow: the same few lines while a training runs, when it ends, and in ``monai-ept sync``.

Whatever is uploaded twice is there once: a run is looked for by its id before it is created, and MLflow takes a metric
of the same time, step and value, a parameter of the same value and an artifact of the same name only once. So an
upload may be interrupted anywhere and begun again at the last place that is known to have arrived.
"""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from monai_ept.tracking.journal import FOLDER, Journal
from monai_ept.tracking.mlflow_client import database_folder, open_client, without_password
from monai_ept.tracking.process_lock import ProcessLock

__all__ = ["ID_TAG", "TrackingError", "Uploader", "find_journals"]

ID_TAG = "monai_ept.id"
"""Tag with the id that a run has before any server knows it."""

# MLflow's limits of one batch.
MAX_METRICS = 900
MAX_OTHERS = 90
MAX_TEXT = 6000

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
    """
    Uploads one journal.

    Args:
        journal: the journal.
        uri: the store, with user and password where it needs them.
        client: a function that opens a client of the store; one that several journals share, say.
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
        """
        Upload what has been written since the last time.

        Raises:
            TrackingError: when MLflow will not have it, also not later.
            Exception: whatever MLflow raises when the store cannot be reached; try again later.
        """
        with _one_at_a_time if database_folder(self.uri) is not None else nullcontext():
            self._upload()

    def _upload(self) -> None:
        if not self.run_id:
            self._find_run()
        metrics: list[Any] = []
        params: list[Any] = []
        tags: list[Any] = []
        end = self._offset
        for content, after in self.journal.read(self._offset):
            more = self._entities(content)
            if more is None:
                self._send(metrics, params, tags, end)
                self.act(content)
                self._arrived(after)
            else:
                for old, new in zip((metrics, params, tags), more, strict=True):
                    old.extend(new)
                if len(metrics) >= MAX_METRICS or len(params) >= MAX_OTHERS or len(tags) >= MAX_OTHERS:
                    self._send(metrics, params, tags, after)
            end = after
        self._send(metrics, params, tags, end)

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
        if runs:
            self._check_active(runs[0].info.run_id)
            return str(runs[0].info.run_id)
        return ""

    def _create(self, opening: dict[str, Any]) -> str:
        run = self._client.create_run(
            self._experiment(opening["experiment"], create=True),
            start_time=int(opening.get("time", time.time() * 1000)),
            run_name=opening.get("run_name"),
            tags={ID_TAG: opening["id"]},
        )
        return str(run.info.run_id)

    def _entities(self, content: dict[str, Any]) -> tuple[list[Any], list[Any], list[Any]] | None:
        """Metrics, parameters and tags of a record; None for one that is something else."""
        from mlflow.entities import Metric, Param, RunTag

        kind = content.get("kind")
        metrics, params, tags = [], [], []
        if kind == "metrics":
            when, step = int(content["time"]), int(content["step"])
            metrics = [Metric(_key(key), float(value), when, step) for key, value in content["metrics"].items()]
        elif kind == "params":
            params = [Param(_key(key), str(value)[:MAX_TEXT]) for key, value in content["params"].items()]
        elif kind == "tags":
            tags = [RunTag(_key(key), str(value)[:MAX_TEXT]) for key, value in content["tags"].items()]
        elif kind != "open":
            return None
        return metrics, params, tags

    def _send(self, metrics: list[Any], params: list[Any], tags: list[Any], end: int) -> None:
        """Upload a batch and empty the lists."""
        while metrics or params or tags:
            batch = metrics[:MAX_METRICS], params[:MAX_OTHERS], tags[:MAX_OTHERS]
            self._log_batch(*batch)
            del metrics[:MAX_METRICS], params[:MAX_OTHERS], tags[:MAX_OTHERS]
        if end != self._offset:
            self._arrived(end)

    def _log_batch(self, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.log_batch(self.run_id, metrics=metrics, params=params, tags=tags)
        except MlflowException as error:
            if error.error_code not in ("INVALID_PARAMETER_VALUE", "BAD_REQUEST"):
                raise
            self._check_active(self.run_id)
            parts: list[tuple[list[Any], list[Any], list[Any]]] = [([item], [], []) for item in metrics]
            parts += [([], [item], []) for item in params]
            parts += [([], [], [item]) for item in tags]
            if len(parts) > 1:
                for part in parts:  # one that is wrong must not take the others with it
                    self._log_batch(*part)
            else:
                (item,) = metrics + params + tags
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


def _key(name: str) -> str:
    """A name as MLflow takes it."""
    name = re.sub(r"[^/\w.\- ]", "_", str(name))
    parts = [part for part in name.split("/") if part.strip(". ")]
    return "/".join(parts)[:250] or "unnamed"


def _local_artifacts(uri: str) -> str | None:
    """Artifacts of a local database lie beside it; where those of a server lie, the server says."""
    folder = database_folder(uri)
    return None if folder is None else (folder / "mlruns").as_uri()
