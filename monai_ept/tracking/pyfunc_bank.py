# SPDX-License-Identifier: Apache-2.0

"""A registered bank's other end: what ``mlflow.pyfunc.load_model`` calls."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from monai_ept.data.transforms import eval_transforms
from monai_ept.serving import TaskBank
from monai_ept.tracking.bank_files import load_bank_files
from monai_ept.tracking.pyfunc_model import CHUNK, Words
from monai_ept.tracking.scoring_server import refusals, say_no_more_than_why
from monai_ept.tracking.served_images import is_table, read_tasks

__all__ = ["PyfuncBank"]


class PyfuncBank:
    """
    Answers about images of many tasks.

    Args:
        tasks: of each task its "task" ("multiclass" or "multilabel") and "transforms" (arguments of
            ``eval_transforms``).
    """

    def __init__(self, bank: TaskBank, tasks: Mapping[str, Mapping[str, Any]]) -> None:
        self.bank = bank
        self._transforms = {name: eval_transforms(**about["transforms"]) for name, about in tasks.items()}
        self._dims = max(about["transforms"]["spatial_dims"] for about in tasks.values())
        self._words = {}
        for name, about in tasks.items():
            one = bank.task(name)
            self._words[name] = Words(about["task"], one.num_classes, one.class_names, one.prediction_sets)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """
        What each image's task says of it.

        Args:
            model_input: a table with a row for each image, and the columns ``task`` and ``image`` (the bytes of a file,
                or the same in base64) or ``path``.

        Raises:
            MlflowException: in one sentence, when the input is wrong.

        Returns:
            a table: the task, and what the network of that task alone would answer. What a task does not say, a set
            where it has no prediction sets, is None.
        """
        with refusals():
            if not is_table(model_input):
                raise ValueError("a bank takes a table with the columns 'task' and 'image' or 'path'.")
            tasks, images = read_tasks(model_input, self._transforms, self._dims)
            rows = []
            with torch.inference_mode():
                for first in range(0, len(tasks), CHUNK):
                    names = tasks[first : first + CHUNK]
                    logits = self.bank(images[first : first + CHUNK], tasks=names)
                    rows += [
                        {"task": name, **self._words[name](one[None])[0]}
                        for name, one in zip(names, logits, strict=True)
                    ]
        import pandas

        table = pandas.DataFrame(rows).astype(object)
        return table.where(table.notna(), None)


def _load_pyfunc(path: str) -> PyfuncBank:
    """What MLflow calls, by this name."""
    bank, config = load_bank_files(Path(path))
    say_no_more_than_why(("task", "image"))
    return PyfuncBank(bank, config["tasks"])
