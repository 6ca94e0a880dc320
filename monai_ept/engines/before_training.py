# SPDX-License-Identifier: Apache-2.0

"""What comes before the first step of a training: adapting to images without labels, and solving the head."""

from __future__ import annotations

import logging
import sys
from dataclasses import replace
from typing import Any

from monai_ept.engines.adaptation import adapt_before
from monai_ept.engines.solve import Solution, solve_head, solve_plain
from monai_ept.runs.training_record import read_choice, write_choice

__all__ = ["adapt_and_solve"]

logger = logging.getLogger(__name__)

_Training = Any  # a ``TrainingParts``, which stands above this module and uses it


def adapt_and_solve(training: _Training, going_on: bool) -> Solution | None:
    """
    Adapt and solve, as a training wants it.

    Args:
        going_on: it has had its first steps in another process; what they started from is in its checkpoint.

    Returns:
        what solving has chosen; None where nothing is solved, or was in another process.
    """
    net, work = training.net, training.work
    if training.unlabelled is not None:
        adapt_before(
            *(net, training.unlabelled, training.seed, work),
            trained=going_on,
            resume=training.resume,
            num_workers=training.num_workers,
            transform=training.transform("eval"),
            progress=training.progress,
        )
    if going_on and read_choice(work).get("adapted") is False:
        net.start = None
    if going_on or not training.recipe.solve:
        training.recipe.keep_or_drop_solved(net)
        return None
    groups = [str(record["group"]) for record in training.split.train]
    _say(training, f"solving the head on {len(groups)} images")
    how = {"task": training.task, "device": training.device, "amp": training.recipe.amp, "look": training.look}
    solution = solve_head(net, training.solving_loader, groups, **how)
    training.recipe.keep_or_drop_solved(net)  # now that it is known whether it starts from an adaptation
    if net.solved is not None:
        plain = solve_plain(net.solved, net, training.solving_loader, groups, **how)
        if solution.left_out is not None and plain.left_out is not None:  # of images left out, too, the mean answers
            solution = replace(solution, left_out=(solution.left_out + plain.left_out) / 2)
    logger.info(f"solved: penalty {solution.strength:g}, of {solution.folds} folds.")
    methods = [method.settings() for method in solution.methods]  # with the start that was chosen
    choice = {
        "penalty": solution.strength,
        "sharpness": solution.sharpness,
        "folds": solution.folds,
        "methods": methods,
    }
    if about := solution.about_adapted:
        logger.info(f"{about}.")
        _say(training, about)
        choice.update(adapted=solution.adapted, because=about)
    write_choice(work, choice)
    return solution


def _say(training: _Training, text: str) -> None:
    if training.progress:
        print(text, file=sys.stderr, flush=True)
