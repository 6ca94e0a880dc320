# SPDX-License-Identifier: Apache-2.0

"""A training and its evaluation, recorded as one run in MLflow."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from ignite.engine import Engine, Events

from monai_ept.handlers.step_values import epoch_losses, loss_waits, single_number, step_loss, step_lr, watch_steps
from monai_ept.metrics import Interval

if TYPE_CHECKING:
    from monai_ept.tracking import TrackedRun

__all__ = ["MLflowTracking", "flat_metrics"]

logger = logging.getLogger(__name__)

_OF_A_MODEL = ("method", "backbone", "source", "shots", "seed", "split_hash")
"""Parameters that a model keeps, or what they begin with."""


class MLflowTracking:
    """Records a training in MLflow: one unique run, always closed, and never in the way.

    Attached to a trainer it opens the run when the training starts, and records loss and base learning rate of each
    step, seconds and peak memory of each epoch, and the metrics of every attached evaluator. The run stays open for the
    test results, until ``finish``. An exception closes it as FAILED, Ctrl-C and SIGTERM as KILLED. Attach it after
    other handlers of exceptions: it raises them again. Of several processes only the first records. (MONAI's own
    ``MLFlowHandler`` shares runs between trainings and leaves them open.)

    Args:
        run_name: made from method, shots, seed and source by default.
        experiment: that the run belongs to.
        tracking_uri: the store, see ``tracking_store``; a run that exists keeps its own, if it is configured here.
        params: what decides the result.
        tags: to find and group runs, for example ``{"sweep": "derm-methods"}``.
        artifacts_dir: the run's folder, ``runs/<run_name>`` by default, with its records and ``run.json``.
        enabled: False makes all of it do nothing.
        dataset: what it is trained on, see ``monai_ept.tracking.dataset_input.dataset_of``.
        resume: go on with the run of that folder, if it has one.
        attach_to: folder of a training whose run is added to, for its evaluation. Without a run in it nothing is
            recorded.

    Raises:
        ValueError: when MLflow refuses the store, the experiment's name, params or tags, or ``run.json`` is damaged.
        DatabaseError: when a local database is none, or cannot be written.

    Example::

        >>> tracking = MLflowTracking("ept-5shot-seed0", "derm", params={"method": "ept"}, artifacts_dir="runs/first")
        >>> with tracking:
        ...     tracking.attach(trainer)
        ...     tracking.attach_evaluator(evaluator, prefix="val")
        ...     trainer.run()
        ...     tracking.finish({"accuracy": Interval(0.8, 0.7, 0.9)}, {"figures": ["runs/first/confusion.png"]})
    """

    def __init__(
        self,
        run_name: str | None = None,
        experiment: str = "monai_ept",
        tracking_uri: str | None = None,
        params: Mapping[str, Any] | None = None,
        tags: Mapping[str, Any] | None = None,
        artifacts_dir: str | os.PathLike | None = None,
        enabled: bool = True,
        *,
        dataset: Mapping[str, str] | None = None,
        resume: bool = False,
        attach_to: str | os.PathLike | None = None,
    ) -> None:
        self.enabled = bool(enabled)
        if self.enabled:
            from monai_ept.tracking.tracked_run import check_run

            check_run(experiment, params, tags)
        self.params, self.tags = dict(params or {}), dict(tags or {})
        self.run_name = run_name or _name_of(self.params)
        self.experiment, self.tracking_uri = experiment, tracking_uri
        self.folder = Path(attach_to or artifacts_dir or Path("runs") / self.run_name.replace("/", "-"))
        self.run: TrackedRun | None = None
        self._resume = resume
        self._dataset = dataset
        self._attach = attach_to is not None
        self._trainer: Any = None
        if self.enabled and not self._attach:
            self._check()

    def _check(self) -> None:
        """What cannot be recorded is an error now, not when the training starts."""
        from monai_ept.tracking.address import database_path, tracking_store
        from monai_ept.tracking.local_database import check_database
        from monai_ept.tracking.run_file import read_about

        path = database_path(tracking_store(self.tracking_uri))
        if path is not None:
            check_database(path)
        if self._resume:
            read_about(self.folder)

    @property
    def run_id(self) -> str | None:
        """The run's id in MLflow; None before the store has answered, or when tracking is off."""
        return self.run.run_id if self.run is not None else None

    def attach(self, engine: Engine) -> None:
        """Record a trainer."""
        if not self.enabled:
            return
        self._trainer = engine
        watch_steps(engine)
        engine.add_event_handler(Events.STARTED, self.start)
        engine.add_event_handler(Events.ITERATION_COMPLETED, self._step)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self._epoch)
        engine.add_event_handler(Events.COMPLETED, self._completed)
        engine.add_event_handler(Events.EXCEPTION_RAISED, self._failed)

    def attach_evaluator(self, evaluator: Engine, prefix: str = "val") -> None:
        """Record the metrics of each run of an evaluator as ``<prefix>/<metric>``, at the trainer's epoch."""
        if self.enabled:
            evaluator.add_event_handler(Events.COMPLETED, self._evaluated, prefix)

    def start(self, *_: Any) -> None:
        """Open the run; once is enough. The training does not wait for the store."""
        if not self.enabled or self.run is not None:
            return
        if _rank() > 0:
            self.enabled = False
            return
        from monai_ept.tracking import attach_run, open_run, resume_run

        if self._attach:
            try:
                self.run = attach_run(self.folder, tracking_uri=self.tracking_uri)
            except ValueError as error:  # a damaged run.json must not take an evaluation with it
                logger.warning("the results are not added to the training's run in MLflow: %s", error)
            self.enabled = self.run is not None
            return
        store: dict[str, Any] = {"tracking_uri": self.tracking_uri, "params": self.params}
        if self._resume:
            self.run = resume_run(self.folder, **store)
        if self.run is None:
            tags = {"mlflow.note.content": _note(self.params), **self.tags}
            self.run = open_run(self.folder, self.run_name, self.experiment, tags=tags, **store)
        if self._dataset is not None:
            self.run.log_dataset(self._dataset)

    def log(self, metrics: Mapping[str, Any], step: int = 0, prefix: str = "") -> None:
        """Record numbers, intervals, and mappings of them; what is none of these has no place among metrics."""
        self.start()
        if self.run is not None and not self.run.closed:
            self.run.log_metrics(dict(flat_metrics(metrics, prefix)), step)

    def finish(
        self,
        metrics: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Sequence[str | os.PathLike]] | None = None,
        status: str = "FINISHED",
        prefix: str = "test",
    ) -> bool:
        """Record final results and close the run.

        Args:
            metrics: final metrics; an ``Interval`` becomes ``metric``, ``metric_low`` and ``metric_high``.
            artifacts: files by the folder that they go to; "" is the top. What is in "model" is the run's model in
                MLflow's list, too.
            status: FINISHED, FAILED or KILLED; a run that was attached keeps its own.
            prefix: what the names of the metrics begin with.

        Returns:
            whether MLflow has everything, or tracking is off; otherwise it is kept for ``monai-ept sync``.
        """
        self.start()
        if self.run is None:
            return True
        if not self.run.closed:
            self.log(metrics or {}, prefix=prefix)
            for folder, paths in (artifacts or {}).items():
                for path in [paths] if isinstance(paths, (str, os.PathLike)) else paths:
                    self.run.log_artifact(path, folder)
                    if folder == "model" and not self._attach:
                        made = {key: value for key, value in self.params.items() if key.startswith(_OF_A_MODEL)}
                        self.run.log_model(self.params.get("method", "model"), f"model/{Path(path).name}", made)
        return self.run.close(status)

    def close(self, status: str = "FINISHED") -> bool:
        """Close the run if it is open."""
        return self.run.close(status) if self.run is not None else True

    def __enter__(self) -> MLflowTracking:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        from monai_ept.tracking.tracked_run import status_of

        self.close(status_of(error))

    def _step(self, engine: Any) -> None:
        # On a card the losses of an epoch are read, and logged, together.
        loss = {} if loss_waits(engine) else {"loss": step_loss(engine)}
        self.log({**loss, "lr": step_lr(engine)}, engine.state.iteration, "train")

    def _epoch(self, engine: Any) -> None:
        if loss_waits(engine):
            losses = epoch_losses(engine)
            for step, loss in enumerate(losses, engine.state.iteration - len(losses) + 1):
                self.log({"loss": loss}, step, "train")
        costs = {"epoch_seconds": engine.state.times.get(Events.EPOCH_COMPLETED.name), **_peak_memory()}
        self.log(costs, engine.state.epoch, "cost")
        # A trainer may have metrics of its own, such as the accuracy on the training images.
        self.log(engine.state.metrics, engine.state.epoch, "train")

    def _evaluated(self, evaluator: Any, prefix: str) -> None:
        self.log(evaluator.state.metrics, self._trainer.state.epoch if self._trainer is not None else 0, prefix)

    def _completed(self, engine: Any) -> None:
        if self.run is not None:
            self.run.completed = True

    def _failed(self, engine: Any, error: BaseException) -> None:
        self.__exit__(type(error), error, None)
        raise error  # ignite swallows an exception that has a handler


def flat_metrics(metrics: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, float]]:
    """Numbers by name, ``prefix/name/…``; an interval becomes three.

    Example::

        >>> dict(flat_metrics({"auc": Interval(0.8, 0.7, 0.9), "per_class": {"nevus": 0.6}}, "test"))
        {'test/auc': 0.8, 'test/auc_low': 0.7, 'test/auc_high': 0.9, 'test/per_class/nevus': 0.6}
    """
    for name, value in metrics.items():
        key = f"{prefix}/{name}" if prefix else str(name)
        if isinstance(value, Mapping):
            yield from flat_metrics(value, key)
        elif isinstance(value, Interval):
            yield from ((key, value.value), (f"{key}_low", value.low), (f"{key}_high", value.high))
        else:
            number = single_number(value)
            if number is not None:
                yield key, number


def _peak_memory() -> dict[str, float]:
    """Megabytes that the process has needed at most, on the host and on the GPU."""
    peaks = {}
    try:
        import resource
    except ImportError:  # Windows
        pass
    else:
        unit = 1 if sys.platform == "darwin" else 1024
        peaks["peak_memory_mb"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 2**20
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        peaks["peak_gpu_memory_mb"] = torch.cuda.max_memory_allocated() / 2**20
    return peaks


def _rank() -> int:
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank()
    return int(os.environ.get("RANK", 0))


def _name_of(params: Mapping[str, Any]) -> str:
    # What tells runs of an experiment apart comes first: MLflow's list cuts long names at the end.
    looks = {"method": "{}", "shots": "{}shot", "seed": "seed{}", "source": "{}"}
    return "-".join(look.format(params[name]) for name, look in looks.items() if name in params) or "run"


def _note(params: Mapping[str, Any]) -> str:
    """What the run's page says on top."""
    names = ("method", "source", "shots", "seed", "backbone", "split_hash")
    return ", ".join(f"{name} **{params[name]}**" for name in names if name in params)
