# SPDX-License-Identifier: Apache-2.0

"""A run: recorded in its journal first, uploaded by a thread beside the training, always closed."""

from __future__ import annotations

import atexit
import json
import logging
import os
import sys
import time
import uuid
import weakref
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from monai_ept._moved import moved_names
from monai_ept.checks import check_choice
from monai_ept.tracking.address import ForeignAddressError, own_store, tracking_store, without_password
from monai_ept.tracking.journal import STATUSES, Journal
from monai_ept.tracking.mlflow_client import import_mlflow, patience
from monai_ept.tracking.run_file import name_store, read_about, write_about
from monai_ept.tracking.upload_thread import UploadThread
from monai_ept.tracking.uploader import find_journals

__all__ = ["TrackedRun", "attach_run", "check_run", "open_run", "resume_run", "status_of"]

LONGEST_NAME = 500
"""Characters that MLflow takes of an experiment's name."""

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
    parent: TrackedRun | None = None,
    upload: bool = True,
) -> TrackedRun:
    """Begin a new run, whatever runs there are of that name or in that folder; a thread contacts the store.

    Args:
        folder: the run's folder, created if need be; the journal is kept in it.
        run_name: need not be unique.
        experiment: that it belongs to.
        tracking_uri: the store, see ``tracking_store``.
        params: what decides the result; nested ones get names such as ``versions.torch``.
        tags: to find and group runs, for example ``{"sweep": "methods-5-shots"}``.
        began: seconds since 1970 at which it began, if it is recorded afterwards.
        parent: the run of the same experiment that MLflow's page shows it under.
        upload: False keeps the records in the folder, for ``sync``.

    Raises:
        ValueError: when MLflow refuses the store, the experiment's name, the parameters or the tags.
        WriteError: when nothing can be written into the folder.

    Example::

        >>> with open_run("runs/first", "ept 5-shot", "derm", params={"method": "ept", "shots": 5}) as run:
        ...     run.log_metrics({"train/loss": 0.7}, step=1)
    """
    uri = tracking_store(tracking_uri)
    check_run(experiment, params, tags)
    about: dict[str, Any] = {
        "id": uuid.uuid4().hex,
        "run_name": str(run_name),
        "experiment": experiment,
        "tracking_uri": without_password(uri),
        "time": int((time.time() if began is None else began) * 1000),
    }
    if parent is not None:
        about["parent"] = parent.identity
    run = TrackedRun(folder, uri if upload else None, about, closes=True)
    run.set_tags({**_usual_tags(), **(tags or {})})
    run.log_params(params or {})
    return run


def resume_run(
    folder: str | os.PathLike,
    *,
    tracking_uri: str | None = None,
    params: Mapping[str, Any] | None = None,
    upload: bool = True,
) -> TrackedRun | None:
    """Continue the run of an interrupted training: same run, and steps that are recorded already are not repeated.

    Args:
        folder: the run's folder.
        tracking_uri: the store; the run's own by default, if it is the one configured here.
        params: those of ``open_run``; one that has changed since becomes the tag ``resumed.<name>``.
        upload: that of ``open_run``.

    Returns:
        the run, or None when there is none in the folder.
    """
    about = read_about(folder)
    if about is None:
        return None
    run = TrackedRun(folder, _store_of(folder, about, tracking_uri) if upload else None, about, closes=True)
    run.mark_running()
    run.log_params(params or {})
    return run


def attach_run(folder: str | os.PathLike, *, tracking_uri: str | None = None) -> TrackedRun | None:
    """Add to the run of a training, an evaluation say; its status stays as it is.

    Args:
        folder: the folder of the training's run.
        tracking_uri: the store; by default the run's own, if that is configured here; otherwise nothing is sent.

    Returns:
        the run, or None when there is none in the folder.
    """
    about = read_about(folder)
    return None if about is None else TrackedRun(folder, _store_of(folder, about, tracking_uri), about, closes=False)


def check_run(experiment: Any, params: Any = None, tags: Any = None) -> None:
    """
    Refuse what MLflow would refuse when a training is over.

    Raises:
        ValueError: when the name is none, or the others are no mappings.
    """
    if (
        not isinstance(experiment, str)
        or not 0 < len(experiment.strip()) <= LONGEST_NAME
        or not experiment.isprintable()
    ):
        raise ValueError(
            f"experiment must be a name of 1 to {LONGEST_NAME} characters in one line, got {repr(experiment)[:60]}."
        )
    for name, given in (("params", params), ("tags", tags)):
        if given is not None and not isinstance(given, Mapping):
            raise ValueError(f"{name} must be a mapping such as {{'sweep': 'first'}}, got {given!r}.")


class TrackedRun:
    """A run that is being recorded, as ``open_run``, ``resume_run`` and ``attach_run`` give it.

    As a context manager it is closed as FINISHED, as FAILED after an exception, and as KILLED after Ctrl-C or
    ``SystemExit``. Without, the end of the process closes it: as FINISHED only if ``completed`` has been set.

    Args:
        folder: the run's folder.
        uri: the store; None keeps the records in the folder.
        about: what ``run.json`` says: id, names and store.
        closes: whether it decides the run's status.
    """

    def __init__(self, folder: str | os.PathLike, uri: str | None, about: dict[str, Any], closes: bool) -> None:
        self.folder = Path(folder)
        self.uri = uri or ""
        self.closed = False
        self.completed = False
        self._closes = closes
        self._about = about
        self._steps: dict[str, int] = {}
        self._params: dict[str, str] = {}
        self._warned: set[str] = set()
        self._waited = False
        earlier = find_journals(self.folder, about["id"])
        if closes:
            self._recall(earlier)
        self.journal = Journal.create(self.folder, {**about, "role": "training" if closes else "addition"})
        write_about(self.folder, about)
        # Held until the thread is done: MLflow reads these settings at each request.
        self._patience = patience()
        self._patience.__enter__()
        self._thread = UploadThread(earlier, self.journal, uri or about["tracking_uri"], self._known)
        if uri is not None:
            import_mlflow(uri)
            self._thread.start()
        _open_runs.add(self)

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None until the store has been reached."""
        return self._about.get("run_id") or None

    @property
    def identity(self) -> dict[str, str]:
        """By what a run that belongs under this one finds it, before any server knows either."""
        return {"id": self._about["id"], "run_name": self._about["run_name"]}

    @property
    def url(self) -> str | None:
        """Where a browser shows the run; None for a local database, and until the store has been reached."""
        experiment = self._thread.experiment_id
        if not self.run_id or not self.uri.startswith("http") or not experiment:
            return None
        return f"{without_password(self.uri).rstrip('/')}/#/experiments/{experiment}/runs/{self.run_id}"

    def log_metrics(self, metrics: Mapping[str, Any], step: int = 0) -> None:
        """Record numbers; in a resumed run, only those of steps that it has not reached before (0 is no such step)."""
        new = {key: float(value) for key, value in metrics.items() if not step or step > self._steps.get(key, 0)}
        if new:
            self._append("metrics", step=int(step), time=_now(), metrics=new)

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
        """Record a file or a folder's files.

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
            reason = error.strerror or error
            self._warn("disk", f"artifact {path} cannot be kept ({reason}): make room; the run stays without it.")
            return
        self._append("artifact", path=kept, folder=str(folder))

    def log_dataset(self, dataset: Mapping[str, str]) -> None:
        """Record what it is trained on, see ``dataset_of``."""
        self._append("dataset", dataset=dict(dataset))

    def log_model(self, name: str, path: str, params: Mapping[str, Any]) -> None:
        """Record a model that MLflow's list of runs names; ``path`` is its file among the run's artifacts."""
        self._append("model", name=name, path=path, params={key: _text(value) for key, value in params.items()})

    def mark_running(self) -> None:
        """Set the status of a run that is resumed."""
        self._append("status", status="RUNNING", time=_now())

    def close(self, status: str = "FINISHED") -> bool:
        """Close the run, and wait until everything has been uploaded or the store does not answer.

        Args:
            status: FINISHED, FAILED or KILLED.

        Returns:
            whether everything has been uploaded.
        """
        check_choice("status", status, STATUSES)
        if os.getpid() != self._thread.pid:
            return False
        if not self.closed:
            self.closed = True
            if self._closes:
                self._append("status", status=status, time=_now())
        if not self._waited:
            try:
                if self.uri:
                    self._thread.finish()
            finally:
                self._waited = True
                self.journal.close()
                self._patience.__exit__(None, None, None)
                _open_runs.discard(self)
            if not self._thread.done and self.uri:
                self._warn(
                    "kept",
                    f"the records of run {self._about['run_name']!r} are kept in {self.journal.folder}: "
                    f"upload them with 'monai-ept sync {self.folder}' when MLflow is there again.",
                )
        return self._thread.done

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
            self._warn(
                "disk",
                f"the journal {self.journal.folder} cannot be written ({error.strerror or error}): what comes until "
                "there is room again is not recorded.",
            )
            if kind == "status":
                # The end of a run on a full disk: nothing can be kept, but the store may take it.
                self._thread.last_word = {"kind": kind, **content}

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
            name_store(self.folder, self._about)
        except (OSError, ValueError) as error:
            self._warn("disk", str(error))

    def _warn(self, what: str, message: str) -> None:
        if what not in self._warned:
            self._warned.add(what)
            logger.warning("%s", message)


def status_of(error: BaseException | None) -> str:
    """The status of a run that ends with that exception."""
    if error is None:
        return "FINISHED"
    return "FAILED" if isinstance(error, Exception) else "KILLED"


_open_runs: weakref.WeakSet[TrackedRun] = weakref.WeakSet()


@atexit.register
def _close_all() -> None:
    """Close what is open when the process ends: by its last exception, if it ended with one."""
    error = getattr(sys, "last_value", None)
    for run in list(_open_runs):
        run.close(status_of(error) if error is not None or run.completed else "KILLED")


def _store_of(folder: str | os.PathLike, about: Mapping[str, Any], uri: str | None) -> str | None:
    """The store of a run that exists; None, and a warning, where its folder names one that the user has not."""
    try:
        return own_store(about, uri)
    except ForeignAddressError as error:
        logger.warning("nothing is sent to MLflow for %s, and its records are kept in it: %s.", folder, error)
        return None


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
        flat.update(_flat(value, f"{prefix}{key}.") if isinstance(value, Mapping) else {f"{prefix}{key}": value})
    return flat


def _now() -> int:
    return int(time.time() * 1000)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False)


__getattr__ = moved_names(__name__)
