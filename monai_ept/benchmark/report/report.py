# SPDX-License-Identifier: Apache-2.0

"""The report of a sweep: everything computed once, then written as a page, as Markdown and as CSV."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from monai_ept.benchmark.report.choose import choose
from monai_ept.benchmark.report.contents import Report
from monai_ept.benchmark.report.expense import expenses
from monai_ept.benchmark.report.figures import draw_figures
from monai_ept.benchmark.report.markdown import to_markdown
from monai_ept.benchmark.report.metric import metrics_of, reference_of
from monai_ept.benchmark.report.page import to_html
from monai_ept.benchmark.report.reading import read_table
from monai_ept.benchmark.report.results import SweepResults
from monai_ept.benchmark.report.sections import sections
from monai_ept.benchmark.report.table import build_table
from monai_ept.benchmark.report.tables import cells_csv, choices_csv, results_csv
from monai_ept.files import usable_folder, write_whole
from monai_ept.metrics import lower_is_better

__all__ = ["build_report", "save_report"]


def build_report(
    sweep: SweepResults,
    *,
    metric: str | Sequence[str] | Mapping[str, str] | None = None,
    reference: str | None = None,
    figures: bool = True,
) -> Report:
    """
    Compute everything that a report says.

    Args:
        sweep: from ``read_folder`` or ``read_tracked``, finished or not.
        metric: see ``metrics_of``.
        reference: label of the method to compare with; the sweep's own by default.
        figures: draw them.

    Raises:
        ValueError: when nothing is finished, or metric or reference are not there.

    Example::

        >>> report = build_report(read_folder("runs/quick"))
        >>> print("\\n".join(report.reading))
    """
    if not sweep.finished:
        first = f" ({sweep.failed[0].result['error']})" if sweep.failed and sweep.failed[0].result else ""
        raise ValueError(
            f"sweep {sweep.name!r} has no finished cell of {len(sweep.cells)}, {len(sweep.failed)} failed{first}: "
            "there is nothing to report yet."
        )
    metric_of = metrics_of(sweep, metric)
    kept, choices = choose(sweep.cells, lambda source: metric_of[source], lower_is_better)
    name = reference_of(sweep, kept, reference)
    table = build_table(kept, metric_of, name, lower_is_better)
    return Report(
        sweep=sweep,
        table=table,
        choices=choices,
        costs=expenses(kept, table.labels, table.reference),
        reading=read_table(sweep, table, choices),
        pictures=draw_figures(table) if figures else (),
    )


def save_report(
    report: Report, folder: str | os.PathLike, *, cells: str | os.PathLike | None = None
) -> dict[str, Path]:
    """
    Write ``report.html`` (one file with all in it), ``report.md``, ``results.csv``, ``cells.csv``,
    ``choices.csv`` where there were grids, and ``figures/``.

    Args:
        report: from :py:func:`build_report`.
        folder: where to; made if need be.
        cells: the sweep's folder, so that cells can be linked.

    Raises:
        WriteError: when it cannot be written.

    Returns:
        paths by what they are.
    """
    folder = usable_folder(folder)
    base = "" if cells is None else Path(os.path.relpath(Path(cells).resolve(), folder.resolve())).as_posix()
    parts = sections(report, base)
    figures = usable_folder(folder / "figures")
    kept = {path.name for picture in report.pictures for path in picture.save(figures)}
    for old in figures.iterdir():  # of a report of earlier results
        if old.suffix in (".svg", ".png") and old.name not in kept:
            old.unlink()
    paths = {
        "page": write_whole(folder / "report.html", to_html(report, parts)),
        "markdown": write_whole(folder / "report.md", to_markdown(report, parts)),
        "results": write_whole(folder / "results.csv", results_csv(report)),
        "cells": write_whole(folder / "cells.csv", cells_csv(report)),
    }
    if report.choices:
        paths["choices"] = write_whole(folder / "choices.csv", choices_csv(report))
    return paths
