# SPDX-License-Identifier: Apache-2.0

"""A bundle before its first training: its network can be built and checked, and its errors say what to do."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

from monai_ept.model import TunedViT
from monai_ept.runs.build_network import make_network
from monai_ept.runs.fit_result import FitResult, find_training

__all__ = ["Untrained", "trained_or_not"]


class Untrained:
    """
    What stands for a finished training where there is none yet.

    Args:
        content: ``network`` (arguments of ``make_network``), ``class_names``, ``task`` and, if any, ``transforms``.
        missing: what to tell whoever wants to predict with it.
    """

    def __init__(self, content: Mapping[str, Any], missing: str) -> None:
        self.task: str = content["task"]
        self.class_names = tuple(content["class_names"])
        self.transform_settings: dict[str, Any] = dict(content.get("transforms", {}))
        self.missing = missing
        self._network = dict(content["network"])

    def network(self, pretrained: Any = None) -> TunedViT:
        """The network with an untrained head."""
        given = {} if pretrained is None else {"pretrained": pretrained}
        return make_network(self.class_names, **{**self._network, **given}).eval()


def trained_or_not(
    run_dir: str | os.PathLike | None = None, *, runs: str | os.PathLike, untrained: Mapping[str, Any]
) -> FitResult | Untrained:
    """
    As ``find_training``, and :py:class:`Untrained` where nothing was trained yet.

    Raises:
        FileNotFoundError: when ``run_dir`` is no folder of a training.
    """
    try:
        return find_training(run_dir, runs=runs)
    except FileNotFoundError as error:
        if run_dir is not None:
            raise
        return Untrained(untrained, str(error))
