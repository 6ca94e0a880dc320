# SPDX-License-Identifier: Apache-2.0

"""Predictions, for tests of what is written about them."""

from __future__ import annotations

import csv

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


def read(path):
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
