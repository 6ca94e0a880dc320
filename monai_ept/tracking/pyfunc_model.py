# SPDX-License-Identifier: Apache-2.0

"""A registered model's other end: what ``mlflow.pyfunc.load_model`` calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from monai_ept.data.transforms import eval_transforms
from monai_ept.metrics import probabilities_of
from monai_ept.metrics.checked_batch import numbered_classes
from monai_ept.metrics.conformal import PredictionSets
from monai_ept.metrics.image_answer import answer
from monai_ept.model import TunedViT
from monai_ept.tracking.model_files import fold_if_possible, load_model_files, save_model_files
from monai_ept.tracking.scoring_server import refusals, say_no_more_than_why
from monai_ept.tracking.served_images import is_table, read_table

__all__ = ["CHUNK", "PyfuncModel", "Words", "fold_if_possible", "load_model_files", "save_model_files"]

CHUNK = 32
"""So many images go through the network at once."""


class Words:
    """What is said of an image, from the logits of a network."""

    def __init__(
        self, task: str, num_classes: int, class_names: Sequence[str] | None, sets: PredictionSets | None
    ) -> None:
        self.task = task
        self.names = class_names or numbered_classes(num_classes)
        self.sets = None if sets is None else sets.record

    def __call__(self, logits: torch.Tensor) -> list[dict[str, Any]]:
        """Of logits ``(images, classes)`` a row for each image."""
        probabilities = probabilities_of(logits, self.task).tolist()
        rows = [dict(zip(self.names, values, strict=True)) for values in probabilities]
        return [answer(row, self.task, self.sets) for row in rows]


class PyfuncModel:
    """Answers about images: files or their bytes in a table, or tensors.

    Args:
        transforms: arguments of ``eval_transforms``, as in its training; without them it takes tensors only.
    """

    def __init__(self, net: TunedViT, task: str, transforms: Mapping[str, Any] | None = None) -> None:
        self.net = net
        self.task = task
        self.transforms = None if transforms is None else eval_transforms(**transforms)

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """
        What the network says of images.

        Args:
            model_input: a table with a row for each image and the column ``image`` (the bytes of a file, or the same in
                base64) or ``path``; or images as the network takes them, normalised, ``(images, channels, *img_size)``.

        Raises:
            MlflowException: in one sentence, when the input is wrong.

        Returns:
            of a table a table, see ``answer``; of tensors the probabilities, ``(images, classes)``.
        """
        with refusals():
            if not is_table(model_input):
                return probabilities_of(self._logits(_numbers(model_input)), self.task).numpy()
            if self.transforms is None:
                raise ValueError("this model was registered when models took tensors only: register it again.")
            logits = self._logits(read_table(model_input, self.transforms, self.net.vit.spatial_dims))
        import pandas

        net = self.net
        return pandas.DataFrame(Words(self.task, net.num_classes, net.class_names, net.prediction_sets)(logits))

    def _logits(self, images: torch.Tensor) -> torch.Tensor:
        with torch.inference_mode():
            return torch.cat([self.net(chunk) for chunk in images.split(CHUNK)])


def _numbers(model_input: Any) -> torch.Tensor:
    try:
        array = np.asarray(model_input)
    except ValueError:  # lists of different lengths
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise ValueError("the input is neither a table with a column 'image' or 'path' nor an array of numbers.")
    return torch.as_tensor(np.ascontiguousarray(array, dtype=np.float32))


def _load_pyfunc(path: str) -> PyfuncModel:
    """What MLflow calls, by this name."""
    net, config = load_model_files(Path(path))
    if "transforms" in config:
        say_no_more_than_why()
    return PyfuncModel(net, config["task"], config.get("transforms"))
