# SPDX-License-Identifier: Apache-2.0

"""The report's numbers as CSV, unrounded."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterable, Sequence
from typing import Any

from monai_ept.benchmark.report.contents import Report

__all__ = ["cells_csv", "choices_csv", "results_csv"]


def results_csv(report: Report) -> str:
    """A row for each method and column of the table; an empty source or number of shots is a mean over all."""
    table = report.table
    head = ["backbone", "source", "shots", "method", "metric", "repeats", "mean", "low", "high", "best", "reference"]
    head += ["difference", "difference_low", "difference_high", "pairs", "p", "p_adjusted", "cells"]
    rows = []
    for column in table.columns:
        for label in table.labels:
            score = table.scores.get((label, column))
            if score is None:
                continue
            metric = (
                table.metric_of[column.source] if column.source else " ".join(sorted(set(table.metric_of.values())))
            )
            gain = score.difference
            row = [column.backbone, column.source or "", column.shots or "", label, metric, score.score.number]
            row += [score.score.mean, score.score.low, score.score.high, int(score.best), table.reference]
            row += [gain.mean, gain.low, gain.high, gain.number or "", gain.p, score.p_adjusted]
            rows.append([*row, " ".join(cell.id for cell in score.cells)])
    return _csv(head, rows)


def cells_csv(report: Report) -> str:
    """A row for each cell of the sweep, finished or not, with all it measured."""
    used = {cell.id for cell in report.table.cells}
    cells = report.sweep.cells
    metrics = list(dict.fromkeys(name for cell in cells for name in (cell.result or {}).get("metrics") or {}))
    val = list(dict.fromkeys(name for cell in cells for name in (cell.result or {}).get("val_metrics") or {}))
    head = ["id", "status", "in_table", "backbone", "source", "method", "label", "grid", "shots", "sampling", "seed"]
    head += metrics + [f"val_{name}" for name in val]
    head += ["trained", "head", "train_seconds", "test_seconds", "peak_memory_mb", "num_train", "num_test"]
    head += ["split_hash", "fingerprint", "run_id", "finished", "error"]
    rows = []
    for cell in cells:
        result = cell.result or {}
        count, spent = result.get("count") or {}, result.get("seconds") or {}
        rows.append(
            [cell.id, cell.status, int(cell.id in used), cell.backbone, cell.source, cell.method, cell.label, cell.grid]
            + [cell.shots, cell.sampling, cell.seed]
            + [cell.metric(name) for name in metrics]
            + [cell.metric(name, "val_metrics") for name in val]
            + [count.get("delta", ""), count.get("head", ""), spent.get("train", ""), spent.get("test", "")]
            + [result.get(name, "") for name in ("peak_memory_mb", "num_train", "num_test")]
            + [result.get(name) or "" for name in ("split_hash", "fingerprint", "run_id", "finished", "error")]
        )
    return _csv(head, rows)


def choices_csv(report: Report) -> str:
    """A row for each value of each grid with its validation score."""
    head = ["backbone", "source", "shots", "method", "metric", "value", "val_mean", "val_low", "val_high", "repeats"]
    rows = []
    for choice in report.choices:
        where = [choice.backbone, choice.source, choice.shots, choice.label, choice.metric]
        for value, found in choice.scores.items():
            result = [found.mean, found.low, found.high, found.number, int(value == choice.chosen)]
            rows.append([*where, value, *result, choice.remark])
    return _csv([*head, "chosen", "remark"], rows)


def _csv(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(head)
    for row in rows:
        writer.writerow(["" if isinstance(item, float) and math.isnan(item) else item for item in row])
    return text.getvalue()
