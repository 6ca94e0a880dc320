# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import numpy as np
import pytest

from monai_ept.engines import write_predictions
from monai_ept.handlers import PredictionTable
from monai_ept.reporting.csv_file import original_cell
from tests.evaluation.predictions import NAMES, read, table_of


class TestPredictions:
    def test_a_row_per_image(self, tmp_path):
        table = table_of()
        rows = read(write_predictions(tmp_path, table, NAMES, "multiclass"))
        assert [row["id"] for row in rows] == table.ids
        assert rows[0].keys() == {"id", "label", "prediction", *(f"probability_{name}" for name in NAMES)}
        for row, scores, label in zip(rows, table.probabilities, table.labels, strict=True):
            assert row["label"] == NAMES[label] and row["prediction"] == NAMES[scores.argmax()]
            assert [float(row[f"probability_{n}"]) for n in NAMES] == pytest.approx(list(scores), rel=1e-7)

    def test_multilabel_joins_names(self, tmp_path):
        table = PredictionTable(
            ["a", "b"], np.array([[0.9, 0.5, 0.1], [0.2, 0.3, 0.4]]), np.array([[1, 0, 1], [0, 0, 0]])
        )
        rows = read(write_predictions(tmp_path, table, ["x", "y", "z"], "multilabel"))
        assert [(row["label"], row["prediction"]) for row in rows] == [("x;z", "x;y"), ("", "")]

    def test_without_labels_and_with_errors(self, tmp_path):
        table = PredictionTable(["a"], np.array([[0.2, 0.5, 0.3]]))
        path = write_predictions(tmp_path, table, NAMES, "multiclass", errors={"b": "is cut off\nhalfway"})
        rows = read(path)
        assert "label" not in rows[0] and rows[0]["error"] == ""
        assert rows[1] == {**dict.fromkeys(rows[1], ""), "id": "b", "error": "is cut off halfway"}

    def test_what_is_claimed_stands_beside_the_most_probable_class(self, tmp_path):
        table = PredictionTable(["a", "b", "c"], np.array([[0.6, 0.4, 0], [0.7, 0.3, 0], [0.1, 0.2, 0.7]]))
        positive = {"class": "y", "threshold": 0.3}
        rows = read(write_predictions(tmp_path, table, ["x", "y", "z"], "multiclass", positive=positive))
        assert [(row["prediction"], row["positive"]) for row in rows] == [("x", "yes"), ("x", "yes"), ("z", "no")]

    @pytest.mark.parametrize(
        ("ids", "expected", "says"),
        [
            (["a", "b"], ["a", "b", "c"], r"has no row for 'c' \(1 of 3 images\)"),
            (["a", "a"], ["a"], "has two rows for 'a'"),
            (["a", "b"], ["a"], "has an unexpected row for 'b'"),
        ],
    )
    def test_checked_complete(self, tmp_path, ids, expected, says):
        table = PredictionTable(ids, np.full((len(ids), 3), 1 / 3))
        with pytest.raises(ValueError, match=says):
            write_predictions(tmp_path, table, NAMES, "multiclass", expected_ids=expected)

    def test_names_must_fit(self, tmp_path):
        with pytest.raises(ValueError, match="class_names has 2 names and the predictions have 3 classes"):
            write_predictions(tmp_path, table_of(), NAMES[:2], "multiclass")

    def test_no_cell_is_a_formula_and_ids_come_back(self, tmp_path):
        ids = [
            '=HYPERLINK("http://x","a").png',
            "+1.png",
            "-lv1.png",
            "@a.png",
            "\ttab.png",
            "'=quoted.png",
            "plain.png",
        ]
        table = PredictionTable(ids, np.full((len(ids), 2), 0.5))
        path = write_predictions(
            tmp_path, table, ["=1+1", "b"], "multiclass", expected_ids=[*ids, "=bad"], errors={"=bad": "-1"}
        )
        rows = read(path)
        assert [original_cell(row["id"]) for row in rows] == [*ids, "=bad"]
        assert rows[0]["prediction"] == "'=1+1" and rows[-1]["error"] == "'-1" and rows[0]["probability_=1+1"] == "0.5"
        assert not any(cell.startswith(("=", "+", "-", "@", "\t")) for row in rows for cell in row.values())
