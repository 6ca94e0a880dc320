# SPDX-License-Identifier: Apache-2.0

"""What is shipped: a trained network and what each part of the bundle says of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from monai_ept.data.records import Record
from monai_ept.model import TunedViT
from monai_ept.runs.fit_result import FitResult

__all__ = ["Expected", "Shipment"]


@dataclass(frozen=True)
class Expected:
    """
    Images, and what the bundle is to say of them.

    Args:
        records: the images.
        probabilities: ``(images, classes)``.
        source: where the probabilities come from, in the middle of a sentence.
        total: how many images there were to choose from.
    """

    records: Sequence[Record]
    probabilities: np.ndarray
    source: str
    total: int


@dataclass(frozen=True)
class Shipment:
    """
    What the parts of a bundle are written from.

    Args:
        folder: of the bundle, where each part writes its files.
        name: of the bundle, in the words of its documents.
        training: the finished training.
        original: its network.
        network: the same in evaluation mode, folded where it can be.
        expected: images, and what the bundle is to say of them.
        formats: of the exported network: "ts", "pt2", "onnx"; the first of "ts" and "pt2" is what the bundle runs.
        version: of the bundle.
        licence: text of its LICENSE.
        data_licence: text on the licence of the images; empty where nobody has said.
        zoo: write what MONAI's Model Zoo asks for besides.
        modality: of the images, for the metadata; empty where nobody has said.
        member: of a bank, which has one file for all tasks: how this one is called in it.
    """

    folder: Path
    name: str
    training: FitResult
    original: TunedViT
    network: TunedViT
    expected: Expected
    formats: Sequence[str]
    version: str
    licence: str
    data_licence: str = ""
    zoo: bool = False
    modality: str = ""
    member: str = ""

    @property
    def class_names(self) -> tuple[str, ...]:
        return self.training.class_names

    @property
    def multilabel(self) -> bool:
        return self.training.task == "multilabel"
