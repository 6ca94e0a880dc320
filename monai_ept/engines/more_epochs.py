# SPDX-License-Identifier: Apache-2.0

"""A training that is asked for more epochs than it has had: which one it goes on from, and what that makes of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from monai_ept.engines.recipe import Recipe
from monai_ept.engines.run_description import result_hash
from monai_ept.handlers.delta_checkpoint import CONTINUED, CheckpointError
from monai_ept.runs.fit_result import CHECKPOINT_FILE, HISTORY_FILE, FitResult
from monai_ept.runs.folder_exchange import is_aside, real_folder, settle
from monai_ept.runs.training_record import DELTA_FILE, RECORD_FILE, read_record

__all__ = ["Earlier", "find_earlier", "finished"]

_RecordAt = Callable[[int], Mapping[str, Any]]
_Training = Any  # a ``TrainingParts``, which stands above this module and uses it


@dataclass(frozen=True)
class Earlier:
    """
    What was trained before.

    Args:
        folder: of the training.
        epochs: that it was asked for.
        continued: after which epochs schedules have ended that it has had before its last, as ``CONTINUED`` has them.
        same: whether it differs in nothing but its epochs.
        ended: whether it has had them all.
    """

    folder: Path
    epochs: int
    continued: str
    same: bool
    ended: bool

    @property
    def checkpoint(self) -> Path:
        return self.folder / CHECKPOINT_FILE

    def then(self, epochs: int, schedule: str) -> str:
        """
        What ``CONTINUED`` is of a training that goes on from here to so many epochs.

        A constant rate knows no end: the training is the one that had been asked for as many at once.

        Raises:
            CheckpointError: when the schedule of this one has not come to its end.
        """
        if not 0 < self.epochs < epochs or schedule == "constant":
            return self.continued
        if not self.ended:
            raise CheckpointError(
                f"{self.folder} holds a training of {self.epochs} epochs that is not finished, and the cosine of its "
                f"learning rate ends with them: resume it with {self.epochs} epochs first, then with {epochs}."
            )
        return ", ".join(filter(None, (self.continued, str(self.epochs))))

    def said(self, epochs: int, schedule: str) -> str:
        """What going on from here means, in a sentence."""
        start = f"going on after the {self.epochs} epochs of {self.folder} to {epochs}"
        if schedule == "constant":
            return f"{start}: with a constant learning rate as if {epochs} had been asked for at once."
        return (
            f"{start}: the learning rate, whose cosine had fallen to zero, goes on as the cosine of {epochs} epochs "
            f"does from there. As many asked for at once are another training, so that the record says {CONTINUED}."
        )


def find_earlier(training: _Training, folder: Path, runs: Path | None, overwrite: bool) -> tuple[Path, bool]:
    """
    Let a training that resumes know what was trained before.

    Args:
        training: the training; its ``earlier``, and what it says of itself, are set.
        runs: the folder of that, where nobody has chosen it: the same training with fewer epochs is looked for there.

    Raises:
        CheckpointError: when it cannot go on from what is there.

    Returns:
        its folder, and whether it replaces what is there, once it is complete.
    """
    epochs, schedule = training.recipe.epochs, training.recipe.schedule
    found = _in_folder(folder, epochs, training.record_at)
    if found is None and runs is not None:
        found = _newest_in(runs, epochs, training.record_at)
    if found is None or (not found.same and (overwrite or not found.epochs)):
        return folder, overwrite
    if continued := found.then(epochs, schedule):
        training.settings[CONTINUED] = training.params[CONTINUED] = continued
    if runs is not None:
        folder = runs / training.name
    if found.epochs < epochs:
        training.earlier = found
        return folder, overwrite or found.ended
    # What the same command has finished already is not done again; a solved head has no checkpoint to go on from.
    return folder, found.ended if not epochs else overwrite and not (found.same and found.ended)


def finished(training: _Training) -> FitResult | None:
    """The result of this very training, where its folder holds it and nothing is left to be done."""
    found = _in_folder(training.folder, training.recipe.epochs, training.record_at)
    if found is None or not (found.same and found.ended) or found.epochs < training.recipe.epochs:
        return None
    wanted = [HISTORY_FILE, *(["report.html"] if training.split.test else [])]
    return FitResult.load(found.folder) if all((found.folder / name).is_file() for name in wanted) else None


def _in_folder(folder: Path, epochs: int, record_at: _RecordAt) -> Earlier | None:
    """
    The training in a folder, if it was asked for so many epochs or for fewer.

    ``record_at`` gives what ``training.json`` says of the training that is wanted, had it so many epochs.
    """
    try:
        folder = real_folder(folder)
        settle(folder)
        record = read_record(folder)
        had = record["recipe"]["epochs"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    delta, checkpoint = ((folder / name).is_file() for name in (DELTA_FILE, CHECKPOINT_FILE))
    if not isinstance(had, int) or had > epochs or (had and delta and not checkpoint):
        return None
    try:
        wanted = result_hash(record_at(had))
    except ValueError:  # of a recipe that cannot have so few
        wanted = ""
    params = {key: value for key, value in record["params"].items() if key != CONTINUED}
    recipe = {**Recipe().to_dict(), **record["recipe"]}  # a setting that is younger than the record
    same = result_hash({**record, "recipe": recipe, "params": params}) == wanted
    return Earlier(folder, had, str(record["params"].get(CONTINUED, "")), same, ended=delta)


def _newest_in(runs: Path, epochs: int, record_at: _RecordAt) -> Earlier | None:
    """Of the finished trainings that differ from the wanted one in their epochs alone, that with most of them."""
    folders = (path.parent for path in sorted(runs.glob(f"*/{RECORD_FILE}")) if not is_aside(path.parent))
    found = [one for folder in folders if (one := _in_folder(folder, epochs, record_at)) is not None]
    fitting = [one for one in found if one.same and one.ended and one.epochs]
    return max(fitting, key=lambda one: one.epochs, default=None)
