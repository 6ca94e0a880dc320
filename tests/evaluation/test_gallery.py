# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.engines import draw_gallery
from monai_ept.evaluation import gallery
from monai_ept.evaluation.gallery import worst_mistakes
from monai_ept.handlers import PredictionTable
from tests.evaluation.predictions import NAMES, figure_of_file, table_of

LEGENDS = {
    "multiclass": ["right", 'wrong ("is": its label)', "probability of the predicted class"],
    "multilabel": ["labels of probability 0.5 or more, all right", 'wrong ("not": claimed, "missed": not found)'],
    "volume": ["right", 'wrong ("is": its label)', "probability of the predicted class"],
    "unlabelled": ["probability of the predicted class"],
}


@pytest.mark.parametrize("kind", LEGENDS)
def test_gallery(tmp_path, kind, monkeypatch):
    rng = np.random.default_rng(0)
    table = table_of(8, "multilabel" if kind == "multilabel" else "multiclass")
    if kind == "unlabelled":
        table = PredictionTable(table.ids, table.probabilities)
    shape = (1, 8, 9, 10) if kind == "volume" else (3, 8, 8)
    records = [{"image": rng.random(shape, dtype=np.float32), "id": identity} for identity in table.ids]
    task = "multilabel" if kind == "multilabel" else "multiclass"
    options = {"class_names": NAMES, "task": task, "transform": dict}
    figure = figure_of_file(monkeypatch, gallery, lambda: draw_gallery(tmp_path, records, table, **options))
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == LEGENDS[kind]
    assert (tmp_path / "images.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"no prediction for 'stranger' \(1 of 1 records\)"):
        draw_gallery(tmp_path, [{"image": records[0]["image"], "id": "stranger"}], table, **options)


@pytest.mark.parametrize("kind", ["multiclass", "multilabel"])
@pytest.mark.parametrize("number", [1, 2, 6])
def test_the_legend_is_seen_whole(tmp_path, kind, number, monkeypatch):
    table = table_of(number, kind)
    records = [{"image": np.zeros((3, 8, 8), dtype=np.float32), "id": identity} for identity in table.ids]
    options = {"class_names": NAMES, "task": kind, "transform": dict}
    figure = figure_of_file(monkeypatch, gallery, lambda: draw_gallery(tmp_path, records, table, **options))
    box, page = figure.legends[0].get_window_extent(), figure.bbox
    assert box.x1 <= page.x1 and box.y1 <= page.y1 and box.x0 >= page.x0
    assert all(not axes.title.get_window_extent().overlaps(box) for axes in figure.axes if axes.images)


FOUR = list("abcd")
FOUR_RECORDS = [{"id": identity, "image": identity} for identity in reversed(FOUR)]


def test_the_surest_of_the_wrong_come_first():
    probabilities = np.array([[0.6, 0.4], [0.1, 0.9], [0.8, 0.2], [0.3, 0.7]])
    table = PredictionTable(FOUR, probabilities, np.array([1, 0, 0, 0]))  # wrong: a by .6, b by .9, d by .7
    assert [record["id"] for record in worst_mistakes(FOUR_RECORDS, table, "multiclass")] == ["b", "d", "a"]
    assert [record["id"] for record in worst_mistakes(FOUR_RECORDS, table, "multiclass", number=1)] == ["b"]


def test_of_several_labels_the_one_that_is_furthest_off_counts():
    probabilities = np.array([[0.9, 0.1], [0.9, 0.6], [0.45, 0.0], [0.5, 0.5]])
    labels = np.array([[1, 0], [1, 0], [1, 0], [1, 1]])  # wrong: b by .6, and c by .55
    table = PredictionTable(FOUR, probabilities, labels)
    assert [record["id"] for record in worst_mistakes(FOUR_RECORDS, table, "multilabel")] == ["b", "c"]
    found = worst_mistakes(FOUR_RECORDS, table, "multilabel", threshold=0.7)
    assert [record["id"] for record in found] == ["c", "d"]  # d now: neither of its labels is claimed
