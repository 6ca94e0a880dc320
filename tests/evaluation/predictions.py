# SPDX-License-Identifier: Apache-2.0

"""Predictions, for tests of what is written about them."""

from __future__ import annotations

import csv
from typing import Any

import numpy as np

from monai_ept.handlers import PredictionTable

NAMES = ["nevus", "melanoma, in situ", 'so "called"']


def table_of(number=12, task="multiclass"):
    rng = np.random.default_rng(0)
    scores = rng.random((number, 3))
    labels = rng.integers(0, 3, number) if task == "multiclass" else rng.integers(0, 2, (number, 3))
    if task == "multiclass":
        scores /= scores.sum(axis=1, keepdims=True)
    return PredictionTable([f"image {i}" for i in range(number)], scores, labels)


def figure_of_file(monkeypatch, module, draw) -> Any:
    """The figure that ``draw`` of a module has saved, which is drawn and saved as ever."""
    saved = []
    save = module.save_figure
    with monkeypatch.context() as patch:
        patch.setattr(module, "save_figure", lambda figure, path: save(saved.append(figure) or figure, path))
        draw()
    return saved[0]


def words_of(figure) -> list[str]:
    """All that stands in the first panel and in the legend."""
    axes = figure.axes[0]
    legend = [text.get_text() for one in figure.legends for text in one.get_texts()]
    return [axes.get_title(loc="left"), *(text.get_text() for text in axes.texts), *legend]


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
