# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

import pytest

from monai_ept.engines import write_report
from monai_ept.files import WriteError
from monai_ept.metrics import classification_metrics
from tests.evaluation.predictions import NAMES, read, table_of


@pytest.mark.parametrize("task", ["multiclass", "multilabel"])
def test_the_same_predictions_give_the_same_files(tmp_path, task):
    table = table_of(40, task)
    metrics = classification_metrics(
        table.probabilities, table.labels, inputs="probabilities", task=task, class_names=NAMES
    )
    for name in ("a", "b"):
        write_report(tmp_path / name, table, metrics, {}, class_names=NAMES, task=task)
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files == [
        "confusion_matrix.csv", "confusion_matrix.png", "metrics.csv", "metrics.json", "per_class.csv",
        "predictions.csv", "reliability.png",
    ]  # fmt: skip
    for name in files:
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    rows = read(tmp_path / "a" / "per_class.csv")
    assert [row["class"] for row in rows] == NAMES
    assert [int(row["images"]) for row in rows] == list(metrics["support"].values())


def test_a_folder_that_is_a_file(tmp_path):
    (tmp_path / "taken").write_text("")
    table = table_of()
    metrics = classification_metrics(table.probabilities, table.labels, inputs="probabilities")
    with pytest.raises(WriteError, match="cannot write into the folder"):
        write_report(tmp_path / "taken", table, metrics, {}, class_names=NAMES, task="multiclass")
