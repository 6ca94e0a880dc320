# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

from monai_ept.evaluation.history_picture import draw_history

ROWS = [{"epoch": epoch, "loss": 1 / epoch, "lr": 0.1 - epoch / 100} for epoch in (1, 2, 3)]


def test_the_loss_with_the_learning_rate_behind_it():
    figure = draw_history(ROWS, "auc")
    loss, rate = figure.axes
    assert loss.lines[0].get_xydata().tolist() == [[row["epoch"], row["loss"]] for row in ROWS]
    assert rate.lines[0].get_ydata().tolist() == [row["lr"] for row in ROWS]
    assert loss.get_ylim()[0] == rate.get_ylim()[0] == 0


def test_validation_has_a_panel_of_the_epochs_that_were_validated():
    rows = [{**row, "val": {"balanced_accuracy": row["epoch"] / 4} if row["epoch"] > 1 else None} for row in ROWS]
    validated = next(axes for axes in draw_history(rows, "balanced_accuracy").axes if "validation" in axes.get_ylabel())
    assert validated.get_ylabel() == "balanced accuracy of validation images"
    assert validated.lines[0].get_xydata().tolist() == [[2, 0.5], [3, 0.75]]
