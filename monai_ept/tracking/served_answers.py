# SPDX-License-Identifier: Apache-2.0

"""What a served model answers, for each image, and how MLflow's server says that it cannot."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from monai_ept.metrics.conformal import PredictionSets

__all__ = ["answers", "refusal", "say_no_more_than_why"]

REFUSED = "IMAGES_REFUSED"
UNREADABLE = (
    'the request cannot be read: it must be JSON like {"dataframe_split": {"columns": ["image"], "data": [["…"]]}}, '
    "with the bytes of an image file in base64."
)


def answers(
    probabilities: np.ndarray, class_names: Sequence[str], task: str, sets: PredictionSets | None
) -> list[dict[str, Any]]:
    """
    A row for each image, in the words of ``predictions.csv``.

    Args:
        probabilities: ``(images, classes)``.
        class_names: one name per class.
        task: "multiclass": ``class`` and its ``probability``; "multilabel": lists of both, of all labels from 0.5 on.
        sets: what makes the classes in the ``set``, and whether the network is ``sure``; with several labels the set
            has all that cannot be ruled out, and ``not_sure`` those of them that may not be there either.

    Example::

        >>> answers(np.array([[0.75, 0.25]]), ["nevus", "melanoma"], "multiclass", None)
        [{'class': 'nevus', 'probability': 0.75, 'probabilities': {'nevus': 0.75, 'melanoma': 0.25}}]
    """
    held, sure = (None, None) if sets is None else sets.decide(probabilities, task)
    rows = []
    for index, values in enumerate(probabilities.tolist()):
        by_name = dict(zip(class_names, values, strict=True))
        row: dict[str, Any] = {}
        if task == "multiclass":
            row["class"], row["probability"] = max(by_name.items(), key=lambda pair: pair[1])
        else:
            claimed = {name: value for name, value in by_name.items() if value >= 0.5}
            row["class"], row["probability"] = list(claimed), list(claimed.values())
        if held is not None and sure is not None:
            row["set"] = _named(held[index], class_names)
            row["sure"] = bool(np.all(sure[index]))
            if task == "multilabel":
                row["not_sure"] = _named(~sure[index], class_names)
        rows.append({**row, "probabilities": by_name})
    return rows


def _named(chosen: np.ndarray, class_names: Sequence[str]) -> list[str]:
    return [name for name, there in zip(class_names, chosen, strict=True) if there]


def refusal(sentence: str, status: int = 400) -> Exception:
    """An error that MLflow's server answers with that status, and with nothing but the sentence."""
    from mlflow.exceptions import MlflowException, get_error_code

    return MlflowException(sentence, get_error_code(status), error_class=REFUSED)


def say_no_more_than_why() -> None:
    """
    Let MLflow's scoring server, where this process is one, leave out of its errors what was sent.

    It repeats a request that it cannot parse, and the beginning of one that a model refuses, which may be an image of a
    patient.
    """
    from mlflow.exceptions import MlflowException
    from mlflow.pyfunc import scoring_server

    if scoring_server._SERVER_MODEL_PATH not in os.environ:
        return
    serve = scoring_server.invocations

    @functools.wraps(serve)
    def invocations(data: Any, content_type: str | None, *others: Any) -> Any:
        try:
            return serve(data, content_type or "", *others)
        except MlflowException as error:
            if error.error_class != REFUSED:
                raise refusal(UNREADABLE) from None
            error.message = error.args[0]  # MLflow has put the request before it
            raise

    scoring_server.invocations = invocations
