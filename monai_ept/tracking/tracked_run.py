# SPDX-License-Identifier: Apache-2.0

"""A run: recorded in its journal first, uploaded by a thread beside the training, always closed."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import threading
import time
import uuid
import weakref
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai_ept.checks import check_choice
from monai_ept.tracking.journal import Journal, write_json
from monai_ept.tracking.mlflow_client import (
    import_mlflow,
    open_client,
    patience,
    reason_of,
    tracking_store,
    without_password,
)
from monai_ept.tracking.uploader import TrackingError, Uploader, find_journals

__all__ = ["RUN_FILE", "TrackedRun", "attach_run", "open_run", "own_store", "read_about", "resume_run", "status_of"]

RUN_FILE = "run.json"
"""In the run's folder: which run it is, so that an evaluation finds it."""

STATUSES = ("FINISHED", "FAILED", "KILLED")
PAUSE = 1.0
"""Seconds between two uploads: what comes meanwhile goes in one request."""
PAUSE_DOWN = 30.0
"""Seconds until a store that could not be reached is tried again."""
GIVE_UP = 120.0
"""Seconds without any progress after which the end of a run no longer waits."""

logger = logging.getLogger(__name__)


def open_run(
    folder: str | os.PathLike,
    run_name: str,
    experiment: str,
    *,
    tracking_uri: str | None = None,
    params: Mapping[str, Any] | None = None,
    tags: Mapping[str, Any] | None = None,
    began: float | None = None,
) -> TrackedRun:
    """
    Begin a new run, whatever runs there are of that name or in that folder.

    It takes no longer than writing a few lines: the store is contacted by a thread.

    Args:
        folder: the run's folder, created if need be; the journal is kept in it.
        run_name: its name, which need not be unique.
        experiment: the experiment that it belongs to.
        tracking_uri: the store, see ``tracking_store``.
        params: what decides the result; nested ones get names such as ``versions.torch``.
        tags: to find and group runs, for example ``{"sweep": "methods-5-shots"}``.
        began: when what it records has begun, in seconds since 1970, if it is recorded afterwards.

    Raises:
        ValueError: when the store is one that MLflow refuses.

    Example::

        >>> with open_run("runs/first", "ept 5-shot", "derm", params={"method": "ept", "shots": 5}) as run:
        ...     run.log_metrics({"train/loss": 0.7}, step=1)
    """
    uri = tracking_store(tracking_uri)
    about = {
        "id": uuid.uuid4().hex,
        "run_name": str(run_name),
        "experiment": str(experiment),
        "tracking_uri": without_password(uri),
        "time": int((time.time() if began is None else began) * 1000),
    }
    run = TrackedRun(folder, uri, about, closes=True)
    run.set_tags({**_usual_tags(), **(tags or {})})
    run.log_params(params or {})
    return run


def resume_run(
    folder: str | os.PathLike, *, tracking_uri: str | None = None, params: Mapping[str, Any] | None = None
) -> TrackedRun | None:
    """
    Continue the run of an interrupted training: same run, and steps that are recorded already are not repeated.

    Args:
        folder: the run's folder.
        tracking_uri: the store; the run's own by default.
        params: as given to ``open_run``; one that has changed since becomes the tag ``resumed.<name>``.

    Returns:
        the run, or None when there is none in the folder.
    """
    about = read_about(folder)
    if about is None:
        return None
    run = TrackedRun(folder, own_store(about, tracking_uri), about, closes=True)
    run.mark_running()
    run.log_params(params or {})
    return run


def attach_run(folder: str | os.PathLike, *, tracking_uri: str | None = None) -> TrackedRun | None:
    """
    Add to the run of a training, an evaluation say; its status stays as it is.

    Args:
        folder: the folder of the training's run.
        tracking_uri: the store; the run's own by default.

    Returns:
        the run, or None when there is none in the folder, because it was trained without tracking.
    """
    about = read_about(folder)
    return None if about is None else TrackedRun(folder, own_store(about, tracking_uri), about, closes=False)


class TrackedRun:
    """
    A run that is being recorded; get one from ``open_run``, ``resume_run`` or ``attach_run``.

    As a context manager it is closed as FINISHED, as FAILED after an exception, and as KILLED after Ctrl-C or
    ``SystemExit``. Without, the end of the process closes it: as FINISHED only if ``completed`` has been set.

    Args:
        folder: the run's folder.
        uri: the store.
        about: id, names and store of the run, as ``run.json`` has them.
        closes: whether it decides the run's status.
    """

    def __init__(self, folder: str | os.PathLike, uri: str, about: dict[str, Any], closes: bool) -> None:
        self.folder = Path(folder)
        self.uri = uri
        self.closed = False
        self.completed = False
        self._closes = closes
        self._about = about
        self._steps: dict[str, int] = {}
        self._params: dict[str, str] = {}
        self._warned: set[str] = set()
        self._finished_work = False
        earlier = find_journals(self.folder, about["id"])
        if closes:
            self._recall(earlier)
        role = "training" if closes else "addition"
        self.journal = Journal.create(self.folder, {**about, "role": role})
        write_json(self.folder / RUN_FILE, about)
        # Held until the thread is done: MLflow reads these settings at each request.
        self._patience = patience()
        self._patience.__enter__()
        import_mlflow(uri)
        self._worker = _Worker(earlier, self.journal, uri, self._known)
        self._worker.start()
        _open_runs.add(self)

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None until the store has been reached."""
        return self._about.get("run_id") or None

    @property
    def url(self) -> str | None:
        """Where a browser shows the run; None for a local database, and until the store has been reached."""
        if not self.run_id or not self.uri.startswith("http") or not self._worker.experiment_id:
            return None
        host = without_password(self.uri).rstrip("/")
        return f"{host}/#/experiments/{self._worker.experiment_id}/runs/{self.run_id}"

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Record numbers; in a resumed run, only those of steps that it has not reached before (0 is no such step)."""
        new = {key: float(value) for key, value in metrics.items() if not step or step > self._steps.get(key, 0)}
        if new:
            self._append("metrics", step=int(step), time=int(time.time() * 1000), metrics=new)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record what decides the result; MLflow keeps the first value of each."""
        flat = {key: _text(value) for key, value in _flat(params).items()}
        changed = {f"resumed.{key}": value for key, value in flat.items() if self._params.get(key, value) != value}
        new = {key: value for key, value in flat.items() if key not in self._params}
        self._params.update(new)
        if new:
            self._append("params", params=new)
        if changed:
            self._append("tags", tags=changed)

    def set_tags(self, tags: Mapping[str, Any]) -> None:
        """Record tags; the last value of each counts."""
        if tags:
            self._append("tags", tags={key: _text(value) for key, value in tags.items()})

    def log_artifact(self, path: str | os.PathLike, folder: str = "") -> None:
        """
        Record a file or a folder's files.

        Args:
            path: what to record; a copy is kept if it lies outside the run's folder.
            folder: where to put it among the run's artifacts.

        Raises:
            FileNotFoundError: when there is no such file or folder.
        """
        if not Path(path).exists():
            raise FileNotFoundError(f"artifact {path} does not exist: pass the path of what was written.")
        try:
            kept = self.journal.keep(path)
        except OSError as error:
            self._warn("disk", f"artifact {path} cannot be kept ({error}), the run stays without it.")
            return
        self._append("artifact", path=kept, folder=str(folder))

    def mark_running(self) -> None:
        """Set the status of a run that is resumed."""
        self._append("status", status="RUNNING", time=int(time.time() * 1000))

    def close(self, status: str = "FINISHED") -> bool:
        """
        Close the run, and wait until everything has been uploaded or the store does not answer.

        Args:
            status: FINISHED, FAILED or KILLED.

        Returns:
            whether everything has been uploaded.
        """
        check_choice("status", status, STATUSES)
        if os.getpid() != self._worker.pid:
            return False
        if not self.closed:
            self.closed = True
            if self._closes:
                self._append("status", status=status, time=int(time.time() * 1000))
        if not self._finished_work:
            try:
                self._worker.finish()
            finally:
                self._finished_work = True
                self.journal.close()
                self._patience.__exit__(None, None, None)
                _open_runs.discard(self)
            if not self._worker.done:
                self._warn(
                    "kept",
                    f"the records of run {self._about['run_name']!r} are kept in {self.journal.folder}: "
                    f"upload them with 'monai-ept sync {self.folder}' when MLflow is there again.",
                )
        return self._worker.done

    def __enter__(self) -> TrackedRun:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        self.close(status_of(error))

    def _append(self, kind: str, **content: Any) -> None:
        if self.closed and kind != "status":
            raise ValueError(f"run {self._about['run_name']!r} is closed: record before close, or use attach_run.")
        try:
            self.journal.append(kind, **content)
        except OSError as error:
            self._warn("disk", f"the journal {self.journal.folder} cannot be written ({error}), records are lost.")
            if kind == "status":
                # The end of a run on a full disk: nothing can be kept, but the store may take it.
                self._worker.last_word = {"kind": kind, **content}

    def _recall(self, earlier: list[Journal]) -> None:
        """What earlier journals of the run have recorded."""
        for journal in earlier:
            for content, _ in journal.read():
                if content.get("kind") == "metrics":
                    for key in content["metrics"]:
                        self._steps[key] = max(self._steps.get(key, 0), int(content["step"]))
                elif content.get("kind") == "params":
                    self._params = {**content["params"], **self._params}

    def _known(self, run_id: str) -> None:
        """The store has answered: remember which run it is, unless another training has taken the folder since."""
        if self._about.get("run_id") == run_id:
            return
        self._about = {**self._about, "run_id": run_id}
        try:
            current = read_about(self.folder)
            if current is not None and current["id"] == self._about["id"]:
                write_json(self.folder / RUN_FILE, self._about)
        except OSError as error:
            self._warn("disk", f"{self.folder / RUN_FILE} cannot be written ({error}).")

    def _warn(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s", message)


def status_of(error: BaseException | None) -> str:
    """The status of a run that ends with that exception."""
    if error is None:
        return "FINISHED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"


class _Worker(threading.Thread):
    """Uploads the journal until told to finish."""

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


_open_runs: weakref.WeakSet[TrackedRun] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is open when the process ends: by its last exception, if it ended with one."""
    error = getattr(sys, "last_value", None)
    for run in list(_open_runs):
        run.close(status_of(error) if error is not None or run.completed else "KILLED")


def read_about(folder: str | os.PathLike) -> dict[str, Any] | None:
    try:
        about = json.loads((Path(folder) / RUN_FILE).read_text(encoding="utf-8"))
        return about if all(about.get(key) for key in ("id", "run_name", "experiment", "tracking_uri")) else None
    except (OSError, ValueError, AttributeError):
        return None


def own_store(about: Mapping[str, Any], uri: str | None) -> str:
    """The store of a run that exists; its password, which is never written down, from the environment."""
    if uri:
        return tracking_store(uri)
    environment = os.environ.get("MLFLOW_TRACKING_URI", "")
    return environment if without_password(environment) == about["tracking_uri"] else about["tracking_uri"]


def _usual_tags() -> dict[str, str]:
    """What MLflow's page shows in its columns Source and User."""
    import getpass

    tags = {"mlflow.source.name": Path(sys.argv[0]).name or "python", "mlflow.source.type": "LOCAL"}
    with suppress(KeyError, OSError):  # a container whose user has no name
        tags["mlflow.user"] = getpass.getuser()
    return tags


def _flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            flat[f"{prefix}{key}"] = value
    return flat


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)
