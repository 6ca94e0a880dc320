# SPDX-License-Identifier: Apache-2.0

"""One training, from a network and a split to a finished result: what ``fit``, a bundle and a cell of a sweep run."""

from __future__ import annotations

import json
import logging
import shutil
import sys
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from ignite.engine import Events
from torch import distributed

from monai_ept._moved import moved_names
from monai_ept.delta import store_prediction_sets
from monai_ept.engines.baseline import linear_baseline
from monai_ept.engines.set_calibration import calibrate_sets
from monai_ept.engines.training_parts import TrainingParts
from monai_ept.evaluation.class_numbers import threshold_of
from monai_ept.evaluation.evaluator import Evaluation, evaluate, evaluate_records, predict
from monai_ept.evaluation.report_page import write_report_page
from monai_ept.files import full_disk_is_said, write_whole
from monai_ept.handlers.collect_predictions import PredictionTable
from monai_ept.runs.fit_result import CHECKPOINT_FILE, HISTORY_FILE, SPLIT_FILE, FitResult
from monai_ept.runs.training_record import DELTA_FILE, RECORD_FILE, read_choice, read_record, write_choice, write_record

__all__ = ["Training", "rank"]

logger = logging.getLogger(__name__)

__getattr__ = moved_names(__name__)


class Training(TrainingParts):
    """
    Puts network, split and recipe together, trains, tests and records.

    Its parts can be looked at or replaced before ``run``: ``train_loader``, ``evaluator``, ``optimizer``,
    ``scheduler``, ``loss``, ``checkpoint``, ``trainer``. Nothing on disk is touched before ``begin``. A result that is
    in the folder already is refused, or stays whole until the new one is complete (``overwrite``). Where torch's
    processes have met (``torchrun``), all of them train one network. Arguments are those of :py:class:`TrainingParts`.

    Example::

        training = Training(net, split, {"epochs": 5}, folder="runs/first")
        training.trainer.add_event_handler(Events.EPOCH_COMPLETED, look)
        result = training.run()
    """

    evaluation: Evaluation | None = None
    no_sets = ""  # why the network makes no prediction sets, in a sentence; empty where it does
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
        if self.place is None:
            raise ValueError("a training without a folder has no result on disk: use train() and the network itself.")
        self._say_what_becomes()
        trainer = self.trainer  # with all its parts, so that whatever is wrong is said before anything is touched
        if (epochs := trainer.state.max_epochs) != self.recipe.epochs:
            raise ValueError(
                f"train::trainer::max_epochs is {epochs} and the recipe has {self.recipe.epochs} epochs, which the "
                f"learning rate's schedule follows: set --epochs {epochs} instead."
            )
        if self.checkpoint is not None:
            self.checkpoint.check(trainer)
        trainer.add_event_handler(Events.EPOCH_COMPLETED | Events.COMPLETED, self.place.check)
        if self.split.test:
            self.eval_loader("test")
        full_disk = full_disk_is_said(self.place.folder, "the same command with resume goes on")
        with self.place, full_disk, self.stop, self.tracking:
            self.begin()
            self.learn()
            self.calibrate()
            return self.finish()

    def _say_what_becomes(self) -> None:
        """Nobody chooses a method for nothing to come of it; and what going on with more epochs comes to."""
        if rank() == 0 and self.earlier is not None and self.earlier.epochs:
            logger.warning(self.earlier.said(self.recipe.epochs or 0, self.recipe.schedule))
        chosen = any(method.other_starts(self.net.vit) for method in self.net.methods)
        adapted = self.net.start is not None or self.unlabelled is not None
        if rank() == 0 and not (self.recipe.epochs or chosen or adapted) and self.net.count().delta:
            logger.warning(
                f"recipe {self.recipe.name} trains nothing of {self.net.method_name}, which stays as it is: "
                "recipe 'tune' trains it from the solved head."
            )

    def train(self) -> list[dict[str, Any]]:
        """Train, and nothing else: the history of the epochs comes back, the network is what it has become."""
        return self.learn().state.history

    def begin(self) -> None:
        """
        Write down what is trained, before its first step.

        Raises:
            FileExistsError: when a result has come into the folder since.
            WriteError: when the folder cannot be written, or another process writes into it.
        """
        if self.place is None or rank() > 0:
            return
        work = self.place.begin()
        there = (work / CHECKPOINT_FILE).is_file() and (work / RECORD_FILE).is_file()
        if self.resume and there and (self.earlier is None or self.earlier.folder != work):
            return  # it is there, and the checkpoint says if it fits
        chosen = {} if self.earlier is None else read_choice(self.earlier.folder)
        self.split.save(work / SPLIT_FILE)
        write_record(work, **self.record)
        if self.earlier is not None and self.earlier.epochs:
            if chosen:
                write_choice(work, chosen)
            if (adapted := self.earlier.folder / "adapted").is_dir() and not (work / "adapted").is_dir():
                shutil.copytree(adapted, work / "adapted")

    @cached_property
    def validation(self) -> PredictionTable:
        """What the network says of the validation images, once it has ended its training; in all processes alike."""
        return predict(self.net, self.eval_loader("val"), task=self.task, device=self.device)

    def calibrate(self) -> None:
        """Find what makes prediction sets, and put it into the delta file."""
        self.no_sets = calibrate_sets(self)
        if rank() == 0 and self.place is not None and not self.no_sets:
            store_prediction_sets(self.place.work / DELTA_FILE, self.net.prediction_sets)

    def finish(self) -> FitResult:
        """
        Test what was trained, write the report, and close the run in MLflow.

        Returns:
            the finished training; in all processes but the first without metrics.
        """
        assert self.place is not None
        work = self.place.work
        self.place.check()
        if not self.split.test:
            logger.warning(f"the split of {self.split.source} has no test images: there is nothing to evaluate on.")
        else:
            if self.progress and rank() == 0:
                print(f"testing on {len(self.split.test)} images", file=sys.stderr, flush=True)
            self.evaluation = self._test(work / "evaluation")
        history = self.trainer.state.history
        best = self.evaluator.state.best_metric_epoch if self.recipe.select == "val" else self.trainer.state.epoch
        written = {"delta": work / DELTA_FILE, "split": work / SPLIT_FILE}
        written.update({"record": work / RECORD_FILE, "history": work / HISTORY_FILE})
        if self.recipe.epochs:
            written["checkpoint"] = work / CHECKPOINT_FILE
        if rank() == 0:
            write_whole(written["history"], json.dumps(history, indent=1) + "\n")
            if self.evaluation is not None:
                written["page"] = self._page(self.evaluation, history)
            report = {} if self.evaluation is None else self.evaluation.paths
            recorded = {} if self.evaluation is None else self.evaluation.recorded
            self.sent = self.tracking.finish(recorded, _artifacts(written, report))
            written.update(report)
            folder = self.place.deliver()
            if folder != work and not self.sent:
                logger.warning(f"the records of this run are in {folder} now: 'monai-ept sync {folder}' uploads them.")
        found, paths = self.evaluation, {name: self.place.find(path) for name, path in written.items()}
        if found is not None:
            found.paths.update({name: paths[name] for name in found.paths})
        return FitResult(
            metrics={} if found is None else found.metrics,
            intervals={} if found is None else found.intervals,
            history=history,
            epoch=best,
            run_id=self.tracking.run_id,
            folder=self.place.folder,
            paths=paths,
            record=read_record(self.place.folder) if rank() == 0 else {},
        )

    def _test(self, folder: Path) -> Evaluation | None:
        """
        Metrics on test images, beside those of a linear head, and the report.

        All processes predict the same images in the same order; the first gathers what they say, and has the result.
        """
        chosen = self.positive is not None and self.positive.is_chosen
        threshold = threshold_of(self.positive, self.validation if chosen else None, self.class_names)
        baseline = linear_baseline(
            self.net,
            self.solving_loader,
            [str(record["group"]) for record in self.split.train],
            task=self.task,
            device=self.device,
            solved=bool(self.recipe.solve and self.recipe.epochs),
        )
        about: dict[str, Any] = {"task": self.task, "class_names": self.class_names, "device": self.device}
        if rank() > 0:
            evaluate(self.net, self.eval_loader("test"), num_resamples=0, beside=baseline, **about)
            return None
        return evaluate_records(
            self.net,
            self.eval_loader("test"),
            self.split.test,
            folder=folder,
            num_resamples=self.recipe.num_resamples,
            seed=self.seed,
            transform_settings=self.origin.get("transforms"),
            positive=self.positive,
            threshold=threshold,
            beside=baseline,
            **about,
        )

    def _page(self, evaluation: Evaluation, history: Sequence[Mapping[str, Any]]) -> Path:
        """``report.html`` beside everything else."""
        assert self.place is not None
        return write_report_page(
            self.place.work,
            evaluation,
            title=f"{self.split.source}: {self.place.folder.name}",
            class_names=self.class_names,
            task=self.task,
            training=read_record(self.place.work),
            split=self.split,
            history=history,
            no_sets=self.no_sets,
            repeat=_repeat(self.origin, self.place.folder),
        )


def _repeat(origin: Mapping[str, Any], folder: Path) -> str:
    """How the same training is started again."""
    if bundle := origin.get("name"):
        return f"python -m monai.bundle run --config_file bundles/{bundle}/configs/train.yaml  # and these settings"
    if origin.get("network"):
        return "monai-ept train IMAGES  # and these settings"
    return (
        f"done = FitResult.load({str(folder)!r})\ndata = done.data()\n"
        "fit(net, done.split(data), recipe=Recipe.from_dict(done.record['recipe']), seed=done.record['seed'])"
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
        "report": [paths["page"]] if "page" in paths else [],
    }
