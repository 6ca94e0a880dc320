# SPDX-License-Identifier: Apache-2.0

"""What is said of one image; a file of its own, which a shipped application takes along."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["answer"]


def answer(probabilities: Mapping[str, float], task: str, sets: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """
    The words of ``predictions.csv`` for one image.

    Args:
        probabilities: by the name of the class.
        task: "multiclass": ``class`` and its ``probability``; "multilabel": lists of both, of all labels from 0.5 on.
        sets: the record of ``PredictionSets``: the ``set`` of classes too, and whether the network is ``sure``; with
            several labels the set has all that cannot be ruled out, and ``not_sure`` those that may be there or not.

    Example::

        >>> answer({"nevus": 0.75, "melanoma": 0.25}, "multiclass")
        {'class': 'nevus', 'probability': 0.75, 'probabilities': {'nevus': 0.75, 'melanoma': 0.25}}
    """
    said: dict[str, Any] = {}
    best = max(probabilities, key=lambda name: probabilities[name])
    if task == "multiclass":
        said = {"class": best, "probability": probabilities[best]}
    else:
        claimed = [name for name, value in probabilities.items() if value >= 0.5]
        said = {"class": claimed, "probability": [probabilities[name] for name in claimed]}
    if sets is not None:
        limit = sets["threshold"]
        limits = (
            limit if isinstance(limit, (list, tuple)) else [math.inf if limit is None else limit] * len(probabilities)
        )
        pairs = list(zip(probabilities.items(), limits, strict=True))
        yes = [name for (name, value), most in pairs if 1 - value <= most]
        if task == "multiclass":
            said |= {"set": yes or [best], "sure": len(yes) == 1}
        else:
            no = [name for (name, value), most in pairs if value <= most]
            unsure = [name for name in probabilities if (name in yes) == (name in no)]
            held = [name for name in probabilities if name in yes or name not in no]
            said |= {"set": held, "sure": not unsure, "not_sure": unsure}
    return {**said, "probabilities": dict(probabilities)}
