# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np

from monai_ept.evaluation.confusion_matrix import confusion_counts, draw_confusion_matrix


def test_confusion_counts():
    counts = confusion_counts(np.array([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), np.array([0, 1, 1]), "multiclass")
    assert counts.tolist() == [[1, 0], [1, 1]]
    labels = np.array([[1, 0], [0, 0], [1, 1]])
    counts = confusion_counts(np.array([[0.9, 0.1], [0.7, 0.4], [0.2, 0.5]]), labels, "multilabel")
    assert counts.tolist() == [[[0, 1], [1, 1]], [[2, 0], [0, 1]]]


def test_figures_of_many_classes(tmp_path):
    names = [f"a rather long name {i}" for i in range(40)]
    counts = np.eye(40, dtype=np.int64)
    counts[3] = 0  # a class that no image has
    assert draw_confusion_matrix(tmp_path, counts, names).stat().st_size > 20000
