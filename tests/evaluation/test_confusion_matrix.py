# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.evaluation import confusion_matrix
from monai_ept.evaluation.confusion_matrix import confusion_counts, draw_confusion_matrix
from tests.evaluation.predictions import figure_of_file, words_of


def test_confusion_counts():
    counts = confusion_counts(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), "multiclass")
    assert counts.tolist() == [[1, 0], [1, 1]]
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    counts = confusion_counts(np.array([[0.9, 0.1], [0.7, 0.4], [0.2, 0.5]]), labels, "multilabel")
    assert counts.tolist() == [[[0, 1], [1, 1]], [[2, 0], [0, 1]]]


def test_a_class_that_is_never_found_shows_its_zero_and_each_its_recall(tmp_path, monkeypatch):
    counts = np.array([[3, 1, 0], [2, 0, 0], [0, 0, 0]])
    names = ["nevus", "melanoma", "wart"]
    figure = figure_of_file(monkeypatch, confusion_matrix, lambda: draw_confusion_matrix(tmp_path, counts, names))
    title, *cells, recall = words_of(figure)
    assert title == "labels and predictions: 3 of 6 right" and recall == "recall"
    assert cells == ["3", "1", "2", "0", "0"]  # off the diagonal zeros stay away
    column = next(axes for axes in figure.axes[0].child_axes)
    assert [label.get_text() for label in column.get_yticklabels()] == ["0.75", "0.00", "–"]


def test_labels_have_a_title_and_a_legend_outside(tmp_path, monkeypatch):
    counts = np.array([[[5, 1], [2, 3]]])
    figure = figure_of_file(monkeypatch, confusion_matrix, lambda: draw_confusion_matrix(tmp_path, counts, ["ulcer"]))
    title, numbers, *legend = words_of(figure)
    assert title.startswith("labels: ") and numbers == "3 + 2 + 1"
    assert legend == ["found", "missed", "claimed, but not labelled"]


def test_figures_of_many_classes(tmp_path):
    names = [f"a rather long name {i}" for i in range(40)]
    counts = np.eye(40, dtype=np.int64)
    counts[3] = 0  # a class that no image has
    assert draw_confusion_matrix(tmp_path, counts, names).stat().st_size > 20000
