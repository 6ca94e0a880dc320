# SPDX-License-Identifier: Apache-2.0

"""One training, from a network and a split to a finished result: what ``fit``, a bundle and a cell of a sweep run."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import distributed

from monai_ept._moved import moved_names
from monai_ept.engines.training_parts import TrainingParts
from monai_ept.evaluation.evaluator import Evaluation, evaluate, evaluate_records
from monai_ept.files import remove_partials, usable_folder, write_whole
from monai_ept.runs.fit_result import (
    DELTA_FILE,
    HISTORY_FILE,
    RECORD_FILE,
    SPLIT_FILE,
    FitResult,
    read_record,
    write_record,
)

__all__ = ["Training", "rank"]

logger = logging.getLogger(__name__)

__getattr__ = moved_names(__name__)


class Training(TrainingParts):
    """
    Puts network, split and recipe together, trains, tests and records.

    Its parts can be looked at or replaced before ``run``: ``train_loader``, ``evaluator``, ``optimizer``,
    ``scheduler``, ``loss``, ``checkpoint``, ``trainer``. Nothing on disk is touched before ``begin``. Where torch's
    processes have met (``torchrun``), all of them train one network. Arguments are those of :py:class:`TrainingParts`.

    Example::

        training = Training(net, split, {"epochs": 5}, folder="runs/first")
        training.trainer.add_event_handler(Events.EPOCH_COMPLETED, look)
        result = training.run()
    """

    evaluation: Evaluation | None = None
    sent = True  # whether MLflow has everything, once the training is finished

    def run(self) -> FitResult:
        """
        Train, test and record.

        Raises:
            CheckpointError: when resuming, and the checkpoint is another training's.
            NonFiniteError: when the loss is no number any more.
            WriteError: when the disk is full or the folder cannot be written.
            TrainingStopped: on SIGTERM or Ctrl-C.
        """
        if self.folder is None:
            raise ValueError("a training without a folder has no result on disk: use train() and the network itself.")
        _ = self.trainer  # with all its parts, so that whatever is wrong is said before anything is touched
        with self.stop, self.tracking:
            self.begin()
            self.learn()
            return self.finish()

    def train(self) -> list[dict[str, Any]]:
        """Train, and nothing else: the history of the epochs comes back, the network is what it has become."""
        return self.learn().state.history

    def begin(self) -> None:
        """
        Write down what is trained, before its first step.

        Raises:
            WriteError: when the folder cannot be written.
        """
        if self.folder is None or rank() > 0:
            return
        folder = usable_folder(self.folder)
        remove_partials(folder, "*")
        if self.resume and (folder / "last.pt").is_file() and (folder / RECORD_FILE).is_file():
            return  # it is there, and the checkpoint says if it fits
        (folder / DELTA_FILE).unlink(missing_ok=True)  # an earlier result does not go with a new record
        self.split.save(folder / SPLIT_FILE)
        loaded = self.split.origin if self.data is None else self.split.origin or self.data.origin
        write_record(
            folder,
            recipe=self.recipe.to_dict(),
            seed=self.seed,
            class_names=self.class_names,
            task=self.task,
            spatial_dims=self.net.vit.spatial_dims,
            params=self.params,
            **{"name": "fit", "data": loaded, **self.origin},
        )

    def finish(self) -> FitResult:
        """
        Test what was trained, write the report, and close the run in MLflow.

        Returns:
            the finished training; in all processes but the first without metrics.
        """
        folder = self.folder
        assert folder is not None
        if not self.split.test:
            logger.warning(f"the split of {self.split.source} has no test images: there is nothing to evaluate on.")
        elif rank() > 0:  # the first process gathers what the others predict
            evaluate(
                self.net,
                self.eval_loader("test"),
                task=self.task,
                class_names=self.class_names,
                num_resamples=0,
                device=self.device,
            )
        else:
            if self.progress:
                print(f"testing on {len(self.split.test)} images", file=sys.stderr, flush=True)
            self.evaluation = evaluate_records(
                self.net,
                self.eval_loader("test"),
                self.split.test,
                folder=folder / "evaluation",
                task=self.task,
                class_names=self.class_names,
                num_resamples=self.recipe.num_resamples,
                seed=self.seed,
                device=self.device,
                transform_settings=self.origin.get("transforms"),
            )
        history = self.trainer.state.history
        best = self.evaluator.state.best_metric_epoch if self.recipe.select == "val" else self.trainer.state.epoch
        paths = {"delta": folder / DELTA_FILE, "checkpoint": folder / "last.pt", "split": folder / SPLIT_FILE}
        paths.update({"record": folder / RECORD_FILE, "history": folder / HISTORY_FILE})
        found = self.evaluation
        if rank() == 0:
            write_whole(paths["history"], json.dumps(history, indent=1) + "\n")
            report = {} if found is None else found.paths
            self.sent = self.tracking.finish({} if found is None else found.recorded, _artifacts(paths, report))
            paths.update(report)
        return FitResult(
            metrics={} if found is None else found.metrics,
            intervals={} if found is None else found.intervals,
            history=history,
            epoch=best,
            run_id=self.tracking.run_id,
            folder=folder,
            paths=paths,
            record=read_record(folder) if rank() == 0 else {},
        )


def rank() -> int:
    """The number of this process among those that train together."""
    return distributed.get_rank() if distributed.is_available() and distributed.is_initialized() else 0


def _artifacts(paths: Mapping[str, Path], report: Mapping[str, Path]) -> dict[str, list[Path]]:
    """Which file goes into which folder of the run; the checkpoint is for going on here, and of no use elsewhere."""
    return {
        "model": [paths["delta"]],
        "data": [paths["split"]],
        "config": [paths["record"]],
        "training": [paths["history"]],
        "evaluation": list(report.values()),
    }
